"""What can be had from a line that is not as it should be.

The decoders read a line in one typed pass and come here only when that fails: a number where
a string belongs, one bad block among good ones, half an emoji, a raw control character. What
fits its type is kept, what does not is left out and counted.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Event, StrayLine

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

Readers: TypeAlias = Mapping[type[msgspec.Struct], Callable[[Any, int], Iterable[Event]]]
"""Each shape of line, tagged with the line's ``type``, and what makes events of it."""

Shape = TypeVar("Shape", bound=msgspec.Struct)

BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a typed msgspec decoder raises; `UnicodeDecodeError` and `RecursionError` pass it by."""

ABSENT = msgspec.Raw()
"""The default of raw members, which msgspec cannot make optional: it would take only null."""

LARGEST = 1024 * 1024
"""Bytes of a broken line that are looked into: as Python objects they take eighty times that."""

UNFIT = (msgspec.ValidationError, OverflowError, RecursionError)


def loads(line: bytes) -> Any:
    """Parse JSON as forgivingly as can be; `ValueError` if it is none.

    Lone surrogates, which ``JSON.stringify`` escapes and msgspec refuses, become "?", bytes
    that are not UTF-8 U+FFFD; NaN, Infinity and integers past 64 bits None.
    """
    import json  # noqa: PLC0415  2 ms, and mostly msgspec reads all there is

    text = line.decode("utf-8-sig", "replace")
    try:
        value = json.loads(text, strict=False, parse_int=_integer, parse_constant=_nothing)
        return _printable(value) if "\\u" in text else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) < 20 else None


def _nothing(_constant: str) -> None:
    return None


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


def decoder(readers: Readers, quiet: AbstractSet[str] = frozenset()) -> msgspec.json.Decoder[Any]:
    """Return a decoder for every shape of line in `readers`, and for types that say nothing.

    The latter are what some CLIs print most of; they become structs of no shape in `readers`,
    at a fraction of what it costs to see that they are none of those.
    """
    shapes = [*readers, *(msgspec.defstruct("Quiet", (), tag=word) for word in sorted(quiet))]
    return msgspec.json.Decoder(functools.reduce(operator.or_, shapes))


def salvage(line: bytes, at: int, readers: Readers, quiet: AbstractSet[str]) -> tuple[Event, ...]:
    """Return what a line that broke its typed decoder says, and a `StrayLine` for the rest.

    Types in `quiet` are known and say nothing.
    """
    tag = next(iter(readers)).__struct_config__.tag_field or "type"
    if not line.strip() or (tag == "type" and _type(line) in quiet):
        return ()
    try:
        value: Any = loads(line) if len(line) <= LARGEST else None
    except ValueError:
        return (StrayLine(at=at, reason="not_json"),)
    type_ = value.get(tag) if isinstance(value, dict) else None
    if not isinstance(type_, str):
        return (StrayLine(at=at, reason="bad_shape"),)
    shape = next((s for s in readers if s.__struct_config__.tag == type_), None)
    if shape is None:
        known = type_ in quiet
        return () if known else (StrayLine(at=at, reason="unknown_type", detail=word(type_)),)
    parsed, faults = fit(value, shape)
    events = tuple(readers[shape](parsed, at))
    if not faults or any(isinstance(event, StrayLine) for event in events):
        return events
    return (*events, StrayLine(at=at, reason="bad_shape", detail=word(type_)))


class _Tagged(msgspec.Struct):
    type: str | None = None


_tag_decoder = msgspec.json.Decoder(_Tagged)


def _type(line: bytes) -> str | None:
    """Return a line's type without building the rest of it, which may be a whole conversation."""
    try:
        return _tag_decoder.decode(line).type
    except BROKEN:
        return None


def given(raw: msgspec.Raw) -> bytes | None:
    """Return a raw member's JSON, None if it was absent or null."""
    content = bytes(raw)
    return None if content in (b"", b"null") else content


def read(raw: bytes | None, decoder: msgspec.json.Decoder[Shape], shape: type[Shape]) -> Shape:
    """Read what tools or models wrote, whose mistakes are no fault of the line.

    What is no JSON object says nothing.
    """
    if raw is None:
        return shape()
    try:
        return decoder.decode(raw)
    except BROKEN:
        return fit(_object(raw), shape)[0]


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def fit(value: dict[str, Any], shape: type[Shape]) -> tuple[Shape, int]:
    """Build a `shape` from those members of `value` that fit; also count those that do not."""
    faults: list[str] = []
    return _struct(value, shape, faults), len(faults)


@functools.cache
def _fields(shape: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(shape)


def _struct(value: dict[str, Any], shape: type[Shape], faults: list[str]) -> Shape:
    members: dict[str, Any] = {}
    for field in _fields(shape):
        if (member := value.get(field.encode_name)) is None:
            continue
        try:
            members[field.name] = _member(member, field.type, faults)
        except UNFIT:
            faults.append(field.encode_name)
    return shape(**members)


def _member(value: Any, type_: Any, faults: list[str]) -> Any:
    for choice in _choices(type_):
        if choice is msgspec.Raw:
            return msgspec.Raw(msgspec.json.encode(value))
        if isinstance(value, dict) and _is_struct(choice):
            return _struct(value, choice, faults)
        if isinstance(value, list) and get_origin(choice) is list:
            return list(_every(enumerate(value), get_args(choice)[0], faults).values())
        if isinstance(value, dict) and get_origin(choice) is dict:
            return _every(value.items(), get_args(choice)[1], faults)
    return msgspec.convert(value, type_)


def _every(pairs: Iterable[tuple[Any, Any]], type_: Any, faults: list[str]) -> dict[Any, Any]:
    kept = {}
    for key, value in pairs:
        try:
            kept[key] = _member(value, type_, faults)
        except UNFIT:
            faults.append(str(key))
    return kept


def _choices(type_: Any) -> tuple[Any, ...]:
    return get_args(type_) if get_origin(type_) in (Union, UnionType) else (type_,)


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)
