"""Metrics of all sessions together, through the configured MeterProvider.

Labels are bounded: an engine, a cause, an outcome, and names of tools and models up to a limit.
Whose session it was is in the trace; what one session does right now is in its own gauges
(`gauges`). What the engine reports as running totals is counted by its growth, once per tick.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.session.activity import Activity, Closed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider, UpDownCounter

    from otel_untether.kill.killer import KillReport
    from otel_untether.session.activity import Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding

OTHER: Final = "other"
SIGNALS: Final = ("traces", "metrics", "logs")
MAX_NAMES: Final = 100
_UNKNOWN: Final = "unknown"

_USAGE: Final = {
    "input": semconv.INPUT_USAGE,
    "output": semconv.OUTPUT_USAGE,
    "cache_read": semconv.CACHE_READ_USAGE,
    "cache_write": semconv.CACHE_WRITE_USAGE,
    "reasoning": semconv.REASONING_USAGE,
}


class FleetMetrics:
    """The instruments all sessions of this process share.

    Raises nothing: with a provider that does nothing, it does nothing.
    """

    def __init__(self, meter_provider: MeterProvider) -> None:
        meter = meter_provider.get_meter(semconv.SCOPE, schema_url=semconv.SCHEMA_URL)
        self.active = _up_down_counter(meter, semconv.SESSIONS_ACTIVE)
        self.agent_duration = _histogram(meter, semconv.AGENT_DURATION)
        self.tool_duration = _histogram(meter, semconv.TOOL_DURATION)
        self.stalls = _counter(meter, semconv.STALLS)
        self.kills = _counter(meter, semconv.KILLS)
        self.vetoes = _counter(meter, semconv.KILL_VETOED)
        self.survivors = _counter(meter, semconv.KILL_SURVIVED)
        self.usage = {field: _counter(meter, metric) for field, metric in _USAGE.items()}
        self.cost = _counter(meter, semconv.COST)
        self.decoded = _counter(meter, semconv.EVENTS_DECODED)
        self.unknown = _counter(meter, semconv.EVENTS_UNKNOWN)
        self._lost = _counter(meter, semconv.TELEMETRY_LOST)
        self.tools, self.models = Names(), Names()
        for signal in SIGNALS:
            self.lost(signal, 0)

    def session(self, state: SessionState) -> SessionMetrics:
        """Begin to count a session."""
        return SessionMetrics(self, state)

    def lost(self, signal: str, count: int) -> None:
        """Count telemetry that no collector took; `signal` is traces, metrics or logs."""
        self._lost.add(count, {semconv.TELEMETRY_SIGNAL: signal})

    def announce(self, engine: str) -> None:
        """Count 0 of what every session of an engine may have.

        Not of every cause: 44 series a process would say nothing, and how dashboards and rules
        count (docs/backends.md) needs no zero.
        """
        for counter in (self.survivors, self.decoded, self.unknown):
            counter.add(0, {semconv.ENGINE: engine})


class SessionMetrics:
    """Counts one session into the fleet's instruments, from its start to its end."""

    def __init__(self, fleet: FleetMetrics, state: SessionState) -> None:
        self._fleet = fleet
        self._state = state
        self._engine = state.engine
        self._counted: dict[str, int] = {}
        self._cost = 0.0
        self._decoded = self._unknown = 0
        fleet.active.add(1, self._labels)
        if self._engine != _UNKNOWN:
            fleet.announce(self._engine)

    def changed(self, changes: Iterable[Change]) -> None:
        """Take what changed in the session: tools that ended are counted."""
        for change in changes:
            if isinstance(change, Closed) and change.activity.kind == "tool":
                self._tool(change.activity)

    def tick(self) -> None:
        """Count what has grown since the last tick."""
        self._move_to_its_engine()
        self._count_usage()
        fleet, state = self._fleet, self._state
        unknown = state.stray_lines
        decoded = max(0, state.events - unknown)
        fleet.decoded.add(max(0, decoded - self._decoded), self._labels)
        fleet.unknown.add(max(0, unknown - self._unknown), self._labels)
        self._decoded, self._unknown = decoded, unknown

    def found(self, finding: Finding) -> None:
        """Count a stall warning, a kill decided without being carried out, or a veto."""
        labels = {**self._labels, semconv.STALL_CAUSE: finding.cause}
        decision = finding.decision
        if finding.kind == "stall":
            self._fleet.stalls.add(1, labels)
        elif decision is not None and decision.action != "kill":
            veto = decision.vetoes[0] if decision.vetoes else decision.action
            self._fleet.vetoes.add(1, {**labels, semconv.KILL_VETO: veto})

    def killed(self, cause: str, report: KillReport) -> None:
        """Count a kill that was carried out, and who survived it."""
        if report.refused is None:
            self._fleet.kills.add(1, {**self._labels, semconv.STALL_CAUSE: cause})
            self._fleet.survivors.add(len(report.survivors), self._labels)

    def end(self, outcome: Outcome, at: int) -> None:
        """The session is over, at `at` ns since the epoch."""
        self.tick()
        labels = {semconv.AGENT_NAME: self._engine, semconv.OUTCOME: outcome.word}
        if outcome.error is not None:
            labels[semconv.ERROR_TYPE] = outcome.error
        seconds = max(0, at - self._state.started) / 1e9
        self._fleet.agent_duration.record(seconds, {**self._labels, **labels})
        self._fleet.active.add(-1, self._labels)

    @property
    def _labels(self) -> Mapping[str, str]:
        return {semconv.ENGINE: self._engine}

    def _move_to_its_engine(self) -> None:
        """Take the session over to its engine, once its first lines have told which it is."""
        if self._engine != self._state.engine:
            self._fleet.active.add(-1, self._labels)
            self._engine = self._state.engine
            self._fleet.active.add(1, self._labels)
            self._fleet.announce(self._engine)

    def _count_usage(self) -> None:
        """Count tokens and cost by the growth of the session's totals."""
        fleet, usage = self._fleet, self._state.tokens
        labels = dict(self._labels)
        if self._state.model is not None:
            labels[semconv.REQUEST_MODEL] = fleet.models.name(self._state.model)
        for field, counter in fleet.usage.items():
            total, counted = getattr(usage, field) or 0, self._counted.get(field, 0)
            if total > counted:
                counter.add(total - counted, labels)
                self._counted[field] = total
        cost = self._state.cost or 0.0
        if cost > self._cost:
            fleet.cost.add(cost - self._cost, self._labels)
            self._cost = cost

    def _tool(self, tool: Activity) -> None:
        if tool.end is None or tool.reason is not None:
            return  # its own end was not seen: nobody knows how long it took
        kind = tool.attributes.get(semconv.TOOL_TYPE, "function")
        labels = {
            **self._labels,
            semconv.TOOL_NAME: self._fleet.tools.name(tool.name),
            semconv.TOOL_TYPE: str(kind),
        }
        if tool.error is not None:
            labels[semconv.ERROR_TYPE] = tool.error
        self._fleet.tool_duration.record((tool.end - tool.start) / 1e9, labels)


class Names:
    """The first names that come, up to a limit; all later ones are "other"."""

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def name(self, name: str) -> str:
        """Return the name, or "other"."""
        with self._lock:
            if name not in self._known and len(self._known) >= self._limit:
                return OTHER
            self._known.add(name)
            return name


def _counter(meter: Meter, metric: semconv.Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.brief)


def _up_down_counter(meter: Meter, metric: semconv.Metric) -> UpDownCounter:
    return meter.create_up_down_counter(metric.name, metric.unit, metric.brief)


def _histogram(meter: Meter, metric: semconv.Metric) -> Histogram:
    return meter.create_histogram(
        metric.name,
        metric.unit,
        metric.brief,
        explicit_bucket_boundaries_advisory=metric.boundaries,
    )
