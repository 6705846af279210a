"""Metrics of all sessions together, through the configured MeterProvider.

Labels are bounded: an engine, a cause, an outcome, and names of tools and models up to a limit.
Whose session it was is in the trace; what one session does right now is in its own gauges, whose
points are `SessionPoints`. What the engine reports as running totals is counted by its growth,
once per tick.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_untether import semconv
from otel_untether.session.activity import Activity, Closed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.metrics import Counter, Histogram, Meter, MeterProvider, UpDownCounter

    from otel_untether.clock import Clock
    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag import TreeSnapshot
    from otel_untether.proc_diag.sampler import Window
    from otel_untether.session.activity import Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding

__all__ = ["FleetMetrics", "SessionMetrics", "SessionPoints"]

OTHER: Final = "other"
SIGNALS: Final = ("traces", "metrics", "logs")
MAX_NAMES: Final = 100
_UNKNOWN: Final = "unknown"
_FOR_SOMEBODY: Final = frozenset({"approval", "question"})
# The core conventions' values of network.connection.state, where lower case is not enough.
_STATES: Final = {
    "SYN_RECV": "syn_received",
    "NEW_SYN_RECV": "syn_received",
    "FIN_WAIT1": "fin_wait_1",
    "FIN_WAIT2": "fin_wait_2",
    "CLOSE": "closed",
}
# A sample that old says nothing about now: the sampling must have stopped.
_STALE: Final = 300_000_000_000  # ns

Labels: TypeAlias = dict[str, str]
Point: TypeAlias = tuple[semconv.Metric, float, Labels]
_NO_LABELS: Final[Labels] = {}

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

    :param meter_provider: whose instruments they are.
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
        self.oddities = _counter(meter, semconv.ODDITIES_COUNTED)
        self._lost = _counter(meter, semconv.TELEMETRY_LOST)
        self.tools, self.models = Names(), Names()
        self._errors, self._failures = Names(), Names()
        for signal in SIGNALS:
            self.lost(signal, 0)

    def session(self, state: SessionState) -> SessionMetrics:
        """Begin to count a session.

        :param state: the session, which others keep up to date.
        """
        return SessionMetrics(self, state)

    def lost(self, signal: str, count: int) -> None:
        """Count telemetry that is lost for good.

        :param signal: traces, metrics or logs.
        :param count: how many spans, points or records.
        """
        self._lost.add(count, {semconv.TELEMETRY_SIGNAL: signal})

    def error(self, tool: str, error: str) -> str:
        """Return an error's name as a label, or "other".

        So many kinds of error and so many kinds of failing tool have a series of their own: an
        agent makes up exit codes and names as it likes, and the two would multiply.

        :param tool: whose error it is, as it is labelled; empty for the agent itself.
        :param error: the kind of error.
        """
        error = self._errors.name(error)
        return error if self._failures.name(f"{tool} {error}") != OTHER else OTHER

    def announce(self, engine: str) -> None:
        """Count 0 of what every session of an engine may have.

        Not of every cause: 44 series a process would say nothing, and how dashboards and rules
        count (docs/backends.md) needs no zero.

        :param engine: its name.
        """
        for counter in (self.survivors, self.decoded, self.unknown):
            counter.add(0, {semconv.ENGINE: engine})


class SessionMetrics:
    """Counts one session into the fleet's instruments, from its start to its end.

    :param fleet: the instruments.
    :param state: the session, which others keep up to date.
    """

    def __init__(self, fleet: FleetMetrics, state: SessionState) -> None:
        self._fleet = fleet
        self._state = state
        self._engine = state.engine
        self._counted: dict[str, int] = {}
        self._cost = 0.0
        self._decoded = self._unknown = 0
        self._oddities: dict[str, int] = {}
        self._ticked: tuple[object, ...] = ()
        fleet.active.add(1, self._labels)
        if self._engine != _UNKNOWN:
            fleet.announce(self._engine)

    def changed(self, changes: Iterable[Change]) -> None:
        """Take what changed in the session: tools that ended are counted.

        :param changes: what `session.fold.apply` returned.
        """
        for change in changes:
            if type(change) is Closed and change.activity.kind == "tool":
                self._tool(change.activity)

    def tick(self) -> None:
        """Count what has grown since the last tick."""
        fleet, state = self._fleet, self._state
        used = state.usage, state.usage_before, state.message_usage
        cost = state.cost_usd, state.cost_before
        odd = tuple(state.oddities.values())
        totals = (state.engine, state.events, state.stray_lines, used, cost, odd)
        if totals == self._ticked:
            return  # an idle session costs nothing
        self._ticked = totals
        self._move_to_its_engine()
        self._count_usage()
        unknown = state.stray_lines
        decoded = max(0, state.events - unknown)
        fleet.decoded.add(max(0, decoded - self._decoded), self._labels)
        fleet.unknown.add(max(0, unknown - self._unknown), self._labels)
        self._decoded, self._unknown = decoded, unknown
        self._count_oddities()

    def _count_oddities(self) -> None:
        for what, number in self._state.oddities.items():
            new = number - self._oddities.get(what, 0)
            self._oddities[what] = number
            if new > 0:
                self._fleet.oddities.add(new, {**self._labels, semconv.ODDITY: what})

    def found(self, finding: Finding) -> None:
        """Count a stall warning, a kill decided without being carried out, or a veto.

        :param finding: what the detector reported.
        """
        labels = {**self._labels, semconv.STALL_CAUSE: finding.cause}
        decision = finding.decision
        if finding.kind == "stall":
            self._fleet.stalls.add(1, labels)
        elif decision is not None and decision.action != "kill":
            veto = decision.vetoes[0] if decision.vetoes else decision.action
            self._fleet.vetoes.add(1, {**labels, semconv.KILL_VETO: veto})

    def killed(self, cause: str, report: KillReport) -> None:
        """Count a kill that was carried out, and who survived it.

        :param cause: what the session was killed for.
        :param report: how it went.
        """
        if report.refused is None:
            self._fleet.kills.add(1, {**self._labels, semconv.STALL_CAUSE: cause})
            self._fleet.survivors.add(len(report.survivors), self._labels)

    def end(self, outcome: Outcome, at: int) -> None:
        """The session is over.

        :param outcome: how it went.
        :param at: when it ended, in ns since the epoch.
        """
        self.tick()
        labels = {semconv.AGENT_NAME: self._engine, semconv.OUTCOME: outcome.word}
        if outcome.error is not None:
            labels[semconv.ERROR_TYPE] = self._fleet.error("", outcome.error)
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
        self._move_to_its_engine()  # the line that told which it is may have come with this one
        kind = tool.attributes.get(semconv.TOOL_TYPE, "function")
        labels = {
            **self._labels,
            semconv.TOOL_NAME: self._fleet.tools.name(tool.name),
            semconv.TOOL_TYPE: str(kind),
        }
        if tool.error is not None:
            labels[semconv.ERROR_TYPE] = self._fleet.error(labels[semconv.TOOL_NAME], tool.error)
        self._fleet.tool_duration.record((tool.end - tool.start) / 1e9, labels)


class SessionPoints:
    """What one session and its process tree do right now, as points of gauges.

    What is not known at a moment has no point.

    :param state: the session, which others keep up to date.
    :param clock: the one that the session's times are on.
    :param window: what the sampler fills, None where there is no process to look at.
    """

    def __init__(self, state: SessionState, clock: Clock, window: Window | None = None) -> None:
        self.state = state
        self.clock = clock
        self.window = window
        self.ended = False
        self._stalled: str | None = None  # the cause
        self._seen_states: set[tuple[str, str | None]] = set()
        self._seen_connections: set[str] = set()

    def found(self, finding: Finding) -> None:
        """Note that the session has stalled, or speaks again.

        :param finding: what the detector reported.
        """
        if finding.kind in ("stall", "recovered"):
            self._stalled = finding.cause if finding.kind == "stall" else None

    def end(self) -> None:
        """The session is over: what it has is nothing, what it used stays."""
        self.ended = True

    def points(self, now: int) -> Iterator[Point]:
        """Yield all there is to report, metric by metric.

        :param now: the time, in ns since the epoch, on the session's clock.
        """
        diag = self.window.latest if self.window else None
        yield from self._session_points(now)
        if diag is not None and now - self.clock.from_monotonic(diag.at) < _STALE:
            yield from self._tree_points(diag)
            yield from self._connection_points(diag)

    def _session_points(self, now: int) -> Iterator[Point]:
        state = self.state
        idle = 0.0 if self.ended else max(0, now - state.last_sign) / 1e9
        yield semconv.SESSION_IDLE, idle, _NO_LABELS
        yield semconv.SESSION_LAST_EVENT, state.last_sign / 1e9, _NO_LABELS
        yield semconv.SESSION_OPEN_TOOLS, 0 if self.ended else len(state.open), _NO_LABELS
        name = self._current_state()
        current = name, self._stalled if name == "stalled" else None
        self._seen_states.add(current)
        for seen in sorted(self._seen_states, key=str):
            yield semconv.SESSION_STATES, int(seen == current), _state_labels(*seen)

    def _current_state(self) -> str:
        state = self.state
        if self.ended:
            return "ended"
        if self._stalled is not None:
            return "stalled"
        if any(wait.kind in _FOR_SOMEBODY for wait in tuple(state.waits.values())):
            return "waiting"
        return "starting" if state.silent else "working"

    def _tree_points(self, diag: TreeSnapshot) -> Iterator[Point]:
        living = sum(process.state not in ("Z", "X") for process in diag.processes)
        known = diag.alive is not None
        now_values = (
            (semconv.TREE_CPU, diag.cpu_rate),
            (semconv.TREE_RSS, diag.rss),
            (semconv.TREE_THREADS, diag.threads),
            (semconv.TREE_FDS, diag.fds),
            (semconv.TREE_PROCESSES, living if known else None),
            (semconv.TREE_ZOMBIES, diag.zombies if known else None),
        )
        totals = (
            (semconv.TREE_CPU_TIME, diag.cpu_time),
            (semconv.TREE_IO_READ, diag.io_read),
            (semconv.TREE_IO_WRITE, diag.io_written),
        )
        for metric, value in now_values:
            if self.ended or value is not None:
                yield metric, 0 if self.ended or value is None else value, _NO_LABELS
        for metric, value in totals:
            if value is not None:
                yield metric, value, _NO_LABELS

    def _connection_points(self, diag: TreeSnapshot) -> Iterator[Point]:
        if diag.sockets is None and not self.ended:
            return
        sockets = () if self.ended or diag.sockets is None else diag.sockets
        # Not one is a fact about an agent, and often the fact; only what is unknown has no point.
        known = {"established"} if diag.sockets is not None else set()
        counts = dict.fromkeys(self._seen_connections | known, 0)
        for socket in sockets:
            name = _STATES.get(socket.state, socket.state.lower())
            counts[name] = counts.get(name, 0) + 1
        self._seen_connections |= counts.keys()
        for name, count in sorted(counts.items()):
            yield semconv.TREE_CONNECTIONS, count, {semconv.CONNECTION_STATE: name}
        ages = [
            socket.receive_age
            for socket in sockets
            if socket.state == "ESTABLISHED" and socket.receive_age is not None
        ]
        if ages:
            yield semconv.TREE_RECEIVE_AGE, min(ages), _NO_LABELS


class Names:
    """The first names that come, up to a limit; all later ones are "other".

    :param limit: how many names there may be.
    """

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self._limit = limit
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def name(self, name: str) -> str:
        """Return the name, or "other".

        :param name: one that came from outside.
        """
        if name in self._known:  # none is ever taken back
            return name
        with self._lock:
            if name not in self._known and len(self._known) >= self._limit:
                return OTHER
            self._known.add(name)
            return name


def _state_labels(name: str, cause: str | None) -> Labels:
    return {semconv.SESSION_STATE: name} | ({} if cause is None else {semconv.STALL_CAUSE: cause})


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
