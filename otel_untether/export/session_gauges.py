"""What each live session and its process tree do right now, as metrics with its own Resource.

A session is a Resource: its identity is that of the producer, not a label. As labels, session
ids would break a long-lived host, since the SDK folds whatever comes after 2,000 attribute sets
of an instrument into `otel.metric.overflow`, for ever.

The data are made here, in the classes that an exporter takes, and go there as they are: a
MeterProvider per session gives the same export, but takes four times as long to collect
(measured for fifteen instruments: 0.3 ms a session against 0.05 ms). One thread collects all
sessions into one export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_untether import semconv
from otel_untether.clock import Clock
from otel_untether.export import metric_data
from otel_untether.export.kept_resource import Scope
from otel_untether.metrics import SessionPoints

if TYPE_CHECKING:
    from otel_untether.export.metric_data import Classes
    from otel_untether.proc_diag.sampler import Window
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding


def session_resource(base: Any, state: SessionState) -> Any:
    """Return the Resource of a session: `base` (service, host) with its and its process's own.

    Either is the SDK's, or a `KeptResource`, as `base` is.
    """
    own: dict[str, str | int] = {
        "service.instance.id": state.run_id,
        semconv.RUN_ID: state.run_id,
        semconv.ENGINE: state.engine,
    }
    if state.session_id is not None:
        own[semconv.CONVERSATION_ID] = state.session_id
    if state.pid is not None:
        own[semconv.PROCESS_PID] = state.pid
    return base.merge(type(base)(own))


class SessionGauges:
    """The gauges of one session under a Resource of its own.

    `base` is the Resource of the service, the SDK's or a `KeptResource`; `window` and `clock` are
    those of `SessionPoints`.
    """

    def __init__(
        self,
        state: SessionState,
        base: Any,
        window: Window | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.points = SessionPoints(state, self.clock, window)
        self._state = state
        self._base = base
        self._resource: Any = None
        self._engine = state.engine
        self._exported: dict[str, tuple[int, float]] = {}

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self.points.ended

    def found(self, finding: Finding) -> None:
        """Note that the session has stalled, or speaks again."""
        self.points.found(finding)

    def end(self) -> None:
        """The session is over: what it has is nothing, what it used stays."""
        self.points.end()

    def collect(self, now: int, temporality: int, classes: Classes = metric_data) -> Any:
        """Return all there is to report at `now`, in ns since the epoch.

        A `ResourceMetrics`, made of `classes`; `temporality` is OTLP's number or the SDK's name
        for it.
        """
        made: list[Any] = []
        points: list[Any] = []
        last: semconv.Metric | None = None
        for metric, value, labels in self.points.points(now):
            if metric is not last:
                last, points = metric, []
                made.append(_metric(metric, points, temporality, classes))
            since, shown = 0, value
            if metric.instrument == "observable_counter":
                since, shown = self._since_export(metric, now, value, temporality)
            points.append(classes.NumberDataPoint(labels, since, now, shown, []))
        scope = classes.ScopeMetrics(_scope(classes), made, semconv.SCHEMA_URL)
        return classes.ResourceMetrics(self._identity(), [scope], "")

    def _identity(self) -> Any:
        """Return the session's Resource, which stays what it was at first but for the engine.

        With any other attribute the series would be others, and both be seen for minutes.
        """
        if self._resource is None or self._engine != self._state.engine:
            self._engine = self._state.engine
            self._resource = session_resource(self._base, self._state)
        return self._resource

    def _since_export(
        self, metric: semconv.Metric, now: int, value: float, temporality: int
    ) -> tuple[int, float]:
        if temporality == metric_data.CUMULATIVE:
            return self._state.started, value
        since, before = self._exported.get(metric.name, (self._state.started, 0))
        self._exported[metric.name] = now, value
        return since, value - before


def _scope(classes: Classes) -> Any:
    """Return our scope as goes with these classes: some exporters have it write itself."""
    if classes is metric_data:
        return Scope(semconv.SCOPE, schema_url=semconv.SCHEMA_URL)
    # Imported by whoever has made the exporter.
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    return InstrumentationScope(semconv.SCOPE, schema_url=semconv.SCHEMA_URL)


def _metric(metric: semconv.Metric, points: list[Any], temporality: int, classes: Classes) -> Any:
    data = classes.Gauge(points)
    if metric.instrument == "observable_counter":
        data = classes.Sum(points, temporality, is_monotonic=True)
    return classes.Metric(metric.name, metric.brief, metric.unit, data)
