"""Attributes as they are written in OTLP's JSON, read no further than somebody asks.

    [{"key":"gen_ai.tool.name","value":{"stringValue":"Bash"}},{"key":…

All of them can be had, or one, or what they are in plain JSON; each from the text, whoever wrote
it, and much faster from text as we write it: without blanks.
"""

from __future__ import annotations

import functools
import json
import re
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from otel_untether.store.otlp_values import decode, decode_attributes, integer

if TYPE_CHECKING:
    from otel_untether.store.otlp_values import Attributes, Value

_OPENING, _BETWEEN, _CLOSING = b'[{"key":', b'}},{"key":', b"}}]"
_TEXT_ENDS: Final = b'"' + _BETWEEN
_MOST_KNOWN: Final = 4096
_LONGEST_KNOWN: Final = 256


class _Value(msgspec.Struct, rename="camel", omit_defaults=True):
    """An AnyValue, of which nearly all are text."""

    string_value: str | None = None
    int_value: str | int | None = None
    bool_value: bool | None = None
    double_value: float | str | None = None
    array_value: Any = None
    kvlist_value: Any = None


class _Pair(msgspec.Struct):
    key: str
    value: _Value


_PAIR: Final = msgspec.json.Decoder(_Pair)
_PAIRS: Final = msgspec.json.Decoder(list[_Pair])


def all_of(raw: bytes) -> Attributes:
    """Return all attributes."""
    try:
        pairs = _PAIRS.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return _odd(raw)
    return {pair.key: _decoded(pair.value) for pair in pairs}


def _decoded(value: _Value) -> Value:
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return integer(value.int_value)
    return decode(msgspec.to_builtins(value))


def _odd(raw: bytes) -> Attributes:
    """Return those of a list in which something is not as OTLP has it."""
    try:
        return decode_attributes(json.loads(raw))
    except UnicodeError:
        return decode_attributes(json.loads(raw.decode("utf-8", "replace")))


def one_of(raw: bytes, name: str) -> Value:
    """Return one attribute, None where there is none of that name.

    Most are plain text, which needs no parser.
    """
    if _quoted(name) not in raw:
        return None
    text = text_in(raw, name)
    return all_of(raw).get(name) if text is None else text


def text_in(raw: bytes, name: str) -> str | None:
    """Return an attribute that is plain text, None where it is not, or not whole in `raw`."""
    begin = _before_text(name)
    at = raw.find(begin)
    if at < 0:
        return None
    first = at + len(begin)
    text = raw[first : max(raw.find(b'"', first), 0)]
    whole = raw[first + len(text) : first + len(text) + 1] == b'"' and b"\\" not in text
    return text.decode("utf-8", "replace") if whole else None


@functools.cache
def _before_text(name: str) -> bytes:
    return f'"key":"{name}","value":{{"stringValue":"'.encode()


@functools.cache
def _quoted(name: str) -> bytes:
    return f'"{name}"'.encode()


class _Members(dict[bytes, "tuple[str, str]"]):
    """What is between two attributes' openings: the key, and the member of an object in JSON.

        "gen_ai.tool.name","value":{"stringValue":"Bash"

    Most are in every span of a session. Raises what the decoder does where it is anything else.
    """

    def __missing__(self, text: bytes) -> tuple[str, str]:
        found = _member(text)
        if len(text) <= _LONGEST_KNOWN:
            if len(self) >= _MOST_KNOWN:
                self.clear()
            self[text] = found
        return found


# Text of plain characters, which JSON writes everywhere as it is; an attribute that is one, and
# one that has only begun.
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f\x7f-\xff]*+')
_TEXT_BEGUN: Final = re.compile(
    rb'"(%b)","value":\{"stringValue":"(%b)' % (_PLAIN.pattern, _PLAIN.pattern)
)
_PLAIN_TEXT: Final = re.compile(_TEXT_BEGUN.pattern + rb'"')


def _member(text: bytes) -> tuple[str, str]:
    if plain := _PLAIN_TEXT.fullmatch(text):
        name, text = plain.groups()
        key = f'"{name.decode()}"'
        return key, f'{key}: "{text.decode()}"'
    pair = _PAIR.decode(b'{"key":' + text + b"}}")
    key, value = encode_basestring_ascii(pair.key), _decoded(pair.value)
    # What `json.dumps` would say, and ten times as fast for what nearly all values are.
    if isinstance(value, str):
        return key, f"{key}: {encode_basestring_ascii(value)}"
    return key, f"{key}: {value if type(value) is int else json.dumps(value)}"


_MEMBERS: Final = _Members()


def as_json(raw: bytes) -> str:
    """Return the attributes as an object in JSON, as `json.dumps` writes `all_of` them.

    A quote that is not escaped is never within a text, so what looks like the end of one
    attribute and the beginning of the next is that, if each by itself is one.
    """
    if raw.startswith(_OPENING) and raw.endswith(_CLOSING):
        found = members(raw[len(_OPENING) : -len(_CLOSING)])
        if found is not None:
            return "{" + ", ".join(found.values()) + "}"
    return json.dumps(all_of(raw))


def members(inner: bytes) -> dict[str, str] | None:
    """Return the members of that object by their keys, of the text between its outer brackets.

    None where that is not attributes as we write them, one after the other.
    """
    try:
        return dict(map(_MEMBERS.__getitem__, inner.split(_BETWEEN)))
    except (msgspec.MsgspecError, UnicodeError):
        return None


class Around(NamedTuple):
    """What the attributes of many spans begin and end with, as the members of an object in JSON.

    `begin` and `end` are those members, `keys` theirs; `before` and `behind` what is left of the
    text up to where the spans differ: halves of attributes. Where the first half is a text that
    has begun, `begun` is `begin` and that, `known` are `keys` and its own; and `ended` is what
    follows it, where `behind` only ends it.
    """

    begin: str
    before: bytes
    behind: bytes
    end: str
    keys: frozenset[str]
    known: frozenset[str] = frozenset()
    begun: str | None = None
    ended: str | None = None


def around(head: bytes, tail: bytes) -> Around | None:
    """Split what attributes begin and end with; None where that is not as we write them."""
    if not (head.startswith(_OPENING) and tail.endswith(_CLOSING)):
        return None
    begin, between, before = head[len(_OPENING) :].rpartition(_BETWEEN)
    first = members(begin) if between else {}
    behind, between, end = tail[: -len(_CLOSING)].partition(_BETWEEN)
    last = members(end) if between else {}
    if first is None or last is None or first.keys() & last.keys():
        return None
    found = Around(
        "".join(f"{it}, " for it in first.values()),
        before,
        behind,
        "".join(f", {it}" for it in last.values()),
        frozenset(first) | frozenset(last),
    )
    return _within_text(found)


def _within_text(it: Around) -> Around:
    """Say what is around a text that has begun before the spans differ, if one has."""
    found = _TEXT_BEGUN.fullmatch(it.before)
    if found is None:
        return it
    name, text = (part.decode() for part in found.groups())
    key = f'"{name}"'
    if key in it.keys:
        return it
    only_ends = it.behind.endswith(b'"') and _PLAIN.fullmatch(it.behind[:-1])
    ended = f"{it.behind.decode()}{it.end}}}" if only_ends else None
    return it._replace(known=it.keys | {key}, begun=f'{{{it.begin}{key}: "{text}', ended=ended)


def framed_as_json(it: Around, own: bytes) -> str | None:
    """Return attributes as `as_json` does, of which most are known; None where it has to.

    Often all that is a span's own is one text, or its rest and a few attributes::

        …"value":{"stringValue":"toolu_` 0123 `"}},{"key":…
        …"value":{"stringValue":"msg_` 0123"}},{"key":"gen_ai.usage.input_tokens",… `}},{"key":…
    """
    if it.begun is not None:
        text, between, rest = own.partition(_TEXT_ENDS)
        if _PLAIN.fullmatch(text):
            if not between:
                if it.ended is not None:
                    return f"{it.begun}{text.decode()}{it.ended}"
            elif (more := _others(rest + it.behind, it.known)) is not None:
                return f'{it.begun}{text.decode()}", {more}{it.end}}}'
    found = _others(it.before + own + it.behind, it.keys)
    return None if found is None else f"{{{it.begin}{found}{it.end}}}"


def _others(inner: bytes, known: frozenset[str]) -> str | None:
    """Return the members that are not known; None if one is, or something is no attribute."""
    found = members(inner)
    if found is None or not known.isdisjoint(found):
        return None
    return ", ".join(found.values())
