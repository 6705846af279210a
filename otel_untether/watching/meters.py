"""A run's metrics: what it adds to the fleet's instruments, and its session's own gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource

from otel_untether.export.gauge_exporter import GaugeExporter
from otel_untether.export.session_gauges import SessionGauges
from otel_untether.metrics import FleetMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_untether.clock import Clock
    from otel_untether.export.providers import Telemetry
    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag.sampler import Window
    from otel_untether.session.activity import Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding

_FLUSH_MS = 1_000


class Meters:
    """Counts one session and shows its gauges, through the providers of its run."""

    def __init__(
        self,
        telemetry: Telemetry,
        state: SessionState,
        window: Window,
        clock: Clock,
        environ: Mapping[str, str],
    ) -> None:
        self._provider: Any = telemetry.meter_provider
        self._session = FleetMetrics(telemetry.meter_provider).session(state)
        resource = getattr(telemetry.tracer_provider, "resource", None) or Resource.get_empty()
        self._gauges = SessionGauges(state, resource, window, clock)
        self._exporter = GaugeExporter(telemetry.metric_exporters, environ=environ)
        self._exporter.add(self._gauges)

    def changed(self, changes: Iterable[Change]) -> None:
        """Take what changed in the session."""
        self._session.changed(changes)

    def tick(self) -> None:
        """Count what has grown."""
        self._session.tick()

    def found(self, finding: Finding) -> None:
        """Count a finding."""
        self._session.found(finding)
        self._gauges.found(finding)

    def killed(self, cause: str, report: KillReport) -> None:
        """Count a kill."""
        self._session.killed(cause, report)

    def flush(self) -> None:
        """Have everything leave now.

        Needed at the start: a counter that first leaves at its final value shows no increase.
        """
        flush = getattr(self._provider, "force_flush", None)
        if flush is not None:
            flush(_FLUSH_MS)
        self._exporter.flush(_FLUSH_MS / 1000)

    def end(self, outcome: Outcome, at: int, timeout: float) -> None:
        """Count the session's end, and show its gauges once more, within `timeout` seconds."""
        self._session.end(outcome, at)
        self._exporter.shutdown(timeout)
