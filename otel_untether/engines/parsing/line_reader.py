"""Reading one line of a CLI's output by its type: what all engines that print JSON lines share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_untether.engines.parsing.salvage import BROKEN, salvage

if TYPE_CHECKING:
    import msgspec

    from otel_untether.engines.parsing.salvage import Readers
    from otel_untether.session.events import Event


class LineReader:
    """An engine's `decode`: `decoder` tells a line's type, `readers` what one of a type says.

    `quiet` are types of lines that say nothing, and are no strays all the same.
    """

    __slots__ = ("_decode", "_quiet", "_readers")

    def __init__(
        self,
        decoder: msgspec.json.Decoder[Any],
        readers: Readers,
        quiet: frozenset[str] = frozenset(),
    ) -> None:
        self._decode = decoder.decode
        self._readers = readers
        self._quiet = quiet

    def __call__(self, line: bytes, at: int) -> tuple[Event, ...]:
        """Return what one line of stdout says; `at` is when it arrived, in ns since the epoch.

        Nothing is raised, whatever the bytes: what cannot be read becomes a `StrayLine`, beside
        the events of what can.
        """
        try:
            parsed = self._decode(line)
        except BROKEN:
            return salvage(line, at, self._readers, self._quiet)
        return tuple(self._readers[type(parsed)](parsed, at))
