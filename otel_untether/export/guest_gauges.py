"""Live sessions' gauges in somebody else's program: real instruments on its MeterProvider.

Its Views and readers apply. A session is told from the others by its run id, an attribute, so
each brings attribute sets of its own. The SDK keeps those for ever and, from 1.45.2 on, folds all
beyond 2,000 of an instrument into `otel.metric.overflow` (specification, "Cardinality limits"):
a host of many sessions would lose its newest. So the sets of sessions that have ended are taken
out of the SDK again; where that cannot be done, every so many sessions get instruments of a fresh
scope (attribute `untether.scope.generation`), which are under no limit that others have used up.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.metrics import Observation

from otel_untether import semconv
from otel_untether.export import sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider

    from otel_untether.metrics import SessionPoints

_METRICS: Final = tuple(
    metric for metric in semconv.METRICS.values() if metric.instrument.startswith("observable_")
)
# A session has up to a dozen sets of an instrument (states, connection states).
SESSIONS_A_SCOPE: Final = 150
# A session that has ended is shown until every reader should have seen that: for two collections
# and the default interval of one (ns), but not too many of them.
_COLLECTIONS: Final = 2
_INTERVAL: Final = 60_000_000_000
_SHOWN_ENDED: Final = 100


class GuestGauges:
    """The gauges of all sessions that report through one MeterProvider."""

    def __init__(self, meter_provider: MeterProvider) -> None:
        self._provider = meter_provider
        self._lock = threading.Lock()
        self._generation: _Generation | None = None

    def add(self, points: SessionPoints) -> Callable[[], None]:
        """Show a session from now on; the call returned ends that."""
        with self._lock:
            if self._generation is None or self._generation.full:
                number = self._generation.number + 1 if self._generation else 0
                self._generation = _Generation(self._provider, number)
            generation = self._generation
        generation.add(points)
        return lambda: generation.end(points)


class _Ended(NamedTuple):
    """A session that has ended: at which time (ns), after how many collections."""

    points: SessionPoints
    at: int
    collections: int


class _Generation:
    """Instruments of one scope, and the sessions that they show."""

    def __init__(self, provider: MeterProvider, number: int) -> None:
        self.number = number
        self._provider = provider
        self._lock = threading.Lock()
        self._live: dict[str, SessionPoints] = {}
        self._ended: deque[_Ended] = deque()
        self._added = self._collections = 0
        self._forgetful = True
        self._observed: dict[str, list[Observation]] = {}
        attributes = {semconv.SCOPE_GENERATION: number} if number else None
        meter = provider.get_meter(
            semconv.SCOPE, semconv.SCOPE_VERSION, semconv.SCHEMA_URL, attributes
        )
        self._instruments = [self._create(meter, metric) for metric in _METRICS]
        _generations.add(self)

    @property
    def full(self) -> bool:
        """Whether the next session needs another scope."""
        return not self._forgetful and self._added >= SESSIONS_A_SCOPE

    def add(self, points: SessionPoints) -> None:
        """Show a session."""
        with self._lock:
            self._added += 1
            self._live[points.state.run_id] = points

    def end(self, points: SessionPoints) -> None:
        """Show a session as ended, then no more."""
        points.end()
        with self._lock:
            if self._live.pop(points.state.run_id, None) is not None:
                self._ended.append(_Ended(points, points.clock.now(), self._collections))
        self._let_go()

    def disown(self) -> None:
        """Show nobody any more: this process is a fork of the one whose sessions they are."""
        self._lock = threading.Lock()  # somebody else's thread may have had it, which is not here
        self._live.clear()
        self._ended.clear()

    def _create(self, meter: Meter, metric: semconv.Metric) -> object:
        create = getattr(meter, f"create_{metric.instrument}")
        return create(metric.name, [partial(self._observe, metric)], metric.unit, metric.brief)

    def _observe(self, metric: semconv.Metric, _options: CallbackOptions) -> Iterable[Observation]:
        """Return a metric of all sessions; the first one of a collection looks at them all."""
        if metric is _METRICS[0]:
            self._look()
        return self._observed.get(metric.name, ())

    def _look(self) -> None:
        self._let_go()
        with self._lock:
            self._collections += 1
            shown = [*self._live.values(), *(ended.points for ended in self._ended)]
        observed: dict[str, list[Observation]] = {}
        for points in shown:
            identity = {semconv.RUN_ID: points.state.run_id, semconv.ENGINE: points.state.engine}
            for metric, value, labels in points.points(points.clock.now()):
                seen = Observation(value, {**identity, **labels})
                observed.setdefault(metric.name, []).append(seen)
        self._observed = observed

    def _let_go(self) -> None:
        """Forget those that every reader has seen end, or that are too many."""
        gone = set()
        with self._lock:
            while self._ended and (len(self._ended) > _SHOWN_ENDED or self._is_told()):
                gone.add(self._ended.popleft().points.state.run_id)
        if gone:
            self._forgetful = sdk.forget_attribute_sets(
                self._provider, self._instruments, semconv.RUN_ID, gone
            )

    def _is_told(self) -> bool:
        oldest = self._ended[0]
        waited = oldest.points.clock.now() - oldest.at
        return self._collections - oldest.collections >= _COLLECTIONS and waited >= _INTERVAL


_generations: Final[weakref.WeakSet[_Generation]] = weakref.WeakSet()


def _forked() -> None:
    for generation in tuple(_generations):
        generation.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
