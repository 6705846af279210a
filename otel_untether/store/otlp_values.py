"""Attributes in OTLP's JSON encoding, both ways: the one codec of all that we write and read.

    {"key": "gen_ai.tool.name", "value": {"stringValue": "Bash"}}
    {"key": "untether.turns", "value": {"intValue": "12"}}          64 bits: a string
    {"key": "x", "value": {"arrayValue": {"values": [{"boolValue": true}]}}}
    {"key": "y", "value": {"doubleValue": "NaN"}}                   JSON has no NaN

As opentelemetry/proto/common/v1/common.proto has it, in proto3's JSON mapping.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Value: TypeAlias = "str | bool | int | float | tuple[Value, ...] | dict[str, Value] | None"
Attributes: TypeAlias = dict[str, Value]

_LIMIT: Final = 2**63


def encode_attributes(items: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Encode attributes, given as pairs of key and value."""
    return [
        {"key": key, "value": {"stringValue": value} if type(value) is str else encode(value)}
        for key, value in items
    ]


def plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return attributes as a dictionary; the SDK's own kind is slow to go through."""
    copy = getattr(attributes, "copy", None)
    found: dict[str, Any] = dict(attributes or {}) if copy is None else copy()
    return found


def encode(value: Any) -> dict[str, Any]:
    """Encode a value as an AnyValue; what OTLP has no kind for becomes text."""
    match value:
        case str():
            found: dict[str, Any] = {"stringValue": value}
        case bool():
            found = {"boolValue": value}
        case int() if -_LIMIT <= value < _LIMIT:
            found = {"intValue": str(value)}
        case float():
            found = {"doubleValue": encode_double(value)}
        case list() | tuple():
            found = {"arrayValue": {"values": [encode(item) for item in value]}}
        case bytes():
            found = {"bytesValue": base64.b64encode(value).decode()}
        case Mapping():
            pairs = ((str(key), item) for key, item in value.items())
            found = {"kvlistValue": {"values": encode_attributes(pairs)}}
        case _:
            found = {} if value is None else {"stringValue": str(value)}
    return found


def encode_double(value: float) -> float | str:
    """Encode a number; JSON has no word of its own for those that are not finite."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def decode_attributes(pairs: Any) -> Attributes:
    """Decode a list of key and value; what is none of these is left out, never raised."""
    if not isinstance(pairs, list):
        return {}
    return {
        str(pair["key"]): decode(pair.get("value"))
        for pair in pairs
        if isinstance(pair, dict) and "key" in pair
    }


def decode(any_value: Any) -> Value:
    """Decode an AnyValue; None for what it does not say, and for what makes no sense."""
    if not isinstance(any_value, dict) or not any_value:
        return None
    kind, content = next(iter(any_value.items()))
    match kind:
        case "intValue":
            return integer(content)
        case "doubleValue":
            return _double(content)
        case "arrayValue":
            return tuple(decode(item) for item in items(content, "values"))
        case "kvlistValue":
            return decode_attributes(items(content, "values"))
    return content if isinstance(content, str | bool) else None


def _double(content: Any) -> float | None:
    try:
        return float(content)
    except (TypeError, ValueError, OverflowError):
        return None


def integer(content: Any) -> int | None:
    """Read a number of 64 bits, which JSON has as a string or not; None for anything else."""
    try:
        number = int(content)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if -_LIMIT <= number < _LIMIT else None


def moment(content: Any) -> int | None:
    """Read a moment in ns since the epoch; None for none, and for what is no time at all."""
    try:
        number = int(content)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < _LIMIT else None


def items(holder: Any, key: str) -> list[Any]:
    """Return the list that an object has under a key, an empty one where there is none."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []
