"""What a CLI prints becomes events: bytes to lines, the engine recognised, lines decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import UNKNOWN, registry
from otel_untether.engines.lines import LineSplitter
from otel_untether.session.events import StrayLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_untether.engines.engine import Engine, Reading
    from otel_untether.session.events import Event

# An engine that has not shown itself in this many lines, or bytes, is none we know.
DETECTION_LINES: Final = 32
DETECTION_BYTES: Final = 4 * 1024 * 1024


class LineDecoder:
    """Decodes one session's standard output.

    `engine` is the decoder's engine, None until the first lines have told which it is. Lines
    that came before are held back and decoded then, with the times at which they arrived. An
    engine that is not `certain`, because a command line only looked like it, is replaced by the
    one whose line is certainly among the first::

        {"type":"system","subtype":"hook_started"}   held: several CLIs say so
        {"type":"system","subtype":"init",…}         Claude's: both are decoded now
    """

    __slots__ = (
        "_doubts", "_given", "_held", "_held_bytes", "_lines", "_lines_held", "_reading", "engine",
    )  # fmt: skip

    def __init__(self, engine: Engine | None = None, *, certain: bool = True) -> None:
        self.engine = engine
        self._reading = engine.reading() if engine else None
        self._given = LineSplitter()
        self._doubts = 0 if certain else DETECTION_LINES
        self._lines = LineSplitter()
        self._held: list[tuple[bytes, int, bool]] = []  # a line, its time, whether it is input
        self._held_bytes = self._lines_held = 0

    @property
    def reads(self) -> bool:
        """Whether lines make a difference; not those of an engine that nobody knows."""
        return self.engine is None or self._doubts > 0 or self.engine.understood

    def split(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that a chunk completes; None for one too long to keep."""
        return self._lines.feed(chunk)

    def rest(self) -> Iterable[bytes | None]:
        """Return what is left at the end, without a newline."""
        return self._lines.rest()

    def resynchronise(self) -> None:
        """Go on at the next newline: bytes are missing here."""
        self._lines.resynchronise()

    def decode(self, line: bytes | None, at: int) -> Sequence[Event]:
        """Return the events of a line that arrived at `at`, and of those held back before it."""
        if line is None:
            return (StrayLine(at=at, reason="oversized"),)
        if self._doubts:
            self._doubt(line)
        if self._reading is not None:
            return self._reading.output(line, at)
        return self._recognise(line, at) if line.strip() else ()

    def given(self, chunk: bytes, at: int) -> Sequence[Event]:
        """Return the events of what the agent was given on its stdin at `at`.

        What came before its own lines told which engine it is, is held back like those.
        """
        lines = [line for line in self._given.feed(chunk) if line]
        if self._reading is not None:
            read = self._reading.input
            return [event for line in lines for event in read(line, at)]
        for line in lines if self._held_bytes < DETECTION_BYTES else ():
            self._hold(line, at, given=True)
        return ()

    def settle(self) -> Sequence[Event]:
        """Return the events of lines still held back: at the end no engine will be recognised."""
        return self._decode_held(registry.get(UNKNOWN)) if self.engine is None else ()

    def _doubt(self, line: bytes) -> None:
        """Look whether a line is another engine's, until one has been anybody's.

        That it speaks a protocol does not tell which engine it is.
        """
        found = registry.detect_line(line)
        self._doubts = 0 if found is not None else self._doubts - 1
        engine = self.engine
        if found is None or engine is None or found.name == engine.name:
            return
        if found.dialogue is None:
            self._use(found)
        elif found.dialogue != engine.dialogue:
            self._use(engine.speaking(found))

    def _use(self, engine: Engine) -> Reading:
        self.engine, self._reading = engine, engine.reading()
        return self._reading

    def _hold(self, line: bytes, at: int, *, given: bool) -> None:
        self._held.append((line, at, given))
        self._held_bytes += len(line)

    def _recognise(self, line: bytes, at: int) -> Sequence[Event]:
        self._hold(line, at, given=False)
        self._lines_held += 1
        found = registry.detect_line(line)
        if found is None and not self._is_enough():
            return ()
        return self._decode_held(found or registry.get(UNKNOWN))

    def _is_enough(self) -> bool:
        return self._lines_held >= DETECTION_LINES or self._held_bytes >= DETECTION_BYTES

    def _decode_held(self, engine: Engine) -> Sequence[Event]:
        reading = self._use(engine)
        held, self._held = self._held, []
        return [
            event
            for line, at, given in held
            for event in (reading.input if given else reading.output)(line, at)
        ]
