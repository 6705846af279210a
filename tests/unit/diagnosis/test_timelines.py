"""Random lives of a session, ten thousand in `make fuzz`: what must hold in each of them.

A seeded generator plays a session second by second: lines, tools, waits, connections that come
and go, facts that are unknown for a while, holes in the watching; and, in some, a true wedge.
What must hold is judged from the script, not from what the detector remembers.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from msgspec.structs import replace

from otel_untether.config.settings import WatchdogConfig
from otel_untether.session import events as ev
from otel_untether.stall import Finding, StallDetector
from tests.unit.diagnosis.worlds import (
    T0,
    S,
    child,
    looker,
    process,
    sample,
    session,
    socket,
    tell,
    tool,
)

if TYPE_CHECKING:
    from otel_untether.proc_diag.snapshot import TreeSnapshot

CONFIG = WatchdogConfig(
    stall_auto_kill=True,
    stall_timeout=20,
    stall_repeat_seconds=15,
    liveness_timeout=40,
    tool_timeout=60,
    mcp_tool_timeout=80,
    subagent_timeout=80,
    approval_timeout=50,
    wait_timeout=10,
    sample_interval=2,
)
STEP = 2.0
LIVES, BATCHES = 10 * settings().max_examples, 20


@dataclass
class Life:
    """One simulated session; `log` holds for each tick what was true, by the script."""

    rng: random.Random
    now: float = 0.0
    tool_open: bool = False
    asked: bool = False
    quiet_since: float = 0.0
    last_line: float = 0.0
    look: TreeSnapshot = field(default_factory=sample)
    findings: list[tuple[float, Finding]] = field(default_factory=list)
    excuses: list[float] = field(default_factory=list)
    harmless: list[tuple[float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = session()
        self.detector = StallDetector(CONFIG)
        self.window: deque[TreeSnapshot] = deque(maxlen=30)

    def at(self) -> int:
        return T0 + round(self.now * S)

    def act(self) -> None:
        """Perhaps the agent says something; whatever it does next, it waits no longer."""
        choice = self.rng.random()
        if self.asked and choice < 0.3:
            self.asked = False
            self.say(ev.WaitEnded(at=self.at(), id="w", answer="allow"))
        elif self.tool_open and choice < 0.5:
            self.tool_open = False
            self.say(ev.ToolFinished(at=self.at(), id="call-Bash"))
        elif choice < 0.65:
            self.tool_open, self.asked = True, False
            self.say(tool(at=self.at()))
        elif choice < 0.8:
            self.asked = True
            self.say(ev.WaitBegan(at=self.at(), id="w", kind="approval"))
        else:
            self.asked = False  # who speaks again has been answered
            self.say(ev.ModelMessage(at=self.at(), id=str(self.now)))

    def say(self, event: ev.Event) -> None:
        tell(self.state, event)
        self.last_line = self.now

    def shift(self) -> None:
        """The process tree looks different from now on."""
        rng = self.rng
        self.look = sample(
            *([child("bash")] if self.tool_open and rng.random() < 0.8 else []),
            leader=process(state=rng.choice("SSSSSSRDTt")),
            sockets=rng.choice([(), (), None, (socket(),), (socket("LISTEN"),)]),
            cpu=rng.choice([0.0, 0.0, 0.01, 0.3, 0.97, None]),
        )

    def run(self, seconds: float, *, silent: float, watched: float = 1.0) -> None:
        """Live on; each step it stays silent with probability `silent`."""
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            if self.rng.random() > silent:
                self.act()
            if self.rng.random() < 0.03 * watched:
                self.now += self.rng.uniform(10, 100)  # nobody watched
                self.window.clear()
            self.tick()

    def tick(self) -> None:
        look = sample_at(self.look, self.now)
        self.window.append(look)
        self.harmless.append((self.now, provably_asleep(look)))
        if self.asked:
            self.excuses.append(self.now)
        deeper = looker(self.look, self.now)
        finding = self.detector.tick(self.state, self.window, self.at(), look=deeper)
        if finding is not None:
            self.findings.append((self.now, finding))


def sample_at(look: TreeSnapshot, at: float) -> TreeSnapshot:
    return replace(look, at=at)


def provably_asleep(look: TreeSnapshot) -> bool:
    return (
        look.sockets == ()
        and look.cpu_rate is not None
        and look.cpu_rate < CONFIG.cpu_idle_bound
        and look.leader is not None
        and look.leader.state in ("S", "R")
    )


def check_kills(life: Life) -> None:
    """No kill while a veto holds, with an unknown fact, or without the whole window."""
    for at, finding in life.findings:
        if finding.kind != "kill":
            continue
        since = at - CONFIG.liveness_timeout / 2
        window = [fine for when, fine in life.harmless if since <= when <= at]
        assert finding.cause == "wedged"
        assert finding.idle_s >= CONFIG.liveness_timeout
        assert all(window)
        assert len(window) >= CONFIG.kill_confirmations
        assert not any(since <= when <= at for when in life.excuses)


def check_warnings(life: Life) -> None:
    """Numbered without a gap in each silence; never one while an approval is open."""
    expected = 1
    for at, finding in life.findings:
        if finding.kind == "recovered":
            expected = 1
        if finding.kind == "stall":
            assert finding.number in (1, expected)
            expected = finding.number + 1
            assert finding.idle_s >= CONFIG.stall_timeout
            assert at not in life.excuses


@pytest.mark.lives
@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_lives(batch: int) -> None:
    for number in range(LIVES // BATCHES):
        life = Life(random.Random(batch * LIVES + number))
        for _ in range(life.rng.randint(1, 4)):
            life.shift()
            life.run(life.rng.uniform(4, 60), silent=life.rng.choice([0.5, 0.9, 0.99, 1.0]))
        wedged = life.rng.random() < 0.4
        if wedged:
            _wedge_for_good(life)
        check_kills(life)
        check_warnings(life)


def _wedge_for_good(life: Life) -> None:
    """A true wedge is warned of and killed in time: the thresholds, and a step or two."""
    if life.asked:
        life.asked = False
        life.say(ev.WaitEnded(at=life.at(), id="w"))
    if life.tool_open:
        life.tool_open = False
        life.say(ev.ToolFinished(at=life.at(), id="call-Bash"))
    life.say(ev.ModelMessage(at=life.at(), id="last"))
    life.tick()
    life.findings.clear()
    life.look = sample()
    begun = life.now
    life.run(CONFIG.liveness_timeout + 4 * STEP, silent=1.0, watched=0.0)
    kinds = {finding.kind: at - begun for at, finding in reversed(life.findings)}
    assert kinds["stall"] <= CONFIG.stall_timeout + STEP
    assert kinds["liveness"] <= CONFIG.liveness_timeout + STEP
    assert kinds["kill"] <= CONFIG.liveness_timeout + 2 * STEP
