"""The time that a line of a CLI's output gives itself, whichever CLI it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

SECOND: Final = 1_000_000_000
_MILLISECONDS: Final = 1e11  # as seconds the year 5138, as milliseconds 1973
_PLAUSIBLE: Final = range(10**18, 2**63)  # 2001 to 2262


class _Stamped(msgspec.Struct):
    timestamp: msgspec.Raw = msgspec.Raw()
    message: msgspec.Raw = msgspec.Raw()


_decoder: Final = msgspec.json.Decoder(_Stamped)


def own_time(line: bytes) -> int | None:
    """Return the time a line gives itself, or its message does, in ns since the epoch."""
    if b"timestamp" not in line:
        return None
    try:
        stamped = _decoder.decode(line)
        time = _nanoseconds(stamped.timestamp)
        if time is None and bytes(stamped.message).startswith(b"{"):
            time = _nanoseconds(_decoder.decode(stamped.message).timestamp)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return time


def _nanoseconds(raw: msgspec.Raw) -> int | None:
    value: Any = msgspec.json.decode(raw) if bytes(raw) else None
    try:
        time = _converted(value)
    except (ValueError, OverflowError):
        return None
    return time if time in _PLAUSIBLE else None


def _converted(value: Any) -> int:
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(aware.timestamp() * 1_000_000) * 1000
    if isinstance(value, int | float):
        return round(value * (1_000_000 if value > _MILLISECONDS else SECOND))
    return 0
