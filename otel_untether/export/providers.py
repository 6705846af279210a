"""OpenTelemetry for one run: providers as OTEL_* asks for them, and an end within a deadline.

The SDK's own configurator does the work, so every `OTEL_*` variable and `OTEL_CONFIG_FILE`
mean what OpenTelemetry documents. Beside it each run writes its spans and log records to its
folder the moment they exist, whatever becomes of collectors. Nothing here raises, and nothing
here is printed: what went wrong is in `Telemetry.problems`, what the SDK had to say in the
folder's `otel.log`.

Importing this module imports the SDK, which takes 0.1 to 0.3 s; spawn the agent first.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from opentelemetry import _logs, metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_untether.export import quiet, sdk
from otel_untether.export.ids import RootIdGenerator, SeededIdGenerator
from otel_untether.export.journal_processor import JournalProcessor
from otel_untether.export.keeping import LogKeeper, SpanKeeper, SpanKeeping
from otel_untether.export.kept_spans import KeptTracerProvider
from otel_untether.export.ledger import Ledger
from otel_untether.export.otlp_json import FILES, Lines
from otel_untether.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from otel_untether.export.delivery import Delivery
    from otel_untether.export.environment import Plan, Signal
    from otel_untether.export.propagation import RootContext
    from otel_untether.store.runs import RunIdentity

__all__ = ["RootIdGenerator", "SeededIdGenerator", "Telemetry", "start"]

# Of the time for shutting down, for spans and log records before metrics must begin.
_SHARE = 0.6


class Telemetry(Struct, eq=False):
    """The providers of one run.

    `parent` is the context to start the root span in: the ambient caller's, else empty.
    `keeping` writes its spans down, None where they are somebody else's.
    `metric_exporters` are the push exporters behind `meter_provider`, for metrics that are
    collected elsewhere but belong into the same place. `ledger` knows where everything is that
    was made. `finished` says, after `shutdown`, whether no exporter is at work any more.
    """

    tracer_provider: trace.TracerProvider
    meter_provider: metrics.MeterProvider
    logger_provider: _logs.LoggerProvider
    parent: Context = field(default_factory=Context)
    metric_exporters: tuple[MetricExporter, ...] = ()
    problems: list[str] = field(default_factory=list)
    keeping: SpanKeeping | None = None
    journal: Journal | None = None
    delivery: Delivery | None = None
    ledger: Ledger = field(default_factory=lambda: Ledger(kept=False))
    finished: bool = False
    owned: bool = False
    _stopped: bool | None = None
    _left: list[threading.Thread] = field(default_factory=list)

    def shutdown(self, deadline: float) -> bool:
        """Flush and stop within `deadline` seconds; return whether all of it was handed over.

        Exporters may take longer than any timeout they are given (the SDK's flush ignores
        its own, measured 7 to 22 s against a dead collector), so they are left behind in
        daemon threads when time is up. What they had not delivered by then is on disk.
        Providers of the host's own are left running.
        """
        if self._stopped is None:
            self._stopped = not self.owned or self._shutdown(time.monotonic() + deadline)
        return self._stopped

    def together(self) -> contextlib.AbstractContextManager[None]:
        """Write the spans that end meanwhile together; it costs a third of doing so one by one."""
        return contextlib.nullcontext() if self.keeping is None else self.keeping.together()

    def linger(self, seconds: float) -> bool:
        """After `shutdown`, wait for exporters that it left behind; return as it does."""
        if self._stopped is False:
            self.finished = _join(self._left, time.monotonic() + seconds)
            self._stopped = self._all_taken()
        return bool(self._stopped)

    def _shutdown(self, until: float) -> bool:
        ending = [
            _in_background(provider.shutdown)
            for provider in (self.tracer_provider, self.logger_provider)
            if hasattr(provider, "shutdown")
        ]
        self._left = [*ending, _in_background(lambda: self._end_metrics(ending))]
        if not _join(ending, time.monotonic() + _SHARE * (until - time.monotonic())):
            # The last collection is late, so this one may be the last that there is time for.
            _in_background(lambda: _flush(self.meter_provider))
        self.finished = _join(self._left, until)
        if self.delivery is not None:
            self.delivery.keep_in_flight()
        self.problems += self.ledger.report(hanging=not self.finished)
        return self._all_taken()

    def _end_metrics(self, before: list[threading.Thread]) -> None:
        """Collect metrics for the last time, once it is known what is lost of all else."""
        for thread in before:
            thread.join()
        self.ledger.settle()
        shutdown = getattr(self.meter_provider, "shutdown", None)
        if shutdown is not None:
            shutdown()

    def _all_taken(self) -> bool:
        if not (self.finished and self.ledger.complete):
            return False
        if self.delivery is not None:
            self.delivery.complete()
        return True


def _join(threads: list[threading.Thread], until: float) -> bool:
    """Wait for threads until a time of the monotonic clock; say whether all have ended."""
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def _in_background(work: Callable[[], object]) -> threading.Thread:
    def quietly() -> None:
        # Exporters complain as they like; there is nobody left to hear it.
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=quietly, name="otel-untether-shutdown", daemon=True)
    thread.start()
    return thread


def _flush(provider: Any) -> None:
    provider.force_flush()


def start(
    identity: RunIdentity,
    *,
    root: RootContext | None = None,
    run_dir: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    live: bool = True,
) -> Telemetry:
    """Start OpenTelemetry for a run, as `environ` asks for it.

    The first span started gets the ids of `root`; start it in `Telemetry.parent`. Where the
    process has a TracerProvider already (an instrumented host), that and its companions are
    used and nothing is set up. With `OTEL_SDK_DISABLED`, or where everything fails, the
    providers do nothing. What is not `live` can be read again: of its open spans only the roots
    are journaled, which takes a third off a replay.
    """
    problems = [root.problem] if root and root.problem else []
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return silent(root, problems)
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return Telemetry(*sdk.global_providers(), parent=_parent(root), problems=problems)
    try:
        quiet.keep_off_stderr(run_dir)
        plan = sdk.configure(identity, run_dir, environ, problems)
        return _assemble(root, run_dir, plan, problems, environ, live=live)
    # Whatever a distro, an exporter or a future SDK raises: the agent goes on without us.
    except Exception as error:  # noqa: BLE001
        problems.append(f"telemetry is off: {sdk.describe(error)}")
        return silent(root, problems)


def silent(root: RootContext | None = None, problems: list[str] | None = None) -> Telemetry:
    """Return providers that do nothing."""
    return Telemetry(
        trace.NoOpTracerProvider(),
        metrics.NoOpMeterProvider(),
        _logs.NoOpLoggerProvider(),
        parent=_parent(root),
        problems=[] if problems is None else problems,
    )


def _parent(root: RootContext | None) -> Context:
    """Return the ambient caller as a context, read by OpenTelemetry's own propagator."""
    if root is None or root.parent_span_id is None:
        return Context()
    ids = f"{root.trace_id:032x}-{root.parent_span_id:016x}"
    carrier = {"traceparent": f"00-{ids}-{root.trace_flags:02x}"}
    if root.tracestate:
        carrier["tracestate"] = root.tracestate
    return TraceContextTextMapPropagator().extract(carrier, context=Context())


def _assemble(
    root: RootContext | None,
    run_dir: Path | None,
    plan: Plan,
    problems: list[str],
    environ: Mapping[str, str],
    *,
    live: bool,
) -> Telemetry:
    providers = sdk.global_providers()
    telemetry = Telemetry(*providers, parent=_parent(root), problems=problems, owned=True)
    # After the configurator: OTEL_CONFIG_FILE has no place for it.
    sdk.set_id_generator(providers.tracer, RootIdGenerator(root))
    telemetry.ledger = Ledger(kept=run_dir is not None)
    _watch_exporters(telemetry, run_dir, plan)
    if not live and sdk.does_nothing_more(providers.tracer, environ):
        telemetry.tracer_provider = KeptTracerProvider(
            providers.tracer.resource, providers.tracer.id_generator
        )
    _keep(telemetry, run_dir, live=live)
    return telemetry


def _watch_exporters(telemetry: Telemetry, run_dir: Path | None, plan: Plan) -> None:
    providers = sdk.Providers(
        telemetry.tracer_provider, telemetry.meter_provider, telemetry.logger_provider
    )
    watched: list[tuple[Signal, Any]] = []
    for signal, exporter in sdk.exporters(providers):
        sdk.keep_off_stdout(exporter)
        if sdk.is_otlp(exporter):
            watched.append((signal, exporter))
        if isinstance(exporter, MetricExporter):
            telemetry.metric_exporters += (exporter,)
    if meant := {*plan.otlp, *(signal for signal, _ in watched)}:
        _watch_delivery(telemetry, run_dir, meant, watched)


def _watch_delivery(
    telemetry: Telemetry,
    run_dir: Path | None,
    meant: Iterable[Signal],
    watched: Iterable[tuple[Signal, Any]],
) -> None:
    from otel_untether.export.delivery import Delivery  # noqa: PLC0415  it imports protobuf

    telemetry.delivery = delivery = Delivery(run_dir, telemetry.ledger)
    for signal in meant:
        telemetry.ledger.expect(signal)
    for signal, exporter in watched:
        delivery.watch(exporter, signal)
    with _complaining(telemetry, "what no collector takes is not kept"):
        delivery.expect()


def _keep(telemetry: Telemetry, run_dir: Path | None, *, live: bool) -> None:
    """Have spans and log records kept in the run's folder as they come, and counted."""
    ledger, tracer_provider = telemetry.ledger, telemetry.tracer_provider
    if isinstance(tracer_provider, TracerProvider | KeptTracerProvider):
        spans = None
        if run_dir is not None:
            with _complaining(telemetry, "open spans will not survive a crash"):
                telemetry.journal = Journal(run_dir)
                telemetry.journal.resource(tracer_provider.resource)
            # What is set aside is safe: the journal need not have it any more.
            packed = telemetry.journal.compact if telemetry.journal is not None else None
            spans = Lines("traces", run_dir / FILES["traces"], packed)
        keeper = SpanKeeper(spans, telemetry.journal if live else None, ledger)
        telemetry.keeping = SpanKeeping(keeper, replay=not live)
        tracer_provider.add_span_processor(telemetry.keeping)
        if telemetry.delivery is not None:
            telemetry.delivery.write_down = telemetry.keeping.force_flush
        if telemetry.journal is not None:
            tracer_provider.add_span_processor(JournalProcessor(telemetry.journal, live=live))
    if isinstance(telemetry.logger_provider, LoggerProvider):
        logs = Lines("logs", run_dir / FILES["logs"]) if run_dir else None
        processor = SimpleLogRecordProcessor(LogKeeper(logs, ledger))
        telemetry.logger_provider.add_log_record_processor(processor)


@contextlib.contextmanager
def _complaining(telemetry: Telemetry, consequence: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        telemetry.problems.append(f"{consequence}: {sdk.describe(error)}")
