"""The detector: state, samples and time in; at most one finding a tick out.

It keeps a small memory of the current silence (warnings given, evidence gathered), and no
clock. Silence is counted only while it was watched: after a hole in the ticks (the machine
slept, we were stopped) it goes on from where it was, and what was seen before is no evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_untether.diagnosis.attributes import attributes
from otel_untether.diagnosis.causes import Explanation, explain
from otel_untether.diagnosis.evidence import Evidence
from otel_untether.diagnosis.facts import SECOND, Facts, observe
from otel_untether.diagnosis.findings import Decision, Finding, Kind
from otel_untether.diagnosis.process_rules import context
from otel_untether.diagnosis.session_rules import last_event, waiting
from otel_untether.diagnosis.thresholds import (
    ASKED,
    BELOW,
    EXPLANATIONS,
    Threshold,
    awaits_prompt,
    in_force,
    last_excused,
    shortest,
    threshold,
)

if TYPE_CHECKING:
    from collections.abc import Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.snapshot import ProcDiag
    from otel_untether.session.activity import Wait
    from otel_untether.session.state import SessionState


class Assessment(NamedTuple):
    """Where a session stands: what explains its silence, and whether that is a stall."""

    cause: str
    idle_s: float
    threshold: Threshold
    stall: bool


class Detector:
    """Watches one session. `tainted`: it continues one that stalled or was killed.

    Call `tick` at least every `sample_interval` with the samples of the process tree, oldest
    first; those seen before are recognised by their time. Raises `ConfigError` for a
    configuration that cannot be.
    """

    def __init__(self, config: WatchdogConfig, *, tainted: bool = False) -> None:
        config.check()
        self.config = config
        self.tainted = tainted
        self._evidence = Evidence(config)
        self._last_tick: int | None = None
        self._floor = 0
        self._sign: int | None = None
        self._blocked_since: int | None = None
        self._patience = min(shortest(config), config.liveness_timeout)
        self._begin_silence()

    def _begin_silence(self) -> None:
        self._warnings = 0
        self._told: dict[str, int] = {}
        self._decided = False
        self._judged: tuple[float, tuple[str, ...]] | None = None

    def tick(
        self,
        state: SessionState,
        samples: Reversible[ProcDiag],
        now: int,
        *,
        blocked_since: int | None = None,
    ) -> Finding | None:
        """Look once; `now` is ns since the epoch, on the clock of `state`.

        `blocked_since` is since when nobody has read the agent's output, None while it is read:
        then the agent may have said what has not reached us, and is never to blame.
        """
        self._blocked_since = blocked_since
        self._notice_hole(state, now)
        fresh = self._evidence.take(samples, now)
        since, self._sign = self._sign, state.last_sign
        if since is not None and since != state.last_sign:
            return self._sign_of_life(state, since)
        if (wait := in_force(state, self.config, now)) is not None:
            return self._excused(state, wait, now)
        if awaits_prompt(state):
            self._floor = now
            return None
        if now - max(self._floor, state.last_sign) < self._patience * SECOND:
            return None
        return self._silence(self._facts(state, now), fresh=fresh)

    def assess(self, state: SessionState, now: int) -> Assessment:
        """Say where the session stands, by the samples of the last tick."""
        facts = self._facts(state, now)
        limit = threshold(facts)
        if (wait := in_force(state, self.config, now)) is not None:
            return Assessment(EXPLANATIONS[wait.kind], facts.idle, limit, stall=False)
        if awaits_prompt(state):
            return Assessment("awaiting_prompt", facts.idle, limit, stall=False)
        if facts.quiet < limit.seconds:
            return Assessment(BELOW[limit.name], facts.idle, limit, stall=False)
        cause = explain(facts)
        return Assessment(cause.cause, facts.idle, limit, stall=cause.stall)

    def _notice_hole(self, state: SessionState, now: int) -> None:
        """Silence that was not watched is not counted, and supports nothing."""
        last, self._last_tick = self._last_tick, now
        if last is None or now - last <= self._evidence.hole * SECOND:
            return
        self._floor = max(self._floor, min(state.last_sign, last)) + now - last
        self._evidence.discard()

    def _sign_of_life(self, state: SessionState, since: int) -> Finding | None:
        warnings = self._warnings
        self._begin_silence()
        self._evidence.start_over()
        if not warnings:
            return None
        return Finding("recovered", "", state.last_sign, since, number=warnings)

    def _facts(self, state: SessionState, now: int) -> Facts:
        excused = last_excused(state, self.config, now)
        reference = max(self._floor, state.last_sign, excused)
        recent = self._evidence.current(now)
        return observe(
            state,
            self.config,
            now,
            reference,
            recent,
            tainted=self.tainted,
            blocked_since=self._blocked_since,
        )

    def _excused(self, state: SessionState, wait: Wait, now: int) -> Finding | None:
        """A wait explains the silence: whatever follows it is a new one."""
        self._floor = now
        facts = self._facts(state, now)
        self._evidence.start_over()
        why = Explanation(EXPLANATIONS[wait.kind], waiting(wait, now), stall=False)
        pace = self.config.approval_timeout
        old = wait.kind in ASKED and now - wait.since >= pace * SECOND
        if old and self._due("waiting", now, pace):
            return self._report("waiting", facts, why, Threshold("approval", pace), wait.kind)
        return self._spared(facts, why, Threshold("wait", 0.0), wait.kind)

    def _silence(self, facts: Facts, *, fresh: bool) -> Finding | None:
        limit = threshold(facts)
        if facts.quiet < limit.seconds:
            why = Explanation(BELOW[limit.name], (f"inside its time ({limit.name})",), stall=False)
            return self._spared(facts, why, limit, None)
        if self._unchanged(facts, fresh=fresh):
            return None
        why = explain(facts)
        self._evidence.agree(why.cause, fresh=fresh)
        pace = self.config.stall_repeat_seconds
        if not why.stall:
            due = self._due("waiting", facts.now, pace)
            return self._report("waiting", facts, why, limit) if due else None
        if self._due("stall", facts.now, pace):
            self._warnings += 1
            return self._report("stall", facts, why, limit)
        if facts.quiet < self.config.liveness_timeout:
            return None
        return self._liveness(facts, why, limit)

    def _unchanged(self, facts: Facts, *, fresh: bool) -> bool:
        """Whether there is nothing to judge: no warning is due, and nothing new was seen."""
        warned = self._told.get("stall", 0)
        due = facts.now - warned >= self.config.stall_repeat_seconds * SECOND
        early = facts.quiet < self.config.liveness_timeout
        checked = early or "liveness" in self._told
        may_kill = bool(self.config.stall_auto_kill) and not self._decided
        return checked and not due and not (may_kill and self._anew(early=early, fresh=fresh))

    def _anew(self, *, early: bool, fresh: bool) -> bool:
        """Whether there is something new to decide on.

        A wedge is confirmed sample by sample; any other cause has to be looked for in each.
        """
        if self.config.kill_causes != ("wedged",):
            return fresh
        evidence = (self._evidence.seen_at, self._evidence.objections)
        known = self._judged is not None and self._judged[1] == evidence[1] != ()
        return not early and evidence != self._judged and not known

    def _liveness(self, facts: Facts, why: Explanation, limit: Threshold) -> Finding | None:
        if facts.alive is not False and self._once("liveness", facts.now):
            return self._report("liveness", facts, why, limit)
        if not self.config.stall_auto_kill or self._decided:
            return None
        decision = self._evidence.decide(why, facts.now)
        self._judged = self._evidence.seen_at, self._evidence.objections
        if decision.action == "veto":
            return self._veto(facts, why, limit, decision)
        self._decided = True
        return self._report("kill", facts, why, limit, decision=decision)

    def _spared(
        self, facts: Facts, why: Explanation, limit: Threshold, expected: str | None
    ) -> Finding | None:
        """Record why a silence as old as the liveness check is none of its business."""
        if not self.config.stall_auto_kill or facts.idle < self.config.liveness_timeout:
            return None
        decision = Decision("veto", ("expected_wait",), (why.cause,), 0, 0.0)
        return self._veto(facts, why, limit, decision, expected)

    def _veto(
        self,
        facts: Facts,
        why: Explanation,
        limit: Threshold,
        decision: Decision,
        expected: str | None = None,
    ) -> Finding | None:
        """Record each reason once in a silence."""
        news = [code for code in decision.vetoes if self._once(f"veto {code}", facts.now)]
        if not news:
            return None
        return self._report("veto", facts, why, limit, expected, decision)

    def _once(self, what: str, now: int) -> bool:
        return self._told.setdefault(what, now) == now

    def _due(self, what: str, now: int, pace: float) -> bool:
        last = self._told.get(what)
        if last is not None and now - last < pace * SECOND:
            return False
        self._told[what] = now
        return True

    def _report(
        self,
        kind: Kind,
        facts: Facts,
        why: Explanation,
        limit: Threshold,
        expected: str | None = None,
        decision: Decision | None = None,
    ) -> Finding:
        return Finding(
            kind,
            why.cause,
            facts.now,
            facts.state.last_sign,
            number=self._warnings,
            threshold=limit.name,
            threshold_s=limit.seconds,
            evidence=(*why.evidence, *last_event(facts), *context(facts, why.cause)),
            expected=expected,
            decision=decision,
            attributes=attributes(facts, limit),
        )
