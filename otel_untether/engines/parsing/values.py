"""Values that engines write in their own way, turned into ours or into None.

Here, and wherever lines have their shapes, annotations are evaluated as the module is imported:
left as texts, msgspec would have each compiled, for a third of what making a decoder takes.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

from otel_untether.session.patterns import lazily

# Beyond these a number is not what its name says, and telemetry could not carry it:
# OTLP integers and times end at 2**63 - 1, the CLIs' own numbers are JavaScript's.
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Code: TypeAlias = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
EpochSeconds: TypeAlias = Annotated[float, Meta(ge=0, le=9e9)]
EpochMilliseconds: TypeAlias = Annotated[float, Meta(ge=0, le=9e12)]
Milliseconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]
Dollars: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]


class Plain(Struct, gc=False):
    """What JSON became; it has no cycles, so the garbage collector need not look at it."""


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WORD: Final = lazily(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")


def nanoseconds(stamp: str | None) -> int | None:
    """Return an ISO 8601 time as ns since the epoch; None if it is no time or has no zone."""
    if stamp is None:
        return None
    try:
        elapsed = datetime.fromisoformat(stamp) - _EPOCH
    except (ValueError, TypeError, OverflowError):
        return None
    seconds = elapsed.days * 86_400 + elapsed.seconds
    at = seconds * 1_000_000_000 + elapsed.microseconds * 1_000
    return at if 0 <= at < 2**63 else None


def from_milliseconds(time: float | None) -> int | None:
    """Return a time in ms since the epoch as ns; None if it is missing or too early to be one."""
    return round(time * 1000) * 1000 if time is not None and time > 1e11 else None


def word(value: object) -> str | None:
    """Return `value` if it is a name such as ``api_error``, and None if it may be prose.

    What an engine writes where it should write one of a few words could be anything, a path
    or a secret included; only a word may become an attribute.
    """
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
