"""Watches a running session: samples of its tree, findings about its silence, and what follows.

A finding becomes a span that is over at once (a frozen session must be visible while it is
frozen), an event, a line for the operator and a dump in the run's folder; a decision to kill
is recorded before it is carried out, in a thread of its own, since a kill may take seconds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry._logs import SeverityNumber

from otel_untether import semconv
from otel_untether.kill.killer import Killer
from otel_untether.proc_diag import Tree
from otel_untether.stall import StallDetector, describe
from otel_untether.watching.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag import ProcDiag
    from otel_untether.proc_diag.sampler import Sampler
    from otel_untether.session.activity import AttributeValue
    from otel_untether.stall import Finding
    from otel_untether.supervisor.observer import Child
    from otel_untether.watching.recorder import Recorder

_SEVERITY: Final = {
    "recovered": SeverityNumber.INFO,
    "waiting": SeverityNumber.INFO,
    "kill": SeverityNumber.ERROR,
}
_EVENTS: Final = {
    "stall": semconv.EVENT_STALL_WARNING,
    "recovered": semconv.EVENT_STALL_RECOVERED,
    "waiting": semconv.EVENT_STALL_WAITING,
    "liveness": semconv.EVENT_LIVENESS_EXPIRED,
    "veto": semconv.EVENT_KILL_VETOED,
    "kill": semconv.EVENT_KILL_DECIDED,
}
# Beyond grace and SIGKILL: for the decision to leave, and to look who is left.
_AFTER_KILL: Final = 3.0


class Desk(Protocol):
    """Where findings go, besides the trace."""

    def record(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        """Put an event where a crash cannot take it; raise OSError where that fails."""

    def keep(self, finding: Finding, tree: Tree) -> None:
        """Keep what the session and its tree look like now."""

    def sampled(self, diag: ProcDiag, now: int) -> None:
        """Take a sample of the tree."""

    def found(self, finding: Finding) -> None:
        """Count a finding."""

    def killed(self, cause: str, report: KillReport) -> None:
        """Count what became of a kill."""

    def flush(self) -> None:
        """Have what was recorded leave now, in a second or so, whatever a collector does."""

    def say(self, line: str) -> None:
        """Tell the operator."""


class Monitor:
    """Watches one session from the spawn of its process to its end.

    `tick` is called about every second from the thread that feeds the recorder. `subreaper`
    says that this process inherits the tree's orphans. An agent whose stdout is not relayed is
    not heard, and never called silent.
    """

    def __init__(
        self,
        recorder: Recorder,
        child: Child,
        config: WatchdogConfig,
        sampler: Sampler,
        desk: Desk,
        *,
        subreaper: bool = False,
    ) -> None:
        self._recorder = recorder
        self._config = config
        self._sampler = sampler
        self._desk = desk
        self._child = child
        self._subreaper = subreaper
        self._detector = StallDetector(config)
        self._tree = Tree(child.pid, subreaper=subreaper)
        self.window = sampler.add(recorder.state.run_id, self._tree)
        self._seen = 0.0
        self._peaks = Peaks()
        self._stalls = 0
        self._killing: threading.Thread | None = None
        self._deadline = 0.0
        self.killed_for: str | None = None

    def taint(self) -> None:
        """The session continues one that froze: it is given less time to begin."""
        self._detector.tainted = True

    def tick(self, now: int) -> None:
        """Look once; `now` is ns since the epoch, on the recorder's clock."""
        for diag in self.window.since(self._seen):
            if diag.at > self._seen:
                self._seen = diag.at
                self._peaks.add(diag)
                self._desk.sampled(diag, now)
        finding = self._look(now)
        if finding is not None:
            self._report(finding)

    def _look(self, now: int) -> Finding | None:
        if "stdout" not in self._child.relayed:
            return None
        return self._detector.tick(
            self._recorder.state, self.window, now, blocked_since=self._child.blocked_since()
        )

    @property
    def overtime(self) -> float:
        """Seconds that a kill under way may still take."""
        if self._killing is None or not self._killing.is_alive():
            return 0.0
        return max(0.0, self._deadline - time.monotonic())

    def close(self) -> None:
        """Stop watching, but see a kill through: a dead leader may leave descendants."""
        if self._killing is not None:
            self._killing.join(self.overtime)
        last = self._look(self._child.clock.now())
        if last is not None and last.kind == "recovered":
            self._report(last)  # it spoke again, and ended before anybody looked
        self._sampler.remove(self._recorder.state.run_id)
        for diag in self.window.since(self._seen):
            self._peaks.add(diag)
        extra = self._recorder.extra
        extra.update(self._peaks.attributes())
        extra[semconv.STALLED], extra[semconv.STALL_COUNT] = self._stalls > 0, self._stalls

    def _report(self, finding: Finding) -> None:
        desk, tracer = self._desk, self._recorder.tracer
        facts = _facts(finding)
        event = _EVENTS[finding.kind]
        if finding.kind == "stall":
            self._stalls += 1
            tracer.mark(semconv.SPAN_STALL, finding.since, finding.at, facts, finding.cause)
            desk.keep(finding, self._tree)
        desk.found(finding)
        desk.say(describe(finding))
        if finding.kind == "kill" and finding.decision and finding.decision.action == "kill":
            self._kill(finding, facts)  # which records the decision itself, before it acts
            return
        with contextlib.suppress(OSError):  # a full disk hides no finding
            desk.record(event, facts)
        tracer.note(event, finding.at, facts, _severity(finding))
        _aside(desk.flush)

    def _kill(self, finding: Finding, facts: dict[str, AttributeValue]) -> None:
        grace = self._config.kill_grace
        self._deadline = time.monotonic() + grace + _AFTER_KILL
        killer = Killer(
            self._tree,
            grace=grace,
            record=lambda event, facts: self._record(event, facts, finding.cause),
            proceed=lambda: self._still_silent(finding),
            reap=self._subreaper,
        )

        def carry_out() -> None:
            report = killer.kill(facts)
            if report.refused is not None:
                self._desk.say(f"not killed: {report.refused}")
            for survivor in report.survivors:
                self._desk.say(f"survived the kill: process {survivor.pid} ({survivor.name})")
            self._desk.killed(finding.cause, report)

        # Not a daemon: an interpreter that ends must not leave half a tree behind.
        self._killing = threading.Thread(target=carry_out, name="otel-untether-kill")
        self._killing.start()

    def _still_silent(self, finding: Finding) -> bool:
        return self._recorder.state.last_sign == finding.since and not self._child.blocked_since()

    def _record(self, event: str, facts: Mapping[str, AttributeValue], cause: str) -> None:
        """Journal, then trace, then the collector: in this order a crash loses least."""
        self._desk.record(event, facts)
        self._recorder.tracer.note(event, self._child.clock.now(), facts, SeverityNumber.ERROR)
        if event == semconv.EVENT_KILL_DECIDED:
            self._desk.flush()
        elif event == semconv.EVENT_KILL_SIGNALLED:
            self.killed_for = cause


def _facts(finding: Finding) -> dict[str, AttributeValue]:
    """Everything about a finding that telemetry may say."""
    facts: dict[str, AttributeValue] = {
        **finding.attributes,
        semconv.STALL_IDLE: round(finding.idle_s, 3),
        semconv.STALL_NUMBER: finding.number,
    }
    if finding.cause:
        facts[semconv.STALL_CAUSE] = finding.cause
        facts[semconv.STALL_EVIDENCE] = tuple(finding.evidence)
    if finding.expected is not None:
        facts[semconv.WAIT_KIND] = finding.expected
    decision = finding.decision
    if decision is not None:
        facts |= {
            semconv.KILL_ACTION: decision.action,
            semconv.KILL_VETOES: decision.vetoes,
            semconv.KILL_REASONS: decision.reasons,
            semconv.KILL_CONFIRMATIONS: decision.confirmations,
            semconv.KILL_WINDOW: decision.window,
        }
    return facts


def _severity(finding: Finding) -> SeverityNumber:
    return _SEVERITY.get(finding.kind, SeverityNumber.WARN)


def _aside(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="otel-untether-aside", daemon=True).start()
