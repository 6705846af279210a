"""Spans, metrics and gauges as listeners of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry._logs import SeverityNumber

from otel_untether import semconv
from otel_untether.watching.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_untether.kill.killer import KillReport
    from otel_untether.metrics import SessionMetrics
    from otel_untether.session.activity import AttributeValue, Change
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.summary import Summary
    from otel_untether.spans import SessionTracer
    from otel_untether.stall import Finding
    from otel_untether.watching.subject import RunInfo


class Traced(Listener):
    """Makes a session's spans and events."""

    def __init__(self, tracer: SessionTracer, run: RunInfo) -> None:
        known = {semconv.PROCESS_EXECUTABLE: run.executable, semconv.RESUMED: run.resumed}
        self._identity: dict[str, AttributeValue] = {
            **{name: value for name, value in known.items() if value is not None},
            **run.attributes,  # type: ignore[dict-item]
        }
        self._tracer = tracer
        tracer.start(self._identity)

    def spawned(self, pid: int) -> None:
        """Mark the session as running."""
        self._tracer.started({**self._identity, semconv.PROCESS_PID: pid})

    def changed(self, changes: Iterable[Change]) -> None:
        """Open and close spans."""
        self._tracer.changed(changes)

    def recognised(self, engine: str, provider: str | None) -> None:
        """Name the root."""
        self._tracer.rename(engine, provider)

    def found(self, finding: Finding) -> None:
        """Show a finding."""
        self._tracer.found(finding)

    def noted(self, event: str, facts: Mapping[str, AttributeValue], at: int) -> None:
        """Show a step of a kill."""
        self._tracer.note(event, at, facts, SeverityNumber.ERROR)

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """Sum up, and end the root."""
        self._tracer.note(semconv.EVENT_SUMMARY, at, summary.attributes())
        self._tracer.end(outcome, summary.attributes(), at)


class Measured(Listener):
    """Counts a session into the fleet's instruments, and shows its gauges.

    `gauges` hears of findings; `end_gauges` is called at the end, after all was counted.
    """

    def __init__(
        self,
        metrics: SessionMetrics,
        found: Callable[[Finding], object],
        end_gauges: Callable[[], object],
    ) -> None:
        self._metrics = metrics
        self._found = found
        self._end_gauges = end_gauges

    def changed(self, changes: Iterable[Change]) -> None:
        """Count what has ended."""
        self._metrics.changed(changes)

    def ticked(self, now: int) -> None:
        """Count what has grown."""
        del now
        self._metrics.tick()

    def found(self, finding: Finding) -> None:
        """Count a finding."""
        self._metrics.found(finding)
        self._found(finding)

    def killed(self, cause: str, report: KillReport) -> None:
        """Count what became of a kill."""
        self._metrics.killed(cause, report)

    def ended(self, outcome: Outcome, summary: Summary, at: int) -> None:
        """Count the end."""
        del summary
        self._metrics.end(outcome, at)
        self._end_gauges()
