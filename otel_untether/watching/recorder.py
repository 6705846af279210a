"""One session's output in, its trace out: bytes, lines, events, state, spans.

The recorder is what `run`, `replay` and the library share. It is fed by one thread, reads no
clock, and what it is fed decides what comes out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.engines import UNKNOWN, registry
from otel_untether.engines.lines import LineSplitter
from otel_untether.session.activity import close
from otel_untether.session.events import StrayLine
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.outcome import judge
from otel_untether.session.state import SessionState
from otel_untether.session.summary import Summary, summarise
from otel_untether.spans import SessionTracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

    from otel_untether.engines.engine import Engine
    from otel_untether.session.activity import Change
    from otel_untether.session.content import Capture
    from otel_untether.session.events import Event

    Listener = Callable[[Iterable[Change]], None]

_log: Final = logging.getLogger(__name__)

# An engine that has not shown itself in this many lines is none we know.
_DETECTION_LINES: Final = 32


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What is known of a run before it says anything; `started` in ns since the epoch."""

    run_id: str
    started: int
    engine: str | None = None
    executable: str | None = None
    pid: int | None = None
    multi_prompt: bool = False
    resumed: bool | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


class Recorder:
    """Feeds one session through decoder, fold and tracer.

    `listeners` hear every change after the tracer has (metrics). Raises `KeyError` with the
    known names when `run.engine` is not one of them.
    """

    def __init__(
        self,
        run: RunInfo,
        *,
        tracer_provider: TracerProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        parent: Context | None = None,
        capture: Capture | None = None,
        chats: bool = True,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self._run = run
        self._engine: Engine | None = registry.get(run.engine) if run.engine else None
        self.state = SessionState(
            run.run_id,
            run.started,
            engine=self._engine.name if self._engine else UNKNOWN,
            multi_prompt=run.multi_prompt,
            pid=run.pid,
        )
        if self._engine is not None:
            self.state.traits = self._engine.traits
        self.tracer = SessionTracer(
            self.state,
            tracer_provider=tracer_provider,
            logger_provider=logger_provider,
            parent=parent,
            provider=self._engine.provider if self._engine else None,
            capture=capture,
            chats=chats,
        )
        self.extra: dict[str, AttributeValue] = {}
        self._listeners = list(listeners)
        self._lines = LineSplitter()
        self._errors = LineSplitter(limit=1024 * 1024)
        self._undecided: list[tuple[bytes, int]] = []
        self.tracer.start(self._identity())
        if run.pid is not None:
            self.spawned(run.pid)

    def spawned(self, pid: int) -> None:
        """The process lives: from here on the session can be found where traces are kept."""
        self.state.pid = pid
        self.tracer.started({**self._identity(), semconv.PROCESS_PID: pid})

    def listen(self, listener: Listener) -> None:
        """Have another listener hear every change from now on."""
        self._listeners.append(listener)

    def feed(self, chunk: bytes, at: int) -> None:
        """Take bytes of standard output, in chunks of any size, arrived at `at`."""
        self.state.heard(len(chunk), at)
        for line in self._lines.feed(chunk):
            self.line(line, at)

    @property
    def reads(self) -> bool:
        """Whether what the agent says makes a difference; not for an engine we do not know."""
        return self._engine is None or self._engine.understood

    def passed(self, size: int, at: int) -> None:
        """Take note of output that was not read, the last of which arrived at `at`."""
        self.state.lines_known = False
        self.state.heard(size, at)

    def feed_stderr(self, chunk: bytes, at: int) -> None:
        """Keep the tail of standard error; it is no sign of life, as agents log in their sleep."""
        del at
        for line in self._errors.feed(chunk):
            if line is not None:
                self.state.stderr_tail.append(line[:4096].decode("utf-8", "replace"))

    def gap(self) -> None:
        """Bytes were lost here: go on at the next newline."""
        self._lines.resynchronise()

    def line(self, line: bytes | None, at: int) -> None:
        """Take one line without its newline; None stands for one too long to keep."""
        self.state.line(at)
        if line is None:
            self.event(StrayLine(at=at, reason="oversized"))
        elif self._engine is not None:
            self._decode(self._engine, line, at)
        elif line.strip():
            self._detect(line, at)

    def event(self, event: Event) -> None:
        """Take one event, decoded elsewhere (an on-disk transcript).

        A mistake of ours costs this event, is counted and told to Python's logging; it never
        reaches whoever feeds us.
        """
        try:
            if changes := apply(self.state, event):
                self._tell(changes)
        except Exception:  # noqa: BLE001  whatever it is, it is ours and not the agent's
            self._failed(type(event).__name__)

    def _failed(self, what: str) -> None:
        self.state.odd("recorder_error")
        _log.exception("%s was not recorded", what)

    def _tell(self, changes: list[Change]) -> None:
        self.tracer.changed(changes)
        for listener in self._listeners:
            listener(changes)

    def finish(
        self,
        exit_code: int | None = None,
        signal: int | None = None,
        at: int | None = None,
        killed_for: str | None = None,
    ) -> Summary:
        """End everything that is open, and the root with how the session went."""
        state = self.state
        at = max(at or state.last_sign, state.last_sign)
        for line in self._lines.rest():
            self.line(line, at)
        for line in self._errors.rest():
            state.stderr_tail.append((line or b"")[:4096].decode("utf-8", "replace"))
        if self._engine is None:
            self._settle(registry.get(UNKNOWN))
        outcome = judge(state, exit_code, signal, killed_for)
        clean = outcome.word in ("completed", "unknown")
        changes = finish(state, at, "abandoned" if clean else outcome.word, clean=clean)
        state.root.error, state.root.exit_code = outcome.error, exit_code
        changes += close(state.root, at)[:-1]
        try:
            self._tell(changes)
        except Exception:  # noqa: BLE001  as above
            self._failed("the end")
        summary = summarise(
            state,
            outcome,
            exit_code,
            state.root.end or at,
            self.extra,
            executable=self._run.executable,
        )
        self.tracer.note(semconv.EVENT_SUMMARY, state.root.end or at, summary.attributes())
        self.tracer.end(outcome, summary.attributes(), state.root.end or at)
        return summary.of_trace(self.tracer.root.get_span_context())

    def _decode(self, engine: Engine, line: bytes, at: int) -> None:
        for event in engine.decode(line, at):
            self.event(event)

    def _detect(self, line: bytes, at: int) -> None:
        """Hold lines back until one of them tells the engine; they are decoded then."""
        self._undecided.append((line, at))
        engine = registry.detect_line(line)
        if engine is None and len(self._undecided) < _DETECTION_LINES:
            return
        self._settle(engine or registry.get(UNKNOWN))

    def _settle(self, engine: Engine) -> None:
        self._engine = engine
        if engine.name != UNKNOWN:
            self.state.engine, self.state.traits = engine.name, engine.traits
            self.tracer.rename(engine.name, engine.provider)
        held, self._undecided = self._undecided, []
        for line, at in held:
            self._decode(engine, line, at)

    def _identity(self) -> dict[str, AttributeValue]:
        run = self._run
        known = {
            semconv.PROCESS_EXECUTABLE: run.executable,
            semconv.RESUMED: run.resumed,
        }
        return {**{k: v for k, v in known.items() if v is not None}, **run.attributes}
