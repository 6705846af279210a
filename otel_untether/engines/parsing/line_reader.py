"""Reading one line of a CLI's output by its type: what all engines that print JSON lines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_untether.engines.parsing.salvage import BROKEN, salvage

if TYPE_CHECKING:
    import msgspec

    from otel_untether.engines.engine import Decode
    from otel_untether.engines.parsing.salvage import Readers
    from otel_untether.session.events import Event


def line_reader(
    decoder: msgspec.json.Decoder[Any], readers: Readers, quiet: frozenset[str] = frozenset()
) -> Decode:
    """Return an engine's `decode`.

    Nothing is raised, whatever the bytes: what cannot be read becomes a `StrayLine`, beside
    the events of what can.

    :param decoder: tells a line's type, `decoder(readers, quiet)`.
    :param readers: what a line of each type says.
    :param quiet: types of lines that say nothing, and are no strays all the same.
    """
    typed, reader_of = decoder.decode, readers.get

    def decode(line: bytes, at: int, /) -> tuple[Event, ...]:
        try:
            parsed = typed(line)
        except BROKEN:
            return salvage(line, at, readers, quiet)
        reader = reader_of(type(parsed))
        return tuple(reader(parsed, at)) if reader is not None else ()

    return decode
