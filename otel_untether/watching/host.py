"""What the sessions of one process share, and the one place where a session is put together."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from otel_untether.engines import UNKNOWN, registry
from otel_untether.engines.decoding import LineDecoder
from otel_untether.export import providers as export
from otel_untether.export.gauge_exporter import GaugeExporter
from otel_untether.notice import notice, printable
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.session.content import Capture, from_environ
from otel_untether.session.state import SessionState
from otel_untether.spans import SessionTracer
from otel_untether.watching.flushing import Flushing, flush
from otel_untether.watching.follower import Follower
from otel_untether.watching.measures import own_measures
from otel_untether.watching.operator import Operator
from otel_untether.watching.resumption import Resumption
from otel_untether.watching.run_keeper import RunKeeper
from otel_untether.watching.session import WatchedSession
from otel_untether.watching.silence import SilenceWatch
from otel_untether.watching.telemetry import Measured, Traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import SpanContext

    from otel_untether.clock import Clock
    from otel_untether.config.settings import Config
    from otel_untether.engines.engine import Engine
    from otel_untether.export.ids import IdGenerator
    from otel_untether.export.propagation import RootContext
    from otel_untether.proc_diag import Tree, TreeSnapshot
    from otel_untether.store.runs import Run, RunIdentity, Store
    from otel_untether.watching.listener import Listener
    from otel_untether.watching.measures import Measures, Shown
    from otel_untether.watching.subject import RunInfo, Subject

# Bytes of an agent's own files that are read: in a process of ours, and in other people's, who
# are held up by a second for every hundred megabytes.
# What serves this, speaks of one session at a time.
_ONE_SESSION: Final = "acp"
_OWN_FILES: Final = 64 * 1024 * 1024
_GUEST_FILES: Final = 8 * 1024 * 1024


class _Own(NamedTuple):
    """What a process has whose OpenTelemetry is ours: an exporter of gauges, the run's folder.

    What is not `live` is a recording's replay.
    """

    exporter: GaugeExporter
    run: Run | None
    live: bool


class Host:
    """Settings, providers, fleet instruments, one sampler and a store: what sessions share.

    `own` is for a process whose OpenTelemetry is ours to set up (run, replay); for other people's
    programs there is `guest_host.GuestHost`. `store` is where runs and outcomes are kept, None
    where nothing is.
    """

    def __init__(
        self,
        settings: Config,
        telemetry: export.Telemetry,
        *,
        store: Store | None,
        capture: Capture,
        measures: Measures,
        say: Callable[[str], object],
        sampler: Sampler,
        own: _Own | None = None,
    ) -> None:
        self.settings = settings
        self.telemetry = telemetry
        self.store = store
        self._capture = capture
        self._sampler = sampler
        self._measures = measures
        self._say = say
        self._own = own

    @classmethod
    def own(
        cls,
        settings: Config,
        identity: RunIdentity,
        *,
        store: Store | None = None,
        run: Run | None = None,
        root: RootContext | None = None,
        ids: IdGenerator | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Host:
        """Set OpenTelemetry up for one run, as `environ` asks for it.

        `run` is the run's folder, None where there is none. The first span started gets the ids
        of `root`. With `ids` the session is not live: a recording, whose spans take their ids
        from there, and which nobody measures. Nothing is raised: what went wrong is in
        `telemetry.problems`.
        """
        folder, live = run.path if run else None, ids is None
        telemetry = export.start(identity, root=root, run_dir=folder, environ=environ, live=live)
        if ids is not None:
            telemetry.take_ids_from(ids)
        exporter = GaugeExporter(telemetry.metric_exporters if live else (), environ=environ)
        measures = own_measures(
            telemetry.meter_provider if live else export.silent().meter_provider,
            exporter,
            getattr(telemetry.tracer_provider, "resource", None),
        )
        telemetry.ledger.listen(measures.fleet.lost)
        return cls(
            settings,
            telemetry,
            store=store,
            capture=capture_of(settings, environ),
            measures=measures,
            say=notice,
            sampler=Sampler(settings.watchdog.sample_interval),
            own=_Own(exporter, run, live),
        )

    def open(self, subject: Subject, run: Run | None = None) -> WatchedSession:
        """Begin to watch a session; `run` is its folder, None where nothing is kept of it.

        Raises ValueError, which lists the engines there are, for an unknown one.
        """
        info = subject.run
        named = registry.get(info.engine) if info.engine else None
        engine = registry.speaking(named, info.serves) if named else None
        decoder = LineDecoder(engine, certain=not info.guessed)
        state = _state(info, decoder)
        stop_keeping = self._keep_spans(info.run_id, run)
        tracer = self._tracer(subject, state, decoder)
        shown = self._measures.show(state, subject.clock)

        def silence() -> SilenceWatch | None:
            return session.silence

        def watch_process(pid: int) -> SilenceWatch | None:
            told = _told_its_trace(subject, tracer.root.get_span_context())
            watch = self._watch_process(told, pid, state, listeners)
            if watch is not None:
                shown.points.window = watch.window
            return watch

        def follow(engine: Engine) -> Follower | None:
            return self._follow(subject, state, engine, silence)

        listeners = self._listeners(subject, state, tracer, shown, run, silence)
        session = WatchedSession(info, state, decoder, tracer, listeners, watch_process, follow)
        self._attend(session, subject.clock, run, stop_keeping)
        if info.pid is not None:
            session.spawned(info.pid)
        return session

    def flush(self) -> None:
        """Have spans, log records and metrics leave now; takes a second at most."""
        if self._own is None:
            flush(self._providers)
        else:
            flush(self._providers, self._own.exporter.flush)

    def announce(self) -> None:
        """Have leave what is there at a session's start, but not its gauges.

        Their series are an engine's: of one that is recognised by its first lines there would be
        another of an unknown engine, for minutes.
        """
        flush(self._providers)

    @property
    def _providers(self) -> tuple[object, ...]:
        telemetry = self.telemetry
        return telemetry.tracer_provider, telemetry.logger_provider, telemetry.meter_provider

    def drain(self, seconds: float = 5.0) -> None:
        """Have finished spans leave before more come than a queue holds; waits for that."""
        flush: Any = getattr(self.telemetry.tracer_provider, "force_flush", None)
        if flush is not None:
            flush(int(seconds * 1000))

    def close(self, deadline: float) -> list[str]:
        """Show gauges once more and stop exporting, within `deadline` seconds.

        Return what telemetry complained about meanwhile. A guest leaves everything running.
        """
        known = len(self.telemetry.problems)
        if self._own is not None:
            self._own.exporter.shutdown(deadline / 2)
        # While exporters are still at it, nobody else may send the same: the lock stays ours.
        self.telemetry.shutdown(deadline / 2)
        if self.telemetry.finished and self._own and self._own.run:
            self._own.run.release()
        return self.telemetry.problems[known:]

    def linger(self, seconds: float) -> None:
        """After `close`, let exporters go on for so long that could not finish within its time."""
        if self.telemetry.linger(seconds) and self._own and self._own.run:
            self._own.run.release()

    def _tracer(self, subject: Subject, state: SessionState, decoder: LineDecoder) -> SessionTracer:
        own = self._own_spans(subject, decoder.engine)
        return SessionTracer(
            state,
            tracer_provider=self.telemetry.tracer_provider,
            logger_provider=self.telemetry.logger_provider,
            parent=subject.parent if self._own is None else self.telemetry.parent,
            provider=decoder.engine.provider if decoder.engine else None,
            capture=self._capture,
            chats=self.settings.telemetry.chat_spans and not own,
            calls=not own,
        )

    def _own_spans(self, subject: Subject, engine: Engine | None) -> bool:
        """Whether the agent makes spans of its answers and calls, which stand for ours."""
        if self.settings.telemetry.native != "join" or not subject.sampled or engine is None:
            return False
        around = subject.surroundings
        joins = engine.joins_trace(around.environ if around is not None else os.environ)
        if joins:
            self._say("the agent's own spans of its answers and calls join this trace, not ours")
        return joins

    def _watch_process(
        self, subject: Subject, pid: int, state: SessionState, listeners: list[Listener]
    ) -> SilenceWatch | None:
        if not subject.sampled:
            return None
        return SilenceWatch(
            subject, pid, state, self.settings.watchdog, self._sampler, listeners, self.flush
        )

    def _follow(
        self,
        subject: Subject,
        state: SessionState,
        engine: Engine,
        silence: Callable[[], SilenceWatch | None],
    ) -> Follower | None:
        """Follow what a live agent writes down about its session, unless nobody wants that."""
        # Of what else it may serve there is no one session.
        served = subject.run.serves not in (None, _ONE_SESSION)
        if served or not subject.sampled or not self.settings.telemetry.session_files:
            return None

        def tree() -> TreeSnapshot | None:
            watch = silence()
            return watch.window.latest if watch else None

        limit = _OWN_FILES if self._own is not None else _GUEST_FILES
        return Follower.of(
            engine,
            state,
            plain=subject.run.plain,
            tree=tree,
            limit=limit,
            expected=subject.surroundings,
        )

    def _listeners(
        self,
        subject: Subject,
        state: SessionState,
        tracer: SessionTracer,
        shown: Shown,
        run: Run | None,
        silence: Callable[[], SilenceWatch | None],
    ) -> list[Listener]:
        """Return who hears of the session, in order: what a crash cannot take comes first."""

        def tree() -> Tree | None:
            watch = silence()
            return watch.tree if watch else None

        def taint() -> None:
            if (watch := silence()) is not None:
                watch.taint()

        listeners: list[Listener] = []
        say = self._say if self._own is not None else _naming(subject.run, self._say)
        operator = Operator(say)
        if run is not None:
            # A replay that is cut off is made again: nobody recovers what it had used by then.
            live = self._own is None or self._own.live
            keeper = RunKeeper(run, self.telemetry.journal if live else None, state, tree)
            operator = Operator(say, keeper.dump_of)
            listeners.append(keeper)
        listeners.append(Traced(tracer, subject.run))
        if self.store is not None:
            listeners.append(Resumption(self.store, state, tracer, taint, subject.run.continues))
        measured = self._measures.fleet.session(state)
        listeners.append(Measured(measured, shown.points.found, shown.end))
        listeners.append(operator)
        if self._own is not None:
            listeners.append(Flushing(self.flush))
        return listeners

    def _keep_spans(self, run_id: str, run: Run | None) -> Callable[[], None] | None:
        """Keep a session's spans in its run's folder; those of our own providers are there."""
        del run_id, run
        return None

    def _attend(
        self,
        session: WatchedSession,
        clock: Clock,
        run: Run | None,
        stop_keeping: Callable[[], None] | None,
    ) -> None:
        """Have somebody tick a session; `stop_keeping` is called at its end. Ours is ticked."""


def _told_its_trace(subject: Subject, root: SpanContext) -> Subject:
    """Return a subject with the trace context that its process is given, where that is ours."""
    if subject.traceparent is not None or not root.is_valid:
        return subject
    ids = f"{root.trace_id:032x}-{root.span_id:016x}"
    return replace(subject, traceparent=f"00-{ids}-{root.trace_flags:02x}")


def _state(info: RunInfo, decoder: LineDecoder) -> SessionState:
    engine = decoder.engine
    state = SessionState(
        info.run_id,
        info.started,
        engine=engine.name if engine else UNKNOWN,
        multi_prompt=info.multi_prompt,
        headless=info.headless,
        serves=info.serves,
        debug_log=info.debug_log,
    )
    if engine is not None:
        state.traits = engine.behaves(plain=info.plain)
    return state


def capture_of(settings: Config, environ: Mapping[str, str]) -> Capture:
    """Return what content may be captured, by the settings or by OpenTelemetry's variable."""
    asked = settings.capture.content or from_environ(environ).enabled
    return Capture(enabled=asked, limit=settings.capture.max_length)


def _naming(run: RunInfo, say: Callable[[str], object]) -> Callable[[str], object]:
    """Return what says whose each line is: other people's programs may have several agents."""
    name = printable(run.engine or run.executable or "an agent")
    whose = f"{name} (run {run.run_id[:8]})"
    return lambda line: say(f"{whose}: {line}")
