"""The telemetry of one run: its providers, where they keep what they make, and their end."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from opentelemetry.context import Context

from otel_untether.export.journal_processor import JournalProcessor
from otel_untether.export.keeping import LogKeeper, SpanKeeper, SpanKeeping
from otel_untether.export.ledger import Ledger
from otel_untether.export.otlp_json import FILES, Lines
from otel_untether.export.text import describe
from otel_untether.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry import _logs, metrics, trace

    from otel_untether.export.delivery import Delivery
    from otel_untether.export.ids import IdGenerator
    from otel_untether.export.propagation import RootContext

# Of the time for shutting down, for spans and log records before metrics must begin.
_SHARE: Final = 0.6


class Telemetry(Struct, eq=False):
    """The providers of one run.

    `parent` is the context to start the root span in: the ambient caller's, else empty.
    `keeping` writes its spans down, None where they are somebody else's. `kept` says that nothing
    leaves: all there is to do is to write. `metric_exporters` are the push exporters behind
    `meter_provider`, the SDK's or `kept_metrics.KeptMetrics`, for metrics that are collected
    elsewhere but belong into the same place. `ledger` knows where everything is that was made.
    `finished` says, after `shutdown`, whether no exporter is at work any more.
    """

    tracer_provider: trace.TracerProvider
    meter_provider: metrics.MeterProvider
    logger_provider: _logs.LoggerProvider
    parent: Context = field(default_factory=Context)
    metric_exporters: tuple[Any, ...] = ()
    problems: list[str] = field(default_factory=list)
    keeping: SpanKeeping | None = None
    journal: Journal | None = None
    delivery: Delivery | None = None
    ledger: Ledger = field(default_factory=lambda: Ledger(kept=False))
    finished: bool = False
    owned: bool = False
    kept: bool = False
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

    def take_ids_from(self, generator: IdGenerator) -> None:
        """Have tracers that are made from now on take the ids of their spans from there."""
        provider: Any = self.tracer_provider
        provider.id_generator = generator

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
        providers: list[Any] = [self.tracer_provider, self.logger_provider]
        if self.kept:
            return self._close([*providers, self.meter_provider])
        ending = [
            _in_background(provider.shutdown)
            for provider in providers
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

    def _close(self, providers: list[Any]) -> bool:
        """Write what is left; there is nobody to wait for, and so no need of threads."""
        for provider in providers:
            with contextlib.suppress(Exception):
                if provider is self.meter_provider:
                    self.ledger.settle()
                provider.shutdown()
        self.finished = True
        self.problems += self.ledger.report()
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


def keep_spans(
    telemetry: Telemetry, run_dir: Path | None, resource: Any, *, live: bool
) -> list[SpanKeeping | JournalProcessor]:
    """Have spans kept in the run's folder as they come, and counted.

    Return what is to be told of them, in this order, as processors of the SDK's are. `resource`
    is what makes them; for `live` see `providers.start`.
    """
    spans = None
    if run_dir is not None:
        with complaining(telemetry, "open spans will not survive a crash"):
            telemetry.journal = Journal(run_dir)
            telemetry.journal.resource(resource)
        # What is set aside is safe: the journal need not have it any more.
        packed = telemetry.journal.compact if telemetry.journal is not None else None
        spans = Lines("traces", run_dir / FILES["traces"], packed)
    keeper = SpanKeeper(spans, telemetry.journal if live else None, telemetry.ledger)
    telemetry.keeping = SpanKeeping(keeper, replay=not live)
    if telemetry.delivery is not None:
        telemetry.delivery.write_down = telemetry.keeping.force_flush
    if telemetry.journal is None:
        return [telemetry.keeping]
    return [telemetry.keeping, JournalProcessor(telemetry.journal, live=live)]


def log_keeper(telemetry: Telemetry, run_dir: Path | None) -> LogKeeper:
    """Return what keeps log records in the run's folder, and counts them."""
    logs = Lines("logs", run_dir / FILES["logs"]) if run_dir else None
    return LogKeeper(logs, telemetry.ledger)


def parent_of(root: RootContext | None) -> Context:
    """Return the ambient caller as a context, read by OpenTelemetry's own propagator."""
    if root is None or root.parent_span_id is None:
        return Context()
    ids = f"{root.trace_id:032x}-{root.parent_span_id:016x}"
    carrier = {"traceparent": f"00-{ids}-{root.trace_flags:02x}"}
    if root.tracestate:
        carrier["tracestate"] = root.tracestate
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415  where there is one

    propagator = tracecontext.TraceContextTextMapPropagator()
    return propagator.extract(carrier, context=Context())


@contextlib.contextmanager
def complaining(telemetry: Telemetry, consequence: str) -> Iterator[None]:
    """Note what a file that cannot be used means for the run."""
    try:
        yield
    except OSError as error:
        telemetry.problems.append(f"{consequence}: {describe(error)}")
