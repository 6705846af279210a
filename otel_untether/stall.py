"""Silence: whether it is a stall, why, and whether anything may be done about it.

`StallDetector.tick` takes the state of a session, samples of its process tree and the time, and
returns at most one `Finding`; `describe` says it in one line. `LivenessWatchdog` gathers what
speaks for a kill and against it. Nothing here reads a clock, a file or a process.

Silence is counted only while it was watched: after a hole in the ticks (the machine slept, we
were stopped) it goes on from where it was, and what was seen before is no evidence.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.diagnosis import clocks, excuses, thresholds
from otel_untether.diagnosis.advice import action
from otel_untether.diagnosis.attributes import attributes
from otel_untether.diagnosis.causes import (
    CAUSES,
    Explanation,
    explain,
    explain_as,
    needs_two_looks,
)
from otel_untether.diagnosis.clocks import ProgressClock
from otel_untether.diagnosis.context import context, leads
from otel_untether.diagnosis.facts import SECOND, Facts
from otel_untether.diagnosis.findings import Decision, Finding, Kind, describe
from otel_untether.diagnosis.liveness import LivenessWatchdog
from otel_untether.diagnosis.naming import in_state
from otel_untether.diagnosis.prompts import Prompts
from otel_untether.diagnosis.session_rules import last_event, waiting
from otel_untether.session.activity import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook
    from otel_untether.proc_diag.snapshot import Identity, TreeSnapshot
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

_LOOKS: Final = 12
# So many are kept of the time over which a tree must have done nothing.
_EARLIER: Final = 6
# Samples in a row that must speak for another cause than the one that was named and still fits.
_SURE: Final = 2
# So long before a threshold the first deep look is taken: two of them tell what arrived between.
_EARLY: Final = 1.5  # sample intervals


class Assessment(NamedTuple):
    """Where a session stands: what explains its silence, and whether that is a stall."""

    cause: str
    idle_s: float
    threshold: ProgressClock
    stall: bool


class StallDetector:
    """Watches one session.

    Call `tick` at least every `sample_interval`.

    :param config: the thresholds, and what may be done.
    :param tainted: whether the session continues one that stalled or was killed.
    :param from_monotonic: turns the time of a sample or a look (seconds, `time.monotonic()`) into
        ns since the epoch on the clock of the session; without it they are taken for as new as
        the tick that first has them.
    :raises ConfigError: for a configuration that cannot be.
    """

    def __init__(
        self,
        config: WatchdogConfig,
        *,
        tainted: bool = False,
        from_monotonic: Callable[[float], int] | None = None,
    ) -> None:
        config.check()
        self.config = config
        self._from_monotonic = from_monotonic
        self.tainted = tainted
        self._watchdog = LivenessWatchdog(config)
        self._last_tick: int | None = None
        self._holes: deque[tuple[int, int]] = deque(maxlen=64)
        self._floor = 0
        self._sign: int | None = None
        self._stirred = 0
        self._blocked_since: int | None = None
        self._patience = thresholds.shortest(config)
        self._looks: deque[DeepLook] = deque(maxlen=_LOOKS)
        self._earlier: deque[DeepLook] = deque()
        self._sampled_at = self._looked_at = 0
        self._look: Callable[[], DeepLook | None] = _nothing
        self._glance: Callable[[], ProcessLook | None] = _nothing
        self._prompts = Prompts(config)
        self._answers = excuses.Answers()
        self._met: dict[Identity, int] = {}
        self._begin_silence()

    def _begin_silence(self) -> None:
        self._clock: ProgressClock | None = None
        self._warnings = 0
        self._told: dict[str, int] = {}
        self._decided = False
        self._named, self._doubted = "", 0
        self._judged: tuple[str, ...] = ()
        self._looks.clear()
        self._earlier.clear()

    def tick(
        self,
        state: SessionState,
        window: Reversible[TreeSnapshot],
        now: int,
        *,
        blocked_since: int | None = None,
        look: Callable[[], DeepLook | None] | None = None,
        glance: Callable[[], ProcessLook | None] | None = None,
    ) -> Finding | None:
        """Look once, and return what is worth telling, if anything.

        :param state: the session.
        :param window: the samples of its process tree, oldest first; those seen before are
            recognised by their time.
        :param now: ns since the epoch, on the clock of `state`.
        :param blocked_since: since when (ns) nobody has read the agent's output, None while it
            is read: then the agent may have said what has not reached us.
        :param look: takes a deep look at the tree; called about the time a threshold is
            reached, and with each sample after it that is to confirm a verdict. Without it, and
            where it returns None, no session is ever found fit to be killed as wedged.
        :param glance: takes a look at the agent's own process, to see whether a session between
            two prompts was given one; by default it is what `look` sees of it.
        """
        self._blocked_since, self._look = blocked_since, look or _nothing
        self._glance = glance or self._agent_seen
        self._notice_hole(now)
        fresh = self._watchdog.take(window, now)
        if fresh:
            self._meet(now)
        self._hear(state)
        if self._clock is not None and not self._clock.stands(state):
            return self._moved_on(state, self._clock)
        if self._clock is not None and self._unchanged(state, now, fresh=fresh):
            return None
        overdue = self._overdue_wait(state, now)
        if overdue is None and (wait := self._wait(state, now)) is not None:
            return self._excused(state, wait, now)
        prompted = self._prompted(state, now)
        if overdue is None and thresholds.awaits_prompt(state) and not prompted:
            self._floor = now
            return None
        if overdue is None and self._young(state, now):
            return None
        return self._silence(self._facts(state, now, overdue), fresh=fresh)

    def assess(self, state: SessionState, now: int) -> Assessment:
        """Say where the session stands, by the samples of the last tick.

        :param state: the session.
        :param now: the time, in ns since the epoch, on the clock of `state`.
        """
        facts = self._facts(state, now, self._overdue_wait(state, now))
        if (wait := self._wait(state, now)) is not None:
            cause = excuses.EXPLANATIONS[wait.kind]
            return Assessment(cause, facts.idle, facts.clock, stall=False)
        if thresholds.awaits_prompt(state) and self._prompts.since is None:
            return Assessment("awaiting_prompt", facts.idle, facts.clock, stall=False)
        if facts.quiet < facts.clock.seconds:
            below = thresholds.BELOW[facts.clock.name]
            return Assessment(below, facts.idle, facts.clock, stall=False)
        why = explain(facts)
        return Assessment(why.cause, facts.idle, facts.clock, stall=why.stall)

    def _notice_hole(self, now: int) -> None:
        """Silence that was not watched is not counted, and supports nothing."""
        last, self._last_tick = self._last_tick, now
        if last is None or now - last <= self._watchdog.samples.hole * SECOND:
            return
        self._holes.append((last, now))
        self._floor = self._watched(self._floor) if self._floor else 0
        self._stirred = self._watched(self._stirred) if self._stirred else 0
        self._watchdog.discard()
        self._looks.clear()
        self._earlier.clear()

    def _watched(self, since: int) -> int:
        """Return `since` (ns) moved on by what was not watched after it."""
        for begun, ended in self._holes:
            if since < ended:
                since = ended if since > begun else since + ended - begun
        return since

    def _on_our_clock(self, at: float, now: int) -> int:
        return now if self._from_monotonic is None else self._from_monotonic(at)

    def _meet(self, now: int) -> None:
        """Note when the newest sample was taken, and when each member of it was first seen."""
        self._sampled_at = self._on_our_clock(self._watchdog.samples.seen_at, now)
        newest, met = self._watchdog.samples.newest, self._met
        members = newest.processes if newest else ()
        self._met = {one.identity: met.get(one.identity, now) for one in members}

    def _hear(self, state: SessionState) -> None:
        """Any byte is a sign of life, and the run of samples that show none starts anew."""
        if self._sign is not None and self._sign != state.last_sign:
            self._watchdog.heard()
        self._sign = state.last_sign

    def _moved_on(self, state: SessionState, clock: ProgressClock) -> Finding | None:
        """What was overdue is no more."""
        warnings = self._warnings
        self._begin_silence()
        self._watchdog.start_over()
        self._prompts.over()
        if not warnings:
            return None
        at = max(state.last_sign, clock.since)
        return Finding("recovered", "", at, clock.since, number=warnings, last_sign=at)

    def _prompted(self, state: SessionState, now: int) -> bool:
        """Whether the session was given a prompt after its last result, and is silent since."""
        done = state.last_result_at
        if done is None or not thresholds.awaits_prompt(state):
            self._prompts.over()
            return False
        return self._prompts.watch(done, now, self._glance)

    def _agent_seen(self) -> ProcessLook | None:
        seen = self._look()
        return None if seen is None else seen.agent_process

    def _overdue_wait(self, state: SessionState, now: int) -> ProgressClock | None:
        """Return a hook, a compaction, a row of retries that takes too long."""
        if not state.waits:
            return None
        timed = clocks.of_waits(state, self.config)
        return next((c for c in timed if self._quiet(c, now) >= c.seconds), None)

    def _wait(self, state: SessionState, now: int) -> Wait | None:
        """Return the wait that explains silence at `now`."""
        if not state.waits:
            return None
        answered = self._answers.of(state, self._watchdog.samples.current(now))
        return excuses.in_force(state, self.config, now, answered)

    def _quiet(self, clock: ProgressClock, now: int) -> float:
        """Return for how many seconds nothing explained that a clock stands still."""
        since = self._watched(clock.since)
        if not isinstance(clock.subject, Wait):
            since = max(since, self._floor)
        return max(0, now - since) / SECOND

    def _young(self, state: SessionState, now: int) -> bool:
        """Whether nothing can be overdue yet: told without looking at anything in detail."""
        if state.open or state.tasks or state.background or self._dead():
            return False
        since = max(self._watched(state.main.progress), self._floor)
        early = _EARLY * self.config.sample_interval
        return now - since < (self._patience - early) * SECOND

    def _dead(self) -> bool:
        newest = self._watchdog.samples.newest
        return newest is not None and newest.alive is False

    def _facts(self, state: SessionState, now: int, overdue: ProgressClock | None) -> Facts:
        samples = self._watchdog.samples
        recent, window = samples.current(now), samples.window(now)
        self._floor = max(self._floor, excuses.last_excused(state, self.config, now))
        first = overdue or ProgressClock(
            "silence", self.config.stall_timeout, self._main_since(state, now)
        )
        facts = Facts(
            state,
            self.config,
            now,
            first,
            self._quiet(first, now),
            recent,
            window,
            tuple(self._looks),
            tainted=self.tainted,
            prompted=self._prompts.since is not None,
            blocked_since=self._blocked_since,
            earlier=self._earlier[0] if self._earlier else None,
            met=self._met,
            seen_at=self._looked_at if self._looks else self._sampled_at or None,
        )
        return facts if overdue else self._with_clock(facts)

    def _with_clock(self, facts: Facts) -> Facts:
        """Return the facts with the clock that ran out, or with the one that would first."""
        candidates = list(self._clocks(facts))
        late = [c for c in candidates if self._quiet(c, facts.now) >= c.seconds]
        kept = [c for c in late if self._clock is not None and c.subject is self._clock.subject]
        clock = (kept or late or candidates)[0]
        return facts.timed(clock, self._quiet(clock, facts.now))

    def _clocks(self, facts: Facts) -> Iterator[ProgressClock]:
        state, config = facts.state, self.config
        if facts.ended and facts.blocked_since is None:
            yield ProgressClock("dead", 2 * config.sample_interval, state.last_sign)
        yield from clocks.of_work(state, config)
        if clocks.in_background(state):
            yield clocks.of_background(state, config)
        elif clocks.main_owes(state) or facts.contradicted:
            yield thresholds.of_main(facts, self._main_since(state, facts.now))

    def _main_since(self, state: SessionState, now: int) -> int:
        """Return since when (ns) the main agent has not moved on.

        Where nothing that it says is understood, what its processes do is all that moves it.
        """
        if self._prompts.since is not None:
            return self._prompts.since
        if state.understood or thresholds.expected_to_speak(state):
            return state.main.progress
        if excuses.stirs(self._watchdog.samples.current(now), self.config):
            self._stirred = now
        return max(state.main.progress, self._stirred)

    def _excused(self, state: SessionState, wait: Wait, now: int) -> Finding | None:
        """A wait explains the silence: whatever follows it is a new one."""
        self._floor = now
        facts = self._facts(state, now, None)
        self._watchdog.start_over()
        why = Explanation(excuses.EXPLANATIONS[wait.kind], waiting(wait, now), stall=False)
        pace = self.config.approval_timeout
        old = wait.kind in excuses.ASKED and now - wait.since >= pace * SECOND
        if old and self._due("waiting", now, pace):
            facts = facts.timed(ProgressClock("approval", pace, state.last_sign), 0.0)
            return self._report("waiting", facts, why, wait.kind)
        facts = facts.timed(ProgressClock("wait", 0.0, state.last_sign), 0.0)
        return self._spared(facts, why, wait.kind)

    def _silence(self, facts: Facts, *, fresh: bool) -> Finding | None:
        early = _EARLY * self.config.sample_interval
        if facts.clock.seconds - facts.quiet < early and self._needs_look(facts, fresh=fresh):
            facts = self._looked(facts)
        if facts.quiet < facts.clock.seconds:
            below = thresholds.BELOW[facts.clock.name]
            why = Explanation(below, (f"inside its time ({facts.clock.name})",), stall=False)
            return self._spared(facts, why, None)
        if self._unchanged(facts.state, facts.now, fresh=fresh):
            return None
        return self._judge(facts, fresh=fresh)

    def _needs_look(self, facts: Facts, *, fresh: bool) -> bool:
        """Whether the threshold is near, or a verdict is to be found or confirmed now."""
        if self._look is _nothing:
            return False
        if not self._looks:
            return True
        late = facts.quiet >= facts.clock.seconds
        return (late and not self._unchanged(facts.state, facts.now, fresh=fresh)) or (
            fresh and not late
        )

    def _looked(self, facts: Facts) -> Facts:
        """Take a deep look and return the facts with it; it may show the threshold another."""
        seen = self._look()
        if seen is not None:
            self._looks.append(seen)
            self._looked_at = self._on_our_clock(seen.at, facts.now)
            self._keep_earlier(seen)
        overdue = facts.clock if isinstance(facts.clock.subject, Wait) else None
        return self._facts(facts.state, facts.now, overdue)

    def _keep_earlier(self, seen: DeepLook) -> None:
        """Keep a few looks of the last half of `liveness_timeout`: who wakes seldom wakes, too."""
        earlier, span = self._earlier, self.config.liveness_timeout / 2
        if not earlier or seen.at - earlier[-1].at >= span / _EARLIER:
            earlier.append(seen)
        while len(earlier) > 1 and seen.at - earlier[1].at >= span:
            earlier.popleft()

    def _judge(self, facts: Facts, *, fresh: bool) -> Finding | None:
        self._clock = facts.clock
        found = explain(facts)
        if self._too_early(found, facts):
            return None
        why = self._settled(found, facts, fresh=fresh)
        self._watchdog.agree(found.cause, facts, fresh=fresh)
        pace = self.config.stall_repeat_seconds
        if not why.stall:
            due = self._due("waiting", facts.now, pace)
            return self._report("waiting", facts, why) if due else self._spared(facts, why, None)
        if self._due("stall", facts.now, pace):
            self._warnings += 1
            return self._report("stall", facts, why)
        # What the newest sample does not speak for is no reason to do anything.
        return self._liveness(facts, why) if why is found else None

    def _too_early(self, found: Explanation, facts: Facts) -> bool:
        """Whether a second look must tell it, which comes with the next sample."""
        just = facts.quiet < facts.clock.seconds + 3 * self.config.sample_interval
        return just and len(facts.looks) == 1 and needs_two_looks(found.cause, facts)

    def _settled(self, found: Explanation, facts: Facts, *, fresh: bool) -> Explanation:
        """Return the cause that was found, or the one that was named before and still fits.

        That stays until two samples in a row have spoken for another: one that came late, on a
        busy machine, must not bring a cause of its own.
        """
        self._doubted = 0 if found.cause == self._named else self._doubted + fresh
        sticks = self._named not in ("", "unexplained", found.cause) and self._doubted < _SURE
        if found.stall and sticks and (known := explain_as(self._named, facts)) is not None:
            return known
        self._named, self._doubted = found.cause, 0
        return found

    def _unchanged(self, state: SessionState, now: int, *, fresh: bool) -> bool:
        """Whether there is nothing to judge: no warning is due, and nothing new was seen."""
        told = max(self._told.get("stall", 0), self._told.get("waiting", 0))
        due = now - told >= self.config.stall_repeat_seconds * SECOND
        idle = (now - max(state.last_sign, self._floor)) / SECOND
        checked = idle < self.config.liveness_timeout or "liveness" in self._told
        may_kill = bool(self.config.stall_auto_kill) and not self._decided
        return checked and not due and not (may_kill and fresh and self._anew())

    def _anew(self) -> bool:
        """Whether the newest sample may lead to another decision than the one before.

        What a sample itself has against a wedge needs to be told once, and no deep look.
        """
        known = self._watchdog.objections
        return self.config.kill_causes != ("wedged",) or not known or self._judged != known

    def _liveness(self, facts: Facts, why: Explanation) -> Finding | None:
        late = min(facts.idle, facts.quiet) >= self.config.liveness_timeout
        if late and facts.alive is not False and self._once("liveness", facts.now):
            return self._report("liveness", facts, why)
        # What the operator named is killed at its own threshold, once confirmed.
        asked = why.cause in self.config.kill_causes and why.cause != "wedged"
        if not self.config.stall_auto_kill or self._decided or not (late or asked):
            return None
        decision = self._watchdog.decide(why.cause, facts)
        self._judged = self._watchdog.objections
        if decision.action == "veto":
            return self._veto(facts, why, decision) if late else None
        self._decided = True
        return self._report("kill", facts, why, decision=decision)

    def _spared(self, facts: Facts, why: Explanation, expected: str | None) -> Finding | None:
        """Record why a silence as old as the liveness check is none of its business."""
        if not self.config.stall_auto_kill or facts.idle < self.config.liveness_timeout:
            return None
        reason = f"{why.cause.replace('_', ' ')} explains it"
        decision = Decision("veto", ("expected_wait",), (reason,), 0, 0.0)
        return self._veto(facts, why, decision, expected)

    def _veto(
        self, facts: Facts, why: Explanation, decision: Decision, expected: str | None = None
    ) -> Finding | None:
        """Record each reason once in a silence."""
        news = [code for code in decision.vetoes if self._once(f"veto {code}", facts.now)]
        return self._report("veto", facts, why, expected, decision) if news else None

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
        expected: str | None = None,
        decision: Decision | None = None,
    ) -> Finding:
        last = facts.state.last_sign
        heard = facts.heard and kind != "waiting"
        return Finding(
            kind,
            why.cause,
            facts.now,
            min(last, facts.clock.since) if heard else last,
            number=self._warnings,
            threshold=facts.clock.name,
            threshold_s=facts.clock.seconds,
            evidence=(*why.evidence, *last_event(facts), *context(facts, why.cause)),
            expected=expected,
            decision=decision,
            attributes=attributes(facts, why.cause),
            advice=action(why.cause),
            leads=leads(facts, why.cause),
            transcript=facts.transcript,
            pid=facts.agent.identity.pid if facts.agent else None,
            process=in_state(facts.agent) if facts.agent else "",
            heard=heard,
            last_sign=last,
            clock=facts.clock,
        )


def _nothing() -> None:
    """Take no look."""
