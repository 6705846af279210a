"""Silence: whether it is a stall, why, and whether anything may be done about it.

`StallDetector.tick` takes the state of a session, samples of its process tree and the time, and
returns at most one `Finding`; `describe` says it in one line. `LivenessWatchdog` gathers what
speaks for a kill and against it. Nothing here reads a clock, a file or a process.

Silence is counted only while it was watched: after a hole in the ticks (the machine slept, we
were stopped) it goes on from where it was, and what was seen before is no evidence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_untether.diagnosis.attributes import attributes
from otel_untether.diagnosis.causes import CAUSES, Explanation, explain
from otel_untether.diagnosis.excuses import ASKED, EXPLANATIONS, in_force, last_excused
from otel_untether.diagnosis.facts import SECOND, Facts, observe
from otel_untether.diagnosis.findings import Decision, Finding, Kind, describe
from otel_untether.diagnosis.objections import hard_objections, objections
from otel_untether.diagnosis.process_rules import context
from otel_untether.diagnosis.samples import RecentSamples
from otel_untether.diagnosis.session_rules import last_event, waiting
from otel_untether.diagnosis.thresholds import (
    BELOW,
    Threshold,
    awaits_prompt,
    shortest,
    threshold,
)
from otel_untether.diagnosis.words import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.findings import Action
    from otel_untether.proc_diag.snapshot import ProcDiag
    from otel_untether.session.activity import Wait
    from otel_untether.session.state import SessionState

__all__ = [
    "CAUSES",
    "Assessment",
    "Decision",
    "Finding",
    "LivenessWatchdog",
    "StallDetector",
    "describe",
]


class Assessment(NamedTuple):
    """Where a session stands: what explains its silence, and whether that is a stall."""

    cause: str
    idle_s: float
    threshold: Threshold
    stall: bool


class StallDetector:
    """Watches the silence of one session.

    Call `tick` at least every `sample_interval`.

    :param config: the thresholds, and whether a session may be killed.
    :param tainted: whether it continues one that stalled or was killed.
    :raises ConfigError: for a configuration that cannot be.
    """

    def __init__(self, config: WatchdogConfig, *, tainted: bool = False) -> None:
        config.check()
        self.config = config
        self.tainted = tainted
        self._watchdog = LivenessWatchdog(config)
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
        """Look once, and return what is new: one finding at most.

        :param state: the session.
        :param samples: of its process tree, oldest first; those seen before are recognised by
            their time.
        :param now: the time, in ns since the epoch, on the clock of `state`.
        :param blocked_since: since when nobody has read the agent's output, None while it is
            read: then the agent may have said what has not reached us, and is never to blame.
        """
        self._blocked_since = blocked_since
        self._notice_hole(state, now)
        fresh = self._watchdog.take(samples, now)
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
        """Say where the session stands, by the samples of the last tick.

        :param state: the session.
        :param now: the time, in ns since the epoch, on the clock of `state`.
        """
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
        if last is None or now - last <= self._watchdog.samples.hole * SECOND:
            return
        self._floor = max(self._floor, min(state.last_sign, last)) + now - last
        self._watchdog.discard()

    def _sign_of_life(self, state: SessionState, since: int) -> Finding | None:
        warnings = self._warnings
        self._begin_silence()
        self._watchdog.start_over()
        if not warnings:
            return None
        return Finding("recovered", "", state.last_sign, since, number=warnings)

    def _facts(self, state: SessionState, now: int) -> Facts:
        excused = last_excused(state, self.config, now)
        reference = max(self._floor, state.last_sign, excused)
        recent = self._watchdog.samples.current(now)
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
        self._watchdog.start_over()
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
        self._watchdog.agree(why.cause, fresh=fresh)
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
        evidence = (self._watchdog.samples.seen_at, self._watchdog.objections)
        known = self._judged is not None and self._judged[1] == evidence[1] != ()
        return not early and evidence != self._judged and not known

    def _liveness(self, facts: Facts, why: Explanation, limit: Threshold) -> Finding | None:
        if facts.alive is not False and self._once("liveness", facts.now):
            return self._report("liveness", facts, why, limit)
        if not self.config.stall_auto_kill or self._decided:
            return None
        decision = self._watchdog.decide(why, facts.now)
        self._judged = self._watchdog.samples.seen_at, self._watchdog.objections
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


class LivenessWatchdog:
    """What speaks for a kill of a silent session and against it, from sample to sample.

    A kill rests on an unbroken run of samples in each of which the tree provably did nothing
    and could not be woken. One sample that says otherwise, or does not say, and the run starts
    anew. `samples` are the newest ones, `objections` what the newest says against a wedge.

    :param config: how long, how often and how still it has to be.
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self.config = config
        self.samples = RecentSamples(config)
        self.objections: tuple[str, ...] = ()
        self._since: float | None = None
        self._run = 0
        self._cause = ""
        self._cause_run = 0

    def discard(self) -> None:
        """Start anew: what was seen says nothing about what is."""
        self.samples.discard()
        self.start_over()

    def start_over(self) -> None:
        """Forget agreement, not the samples: the silence itself begins anew."""
        self._since, self._run, self._cause, self._cause_run = None, 0, "", 0

    def take(self, window: Reversible[ProcDiag], now: int) -> bool:
        """Take the samples not seen yet, and return whether there were any.

        :param window: the last samples of the tree, oldest first.
        :param now: the time, in ns since the epoch.
        """
        news = self.samples.take(window, now)
        for sample in news:
            self._take(sample)
        return bool(news)

    def _take(self, sample: ProcDiag) -> None:
        if not self.samples.keep(sample):
            self.start_over()
        self.objections = tuple(code for code, _ in objections(sample, self.config))
        if self.objections:
            self._since, self._run = None, 0
            return
        self._since = sample.at if self._since is None else self._since
        self._run += 1

    def agree(self, cause: str, *, fresh: bool) -> None:
        """Note the cause that the newest sample gives.

        :param cause: the cause.
        :param fresh: whether the sample is one that was not judged yet.
        """
        if cause != self._cause:
            self._cause, self._cause_run = cause, 0
        self._cause_run += fresh

    def decide(self, explanation: Explanation, now: int) -> Decision:
        """Judge whether what is known is enough to kill for.

        :param explanation: why the session is silent.
        :param now: the time, in ns since the epoch.
        """
        wedged = explanation.cause == "wedged"
        run = self._run if wedged else self._cause_run
        window = self._window() if wedged else 0.0
        against = dict(self._against(explanation.cause, self.samples.current(now), run, window))
        kill: Action = "dry-run" if self.config.stall_auto_kill == "dry-run" else "kill"
        action: Action = "veto" if against else kill
        return Decision(action, tuple(against), tuple(against.values()), run, window)

    def _window(self) -> float:
        return 0.0 if self._since is None else self.samples.seen_at - self._since

    def _against(
        self, cause: str, recent: tuple[ProcDiag, ...], run: int, window: float
    ) -> Iterator[tuple[str, str]]:
        if cause not in self.config.kill_causes:
            yield "cause", f"{cause} is not among kill_causes"
        if not recent:
            yield "unknown", "the process tree could not be looked at"
            return
        newest = recent[-1]
        # An operator who names another cause knows that it may come with connections and CPU.
        widened = cause != "wedged" and cause in self.config.kill_causes
        yield from hard_objections(newest) if widened else objections(newest, self.config)
        if newest.leader is not None and newest.leader.state == "R":
            yield "runnable", "it is about to run"
        yield from self._unconfirmed(run, window, wedged=cause == "wedged")

    def _unconfirmed(self, run: int, window: float, *, wedged: bool) -> Iterator[tuple[str, str]]:
        needed = self.config.kill_confirmations
        if run < needed:
            yield "confirmations", f"{count(run, 'sample')} of {needed} agree so far"
        expected = self.config.liveness_timeout / 2
        if wedged and window < expected:
            text = f"it has done nothing for {duration(window)} only, of {duration(expected)}"
            yield "window", text
