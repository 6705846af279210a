"""One watched session, from its first sign to its end."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Final

from otel_untether.engines import UNKNOWN
from otel_untether.engines.lines import LineSplitter
from otel_untether.session.activity import close
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.outcome import judge, without_relay
from otel_untether.session.summary import Summary, summarise
from otel_untether.watching.interruptions import let_through
from otel_untether.watching.listener import hooks
from otel_untether.watching.unplaced import Unplaced

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_untether.engines.decoding import LineDecoder
    from otel_untether.engines.engine import Engine
    from otel_untether.session.activity import AttributeValue
    from otel_untether.session.events import Event
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.spans import SessionTracer
    from otel_untether.watching.follower import Follower
    from otel_untether.watching.listener import Listener
    from otel_untether.watching.silence import SilenceWatch
    from otel_untether.watching.subject import End, RunInfo
else:
    import _signal as signal  # what `signal` wraps in enums, for 2 ms of each run

_log: Final = logging.getLogger(__name__)
_STDERR_LINE: Final = 4096
_STDERR_SPLIT: Final = 1024 * 1024


class WatchedSession:
    """Takes what a session prints and tells its listeners, in order, what that means.

    A host makes it (`Host.open`). What feeds it and what ticks it may be two threads. Nothing
    here raises: a mistake of ours is counted, logged, and costs no more than itself.
    """

    def __init__(
        self,
        run: RunInfo,
        state: SessionState,
        decoder: LineDecoder,
        tracer: SessionTracer,
        listeners: Sequence[Listener],
        watch_process: Callable[[int], SilenceWatch | None],
        follow: Callable[[Engine], Follower | None] = lambda _engine: None,
    ) -> None:
        self.run = run
        self.state = state
        self.tracer = tracer
        self.silence: SilenceWatch | None = None
        self.summary: Summary | None = None
        self.on_end: Callable[[], object] = lambda: None
        self._watch_process = watch_process
        self._follow = follow
        self._follower: Follower | None = None
        self._unplaced = Unplaced(state)
        self._decoder = decoder
        self._engine = decoder.engine
        self._session_id: str | None = None
        self._listeners = tuple(listeners)
        self._hear_changes = hooks(self._listeners, "changed")
        self._hear_ticks = hooks(self._listeners, "ticked")
        self._errors = LineSplitter(limit=_STDERR_SPLIT)
        self._lock = threading.RLock()

    @property
    def reads(self) -> bool:
        """Whether what the agent prints makes a difference (`passed` is told otherwise)."""
        return self._decoder.reads

    @property
    def killed_for(self) -> str | None:
        """The cause for which we ended the agent, None where we did not."""
        return self.silence.killed_for if self.silence else None

    @property
    def overtime(self) -> float:
        """Seconds that a kill under way may still take."""
        return self.silence.overtime if self.silence else 0.0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else from changing the state, to look at several parts of it."""
        with self._lock:
            yield

    def spawned(self, pid: int) -> None:
        """Note that the process lives, and watch it where the host can."""
        self.state.pid = pid
        with self._guarded("the process"):
            self.silence = self._watch_process(pid)
        self._tell("spawned", pid)
        self._begin_following()

    def feed(self, chunk: bytes, at: int) -> None:
        """Take bytes of standard output, in chunks of any size, arrived at `at`."""
        with self._lock:
            self.state.heard(len(chunk), at)
            for line in self._decoder.split(chunk):
                self._line(line, at)

    def line(self, line: bytes | None, at: int) -> None:
        """Take one line without its newline; None stands for one too long to keep."""
        with self._lock:
            self._line(line, at)

    def _line(self, line: bytes | None, at: int) -> None:
        """Take one line. This and what it calls is called with the lock, taken once a chunk."""
        self.state.line(at)
        try:
            events = self._decoder.decode(line, at)
        except Exception:  # noqa: BLE001  whatever it is, it is ours and not the agent's
            self._failed("a line")
            return
        if self._decoder.engine is not self._engine:
            self._recognised()
        for event in events:
            self._event(event)

    def event(self, event: Event) -> None:
        """Take one event of its output, or of a record of that, decoded elsewhere."""
        with self._lock:
            self._event(event)

    def _event(self, event: Event) -> None:
        follower = self._follower
        if follower is None:
            self._apply(event)
        elif follower.merger.streamed(event):
            if self._unplaced.keeps(event):
                if self._unplaced.asks_anew(event):
                    follower.hurry()
                return
            if self._unplaced.is_full:
                self._place(None)
            self._apply(event)

    def _apply(self, event: Event) -> None:
        try:
            changes = apply(self.state, event)
        except Exception:  # noqa: BLE001  as above
            self._failed(type(event).__name__)
            return
        if changes:
            for hear in self._hear_changes:
                try:
                    hear(changes)
                except Exception:  # noqa: BLE001  as above
                    self._failed(type(event).__name__)
        if self.state.session_id != self._session_id:
            self._identified()

    def stdin(self, chunk: bytes, at: int) -> None:
        """Take bytes that the agent was given on its stdin, in chunks of any size, at `at`.

        They are no sign of life; they tell of prompts, and that what it asked was answered.
        """
        with self._lock:
            try:
                events = self._decoder.given(chunk, at)
            except Exception:  # noqa: BLE001  whatever it is, it is ours and not the agent's
                self._failed("its input")
                return
            for event in events:
                self._event(event)

    def stderr(self, chunk: bytes, at: int) -> None:
        """Keep the tail of standard error; it is no sign of life, as agents log in their sleep."""
        del at
        with self._lock:
            for line in self._errors.feed(chunk):
                if line is not None:
                    self._keep_error(line)

    def passed(self, size: int, at: int) -> None:
        """Note output that nobody read, the last of which arrived at `at`."""
        with self._lock:
            self.state.lines_known = False
            self.state.heard(size, at)

    def gap(self) -> None:
        """Bytes were lost here: go on at the next newline."""
        with self._lock:
            self.state.missed = True
            self.state.odd("output_missed")
            self._decoder.resynchronise()

    def signalled(self, number: int, at: int) -> None:
        """Note that the agent was sent the signal `number`."""
        if number == signal.SIGINT:
            with self._lock:
                self.state.interrupted_at = at

    def tick(self, now: int) -> None:
        """Look at the session, in silence too; about once a second, `now` in ns."""
        with self._lock:
            for hear in self._hear_ticks:
                try:
                    hear(now)
                except Exception:  # noqa: BLE001  as above
                    self._failed("a tick")
        self._recall(now)
        if self.silence is not None:
            self.silence.tick(now, self._lock)

    def _begin_following(self) -> None:
        """Read its own files as well, once it is known whose they are."""
        engine = self._decoder.engine
        if self._follower is None and self.state.pid is not None and engine is not None:
            with self._guarded("its own files"):
                self._follower = self._follow(engine)
                self.state.followed = self._follower is not None

    def _recall(self, now: int, *, last: bool = False) -> None:
        """Take what its own files tell, and its output does not; read without the lock."""
        follower = self._follower
        with self._lock:
            if follower is not None and self._unplaced.is_urgent(now):
                follower.hurry()
        if follower is not None and (last or follower.is_due(now)):
            with self._guarded("its own files"):
                events = follower.read(now, last=last)
                with self._lock:
                    for event in follower.news(events, last=last) if events else ():
                        self._take_recalled(event)
        with self._lock:
            self._place(None if last else now)

    def _place(self, now: int | None) -> None:
        """Take what was kept of calls until it is known whose they are; all of it for None."""
        for event in self._unplaced.placed(now):
            take = self._take_recalled if self._unplaced.is_past(event) else self._apply
            take(event)

    def _take_recalled(self, event: Event) -> None:
        state = self.state
        state.last_sign = max(state.last_sign, event.at)
        state.recalling = True
        try:
            self._apply(event)
        finally:
            state.recalling = False

    def finish(
        self,
        end: End,
        killed_for: str | None = None,
        *,
        last_word: Callable[[], object] | None = None,
    ) -> Summary:
        """End everything that is open, and the root with how the session went.

        `killed_for` is the cause where somebody else ended the agent on purpose. `last_word`
        waits until whoever spawned it has said what he makes of that.
        """
        try:
            self._see_through(end, last_word)
        finally:  # also where a Ctrl-C cuts that short: there is no second end
            extra = self.silence.attributes() if self.silence is not None else {}
            with self._lock:
                self.summary = self._finish(end, killed_for or self.killed_for, extra)
            self.on_end()
        return self.summary

    def _see_through(self, end: End, last_word: Callable[[], object] | None) -> None:
        """Wait for what belongs to the session, and may take a while."""
        if self.silence is not None:
            self.silence.close(self._lock)
        if last_word is not None:
            last_word()
        self._recall(end.at or self.state.last_sign, last=True)

    def _finish(
        self, end: End, killed_for: str | None, extra: Mapping[str, AttributeValue]
    ) -> Summary:
        state = self.state
        at = max(end.at or state.last_sign, state.last_sign)
        self._take_rest(at)
        outcome = judge(state, end.exit_code, end.signal, killed_for)
        if end.unheard:
            outcome = without_relay(outcome)
        self._close_activities(outcome, end.exit_code, at)
        at = state.root.end or at
        summary = summarise(
            state, outcome, end.exit_code, at, extra, executable=self.run.executable
        ).of_trace(self.tracer.root.get_span_context())
        self._tell("ended", outcome, summary, at)
        return summary

    def _take_rest(self, at: int) -> None:
        for line in self._decoder.rest():
            self._line(line, at)
        for line in self._errors.rest():
            self._keep_error(line or b"")
        for event in self._decoder.settle():
            self._event(event)

    def _close_activities(self, outcome: Outcome, exit_code: int | None, at: int) -> None:
        state = self.state
        clean = outcome.word in ("completed", "unknown")
        with self._guarded("the end"):
            changes = finish(state, at, "abandoned" if clean else outcome.word, clean=clean)
            state.root.error, state.root.exit_code = outcome.error, exit_code
            changes += close(state.root, at)[:-1]
            self._tell("changed", changes)

    def _recognised(self) -> None:
        engine = self._engine = self._decoder.engine
        if engine is not None and engine.name != UNKNOWN:
            self.state.engine, self.state.traits = engine.name, engine.traits
            self._tell("recognised", engine.name, engine.provider)
            self._begin_following()

    def _identified(self) -> None:
        self._session_id = self.state.session_id
        if self._session_id is not None:
            self._tell("identified", self._session_id)

    def _keep_error(self, line: bytes) -> None:
        self.state.stderr_tail.append(line[:_STDERR_LINE].decode("utf-8", "replace"))

    def _tell(self, hook: str, *what: object) -> None:
        for hear in hooks(self._listeners, hook):
            with self._guarded(hook):
                hear(*what)

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001  as above
            self._failed(what)

    def _failed(self, what: str) -> None:
        """Count a mistake of ours, in the `except` that has caught it; the program's goes on."""
        let_through()
        self.state.odd("recorder_error")
        _log.exception("%s was not recorded", what)
