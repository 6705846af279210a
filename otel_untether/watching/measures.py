"""What sessions are measured by: instruments that they share, and gauges of each one's own."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.sdk.resources import Resource

from otel_untether.export.guest_gauges import GuestGauges
from otel_untether.export.session_gauges import SessionGauges
from otel_untether.metrics import FleetMetrics, SessionPoints
from otel_untether.proc_diag.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider

    from otel_untether.clock import Clock
    from otel_untether.export.gauge_exporter import GaugeExporter
    from otel_untether.session.state import SessionState


class Shown(NamedTuple):
    """A session's gauges: its points, and how to end them."""

    points: SessionPoints
    end: Callable[[], object]


class Measures(NamedTuple):
    """The shared instruments, and what shows a session's gauges."""

    fleet: FleetMetrics
    show: Callable[[SessionState, Clock], Shown]


def own_measures(
    meters: MeterProvider, exporter: GaugeExporter, resource: Resource | None
) -> Measures:
    """Return the measures of a process whose OpenTelemetry is ours.

    Each session is a Resource of its own there, on top of the service's `resource`; `exporter`
    ends their gauges, with a last export, when it is shut down.
    """
    base = resource or Resource.get_empty()

    def show(state: SessionState, clock: Clock) -> Shown:
        gauges = SessionGauges(state, base, None, clock)
        exporter.add(gauges)
        return Shown(gauges.points, lambda: None)

    return Measures(FleetMetrics(meters), show)


def guest_measures(meters: MeterProvider) -> Measures:
    """Return the measures of somebody else's program, the same for the same provider."""
    with _making:
        if meters not in _guests:
            _guests[meters] = FleetMetrics(meters), GuestGauges(weakref.proxy(meters))
        fleet, gauges = _guests[meters]

    def show(state: SessionState, clock: Clock) -> Shown:
        points = SessionPoints(state, clock)
        return Shown(points, gauges.add(points))

    return Measures(fleet, show)


def shared_sampler(interval: float) -> Sampler:
    """Return this process's sampler of an interval (s)."""
    with _making:
        return _samplers.setdefault(interval, Sampler(interval))


_making: Final = threading.Lock()
_guests: Final[weakref.WeakKeyDictionary[MeterProvider, tuple[FleetMetrics, GuestGauges]]] = (
    weakref.WeakKeyDictionary()
)
_samplers: Final[dict[float, Sampler]] = {}
