"""Output of which nobody knows what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.session.events import StrayLine

if TYPE_CHECKING:
    from otel_untether.session.events import Event

_object_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(line: bytes, at: int) -> tuple[Event, ...]:
    """Take every JSON object for a sign of life and nothing else."""
    if not line.strip():
        return ()
    try:
        _object_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (StrayLine(at=at, reason="not_json"),)
    return ()
