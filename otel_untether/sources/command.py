"""The observer of a `run`: one session's folder, telemetry and recorder, put together.

Made in the observer's thread once the agent runs, so what it imports delays nobody.
"""

from __future__ import annotations

import contextlib
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.trace import Link, SpanContext, TraceFlags

from otel_untether import semconv
from otel_untether.engines import registry
from otel_untether.export.providers import start as start_telemetry
from otel_untether.notice import notice
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.session import content as capture
from otel_untether.store.process_identity import identify
from otel_untether.store.recovery import recover
from otel_untether.store.runs import (
    RunIdentity,
    SessionOutcome,
    StoreError,
    load_run,
    new_run_id,
    store_at,
)
from otel_untether.supervisor.observer import Observer
from otel_untether.watching.desk import RunDesk
from otel_untether.watching.meters import Meters
from otel_untether.watching.monitor import Monitor
from otel_untether.watching.recorder import Recorder, RunInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.config.settings import Config
    from otel_untether.export.propagation import RootContext
    from otel_untether.session.summary import Summary
    from otel_untether.store.beginning import Beginning
    from otel_untether.store.runs import Run
    from otel_untether.supervisor.observer import Child, ObserverFactory

# Of the exit timeout, for exporters: the rest is for us to say how it went.
_SHARE = 0.8

# A session that ended like this tends to freeze again when resumed: its context is tainted.
_TAINTING = frozenset({"killed", "stalled", "orphaned"})


def factory(
    config: Config,
    root: RootContext,
    begun: Beginning | None,
    *,
    engine: str | None,
    environ: Mapping[str, str],
) -> ObserverFactory:
    """Return what the supervisor calls with the agent it has just spawned.

    `begun` is the run as it is on disk, None where it could not be put there.
    """
    return partial(
        SessionObserver, config=config, root=root, begun=begun, engine=engine, environ=environ
    )


class SessionObserver(Observer):
    """Observes one session."""

    def __init__(
        self,
        child: Child,
        *,
        config: Config,
        root: RootContext,
        begun: Beginning | None,
        engine: str | None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._config = config
        self.tick_interval = int(min(1.0, config.watchdog.sample_interval) * 1e9)
        self._child = child
        detected = registry.detect_argv(child.argv)
        name = engine or (detected.name if detected else None)
        run_id = begun.run_id if begun is not None else new_run_id()
        self._identity = RunIdentity(run_id, name or "unknown")
        self._store = store_at(config.telemetry.state_dir, environ)
        self._run = self._begun_run(begun)
        self._telemetry = start_telemetry(
            self._identity,
            root=root,
            run_dir=self._run.path if self._run else None,
            environ=environ,
        )
        self.recorder = Recorder(
            self._run_info(name),
            tracer_provider=self._telemetry.tracer_provider,
            logger_provider=self._telemetry.logger_provider,
            parent=self._telemetry.parent,
            capture=_capture(config, environ),
            chats=config.telemetry.chat_spans,
        )
        self._desk = RunDesk(
            self._run.path if self._run else None, self._telemetry, self.recorder.state
        )
        self._sampler = Sampler(config.watchdog.sample_interval)
        self._monitor = Monitor(
            self.recorder,
            child,
            config.watchdog,
            self._sampler,
            self._desk,
            subreaper=True,
        )
        self._meters = Meters(
            self._telemetry, self.recorder.state, self._monitor.window, child.clock, environ
        )
        self._desk.meters = self._meters
        self.recorder.listen(self._meters.changed)
        self._known: str | None = None
        for problem in self._telemetry.problems:
            notice(problem)
        _in_background(self._desk.flush)
        _in_background(self._tidy)

    def stdout(self, chunk: bytes, at: int) -> None:
        """Decode what the agent said."""
        self.recorder.feed(chunk, at)
        self.reads_stdout = self.recorder.reads
        session_id = self.recorder.state.session_id
        if session_id is not None and session_id != self._known:
            self._known = session_id
            self._recognise(session_id)

    def passed(self, size: int, at: int) -> None:
        """Note that the agent said something."""
        self.recorder.passed(size, at)

    def stderr(self, chunk: bytes, at: int) -> None:
        """Keep the tail of what the agent complained about."""
        self.recorder.feed_stderr(chunk, at)

    def gap(self) -> None:
        """Go on at the next newline."""
        self.recorder.gap()

    def tick(self, now: int) -> None:
        """Look at the session, in silence too."""
        self._monitor.tick(now)
        self._meters.tick()
        self.overtime = self._monitor.overtime

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        """End the trace, hand it over within the deadline, and sum up."""
        self._monitor.close()
        summary = self.recorder.finish(exit_code, signal, at, self._monitor.killed_for)
        self._remember(summary, at)
        self._desk.close()
        late = (self._child.clock.now() - at) / 1e9
        allowed = max(0.1, _SHARE * self._config.telemetry.exit_timeout - late)
        self._meters.end(summary.outcome, at, allowed / 2)
        known = len(self._telemetry.problems)
        # While exporters are still at it, nobody else may send the same: the lock stays ours.
        if self._telemetry.shutdown(allowed / 2) and self._run is not None:
            self._run.release()
        for problem in self._telemetry.problems[known:]:
            notice(problem)
        return summary.text()

    def _begun_run(self, begun: Beginning | None) -> Run | None:
        if begun is None:
            return None
        try:
            run = load_run(Path(begun.path))
        except StoreError as error:
            notice(str(error))
            return None
        run.lock = begun.lock
        run.update(process=identify(self._child.pid), engine=self._identity.engine)
        return run

    def _run_info(self, engine: str | None) -> RunInfo:
        argv = self._child.argv
        known = registry.get(engine) if engine else None
        return RunInfo(
            run_id=self._identity.run_id,
            started=self._child.started,
            engine=engine,
            executable=Path(argv[0]).name,
            pid=self._child.pid,
            multi_prompt=known is not None and known.multi_prompt(argv),
            resumed=True if known is not None and known.resumes(argv) else None,
        )

    def _recognise(self, session_id: str) -> None:
        """The engine said which session this is; perhaps we have met it before."""
        state = self.recorder.state
        if self._run is not None:
            self._run.update(session_id=session_id, engine=state.engine, model=state.model)
        before = self._store.last_outcome(state.engine, session_id)
        if before is None:
            return
        state.resumes(before.usage, before.cost_usd)
        tainted = before.outcome in _TAINTING
        root = self.recorder.tracer.root
        root.set_attributes({semconv.RESUMED: True, semconv.TAINTED: tainted})
        if tainted:
            self._monitor.taint()
        link = _link(before)
        if link is not None:
            root.add_link(link.context, link.attributes)

    def _remember(self, summary: Summary, at: int) -> None:
        """Keep how it went: for `report`, and for the run that resumes this session."""
        context = self.recorder.tracer.root.get_span_context()
        if self._run is not None:
            self._run.update(
                engine=summary.engine,
                session_id=summary.session_id,
                model=summary.model,
                ended=at,
                outcome=summary.outcome.word,
                exit_code=summary.exit_code,
                cost_usd=summary.cost_usd,
            )
        if summary.session_id is None:
            return
        self._store.remember_outcome(
            SessionOutcome(
                engine=summary.engine,
                session_id=summary.session_id,
                outcome=_lasting(summary),
                at=at,
                trace_id=summary.trace_id,
                span_id=f"{context.span_id:016x}" if context.is_valid else None,
                cost_usd=self.recorder.state.cost_usd,
                usage=self.recorder.state.usage,
            )
        )

    def _tidy(self) -> None:
        """End what a watcher that died left open; let go of what is too old, or too much."""
        for run in self._store.list_runs().runs:
            if run.record.ended is None and not run.running:
                with contextlib.suppress(StoreError, OSError):
                    recover(run.path)
        kept = self._config.telemetry
        self._store.prune(
            self._child.clock.now(),
            max_age=kept.keep_days * 86_400,
            max_count=kept.keep_runs,
            max_bytes=int(kept.keep_megabytes * 2**20),
        )


def _lasting(summary: Summary) -> str:
    """What the next run of this session should know: a stall matters more than its end."""
    word = summary.outcome.word
    return "stalled" if summary.extra.get(semconv.STALLED) and word != "killed" else word


def _capture(config: Config, environ: Mapping[str, str]) -> capture.Capture:
    asked = config.capture.content or capture.from_environ(environ).enabled
    return capture.Capture(enabled=asked, limit=config.capture.max_length)


def _link(before: SessionOutcome) -> Link | None:
    if before.trace_id is None or before.span_id is None:
        return None
    context = SpanContext(
        int(before.trace_id, 16), int(before.span_id, 16), is_remote=True, trace_flags=TraceFlags(1)
    )
    return Link(context, {semconv.OUTCOME: before.outcome}) if context.is_valid else None


def _in_background(work: Callable[[], None]) -> None:
    """Do what nobody waits for, and whose failure is nobody's concern."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            work()

    threading.Thread(target=quietly, name="otel-untether-aside", daemon=True).start()
