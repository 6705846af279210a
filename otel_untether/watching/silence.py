"""A live process watched: its tree sampled, its silence judged, and what follows from that.

A finding becomes a span that is over at once (a frozen session must be visible while it is
frozen), an event, a line for the operator and a dump in the run's folder; a decision to kill
is recorded before it is carried out.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.proc_diag.tree import Tree
from otel_untether.spans import finding_attributes
from otel_untether.watching.interruptions import let_through
from otel_untether.watching.listener import hooks
from otel_untether.watching.peaks import Peaks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.sampler import Sampler
    from otel_untether.proc_diag.snapshot import ProcessSnapshot
    from otel_untether.session.activity import AttributeValue
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding
    from otel_untether.watching.judge import Judge, KillOrder
    from otel_untether.watching.listener import Listener
    from otel_untether.watching.subject import Subject

_log: Final = logging.getLogger(__name__)
_SECOND: Final = 10**9
# Seconds to wait for evidence about who may have been left behind: where they are to be ended,
# where a process of ours does nothing else, and where an event loop stands still meanwhile.
_PATIENT: Final = 1.0
_HASTY: Final = 0.2
_IN_PASSING: Final = 0.05


class SilenceWatch:
    """Watches the process `pid` of one session, until it is closed.

    `flush` has what was told leave this process, before a kill begins.
    """

    def __init__(
        self,
        subject: Subject,
        pid: int,
        state: SessionState,
        config: WatchdogConfig,
        sampler: Sampler,
        listeners: Sequence[Listener],
        flush: Callable[[], object],
    ) -> None:
        config.check()
        self.tree = Tree(pid, reaper=subject.reaper, traceparent=subject.traceparent)
        self.window = sampler.add(state.run_id, self.tree)
        self._subject = subject
        self._state = state
        self._config = config
        self._sampler = sampler
        self._listeners = listeners
        self._flush = flush
        self._judge: Judge | None = None
        self._tainted = False
        self._peaks = Peaks()
        self._seen = 0.0
        self._judged = 0, 0  # when, and what its last sign was then (ns)
        self._stalls = 0
        self.stalled = False
        """Whether the last that was found is that it stalls."""
        self._order: KillOrder | None = None
        self._cause = ""
        self._left_behind: tuple[str, ...] = ()
        self._closed = False
        if config.reap_orphans:
            # Not only when somebody is to be ended, which must not fail.
            from otel_untether.kill import left_behind  # noqa: F401, PLC0415

    @property
    def killed_for(self) -> str | None:
        """The cause for which the tree was signalled, None if it was not."""
        return self._cause if self._order is not None and self._order.signalled else None

    @property
    def overtime(self) -> float:
        """Seconds that a kill under way may still take."""
        return self._order.overtime if self._order is not None else 0.0

    def taint(self) -> None:
        """Give the session less time to begin: it continues one that froze."""
        self._tainted = True
        if self._judge is not None:
            self._judge.taint()

    def tick(self, now: int, lock: AbstractContextManager[object]) -> None:
        """Look once; `now` in ns. The session's state is read under `lock`."""
        if self._closed:
            return  # its session waits for somebody's last word
        fresh = self._take_samples(now)
        judge = self._judge or self._appoint(lock)
        if self.overtime or self.killed_for:
            return  # what it looks like from now on is our own doing
        if not (fresh or self._is_due(now)):
            return
        self._judged = now, self._state.last_sign
        finding = judge.judge(self.window, now, lock) if self._subject.hears else None
        if finding is not None:
            self._report(finding)

    def close(self, lock: AbstractContextManager[object]) -> None:
        """Stop watching, but see a kill through: a dead leader may leave descendants."""
        self._closed = True
        try:
            if self._order is not None:
                self._order.join()
            if self._judge is not None and self._subject.hears:
                last = self._judge.judge(self.window, self._subject.clock.now(), lock)
                if last is not None and last.kind == "recovered":
                    self._report(last)  # it spoke again, and ended before anybody looked
            self._leave()
        finally:
            self._sampler.remove(self._state.run_id)
            for diag in self.window.since(self._seen):
                self._peaks.add(diag)

    def attributes(self) -> dict[str, AttributeValue]:
        """Return what was measured, for the summary: peaks, and how often it stalled."""
        stalled: dict[str, AttributeValue] = {
            semconv.STALLED: self._stalls > 0,
            semconv.STALL_COUNT: self._stalls,
        }
        if self._left_behind:
            stalled[semconv.LEFT_BEHIND] = self._left_behind
        return {**self._peaks.attributes(), **stalled}

    def _leave(self) -> None:
        """Note who outlived the agent; end them where that was asked for."""
        try:
            if left := self.tree.left_behind(self._patience):
                self._end_left_behind(left)
        except Exception:  # noqa: BLE001  whatever it is, the session ends all the same
            let_through()
            _log.exception("what outlived the agent is not known")

    def _end_left_behind(self, left: Sequence[ProcessSnapshot]) -> None:
        from otel_untether.kill.left_behind import described, end_left_behind  # noqa: PLC0415  rare

        self._left_behind = described(left)
        if self._config.reap_orphans:
            reaps = self._subject.reaper == os.getpid()
            grace = self._config.kill_grace
            end_left_behind(self.tree, grace=grace, record=self._note, reap=reaps)

    @property
    def _patience(self) -> float:
        if self._config.reap_orphans:
            return _PATIENT
        return _IN_PASSING if self._subject.reaper is None else _HASTY

    def _note(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        """Record a step; where the decision cannot be recorded, nothing is signalled."""
        for listener in self._listeners:
            listener.noted(event, facts, self._subject.clock.now())

    def _is_due(self, now: int) -> bool:
        """Whether to judge without a new sample: it spoke, or none has come for long."""
        at, sign = self._judged
        waited = (now - at) / _SECOND >= self._config.sample_interval
        return waited or sign != self._state.last_sign

    def _take_samples(self, now: int) -> bool:
        """Take the samples that are new; return whether there were any."""
        before, newest = self._seen, self.window.latest
        if newest is None or newest.at <= before:
            return False  # as at most ticks
        for diag in self.window.since(self._seen):
            if diag.at > self._seen:
                self._seen = diag.at
                self._peaks.add(diag)
                self._tell("sampled", diag, now)
        return self._seen != before

    def _appoint(self, lock: AbstractContextManager[object]) -> Judge:
        """Return who judges the silence from now on."""
        from otel_untether.watching.judge import Judge  # noqa: PLC0415  as is said there

        with lock:
            self._judge = Judge(self._subject, self.tree, self._state, self._config)
            if self._tainted:
                self._judge.taint()
        return self._judge

    def _report(self, finding: Finding) -> None:
        self._stalls += finding.kind == "stall"
        self.stalled = finding.kind == "stall" or (self.stalled and finding.kind != "recovered")
        self._tell("found", finding)
        if finding.carried_out:
            self._kill(finding)

    def _kill(self, finding: Finding) -> None:
        from otel_untether.watching.judge import KillOrder  # noqa: PLC0415  it is there already

        self._cause = finding.cause
        self._order = KillOrder(
            self.tree,
            finding.cause,
            self._listeners,
            self._subject.clock,
            grace=self._config.kill_grace,
            reap=self._subject.reaper == os.getpid(),
            proceed=lambda: self._still_silent(finding),
            flush=self._flush,
        )
        self._order.start(finding_attributes(finding))

    def _still_silent(self, finding: Finding) -> bool:
        return finding.stands(self._state) and not self._subject.blocked_since()

    def _tell(self, hook: str, *what: object) -> None:
        for hear in hooks(self._listeners, hook):
            try:
                hear(*what)
            except Exception:  # noqa: BLE001  the others are told all the same
                let_through()
                _log.exception("%s was not told to all", hook)
