"""What sessions are measured by: instruments that they share, and gauges of each one's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_untether.export.kept_resource import KeptResource
from otel_untether.export.session_gauges import SessionGauges
from otel_untether.metrics import FleetMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider

    from otel_untether.clock import Clock
    from otel_untether.export.gauge_exporter import GaugeExporter
    from otel_untether.metrics import SessionPoints
    from otel_untether.session.state import SessionState


class Shown(NamedTuple):
    """A session's gauges: its points, and how to end them."""

    points: SessionPoints
    end: Callable[[], object]


class Measures(NamedTuple):
    """The shared instruments, and what shows a session's gauges."""

    fleet: FleetMetrics
    show: Callable[[SessionState, Clock], Shown]


def own_measures(meters: MeterProvider, exporter: GaugeExporter, resource: Any) -> Measures:
    """Return the measures of a process whose OpenTelemetry is ours.

    Each session is a Resource of its own there, on top of the service's `resource`, the SDK's or
    a `KeptResource`, None where it is not known; `exporter` ends their gauges, with a last
    export, when it is shut down.
    """
    base = _nobody() if resource is None else resource

    def show(state: SessionState, clock: Clock) -> Shown:
        gauges = SessionGauges(state, base, None, clock)
        exporter.add(gauges)
        return Shown(gauges.points, lambda: None)

    return Measures(FleetMetrics(meters), show)


def _nobody() -> Any:
    """Return an empty Resource: the SDK's where it is in use, whose exporters may need it."""
    sdk = sys.modules.get("opentelemetry.sdk.resources")
    return KeptResource({}) if sdk is None else sdk.Resource.get_empty()
