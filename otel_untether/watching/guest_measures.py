"""What sessions in other people's programs are measured by, shared by all of a provider's."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final

from otel_untether.export.guest_gauges import GuestGauges
from otel_untether.metrics import FleetMetrics, SessionPoints
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.watching.measures import Measures, Shown

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider

    from otel_untether.clock import Clock
    from otel_untether.session.state import SessionState


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
