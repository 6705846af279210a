"""Who may be killed: every combination of what can be known, and the few cells that qualify."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from otel_untether.session import events as ev
from otel_untether.stall import StallDetector
from tests.unit.diagnosis.worlds import (
    CONFIG,
    LEADER,
    T0,
    S,
    child,
    judge,
    looker,
    process,
    sample,
    session,
    socket,
    tell,
    tool,
)

TCP: dict[str, Any] = {"none": (), "some": (socket(),), "unknown": None}
CPU: dict[str, float | None] = {"none": 0.0, "trickle": 0.019, "busy": 0.9, "unknown": None}
STATES = ("R", "S", "D", "T", "Z")
IDLE = {"below": CONFIG.liveness_timeout - 1, "over": CONFIG.liveness_timeout + 1}
LATER = T0 + 3600 * S


def _wait(kind: Any, until: int | None = None) -> ev.WaitBegan:
    return ev.WaitBegan(at=T0, id="w", kind=kind, until=until)


WAITS: dict[str, tuple[ev.Event, ...]] = {
    "no wait": (),
    "approval": (_wait("approval"),),
    "question": (_wait("question"),),
    "rate limit": (ev.RateLimited(at=T0, status="rejected", resets_at=LATER // S),),
    "retry": (ev.Retry(at=T0, delay=3600.0),),
    "compaction": (_wait("compaction", LATER),),
    "scheduled": (_wait("scheduled", LATER),),
    "hook": (_wait("hook", LATER),),
    "tool inside its limit": (tool(timeout=3600.0),),
    "MCP tool": (tool("mcp__db__q", mcp_server="db"),),
    "subagent": (tool("Agent", subagent="general-purpose"),),
    "background work": (
        tool(),
        ev.ToolFinished(at=T0, id="call-Bash", detached=True, task_id="t"),
        ev.TurnFinished(at=T0),
    ),
}

# tcp, cpu, state, wait, silence. Everything else is spared.
KILLED = {
    ("none", "none", "S", "no wait", "over"),
    ("none", "trickle", "S", "no wait", "over"),
}


@pytest.mark.parametrize("wait", WAITS)
def test_only_the_intended_cells_kill(wait: str) -> None:
    """Unknown never kills, nor does a connection, CPU use, a state that runs or cannot, a wait."""
    killed = set()
    for tcp, cpu, letter, idle in product(TCP, CPU, STATES, IDLE):
        state = tell(session(), *WAITS[wait])
        look = sample(leader=process(state=letter), sockets=TCP[tcp], cpu=CPU[cpu])
        kinds = [finding.kind for finding in judge(state, look, IDLE[idle])]
        if "kill" in kinds:
            killed.add((tcp, cpu, letter, wait, idle))
    assert killed == {cell for cell in KILLED if cell[3] == wait}


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("mode", [False, "dry-run"])
def test_nothing_is_killed_unless_asked(mode: Any, idle: str) -> None:
    found = judge(session(), sample(), IDLE[idle], CONFIG._replace(stall_auto_kill=mode))
    actions = [finding.decision.action for finding in found if finding.decision]
    assert actions == (["dry-run"] if mode and idle == "over" else [])


@pytest.mark.parametrize(
    ("changes", "veto"),
    [
        ({"sockets": (socket(),)}, "cause"),
        ({"sockets": (socket("LISTEN"),)}, "connections"),
        ({"sockets": None}, "unknown"),
        ({"cpu": 0.3, "leader_cpu": 0.0}, "cpu"),
        ({"cpu": None}, "unknown"),
        ({"alive": None}, "unknown"),
        ({"leader": process(state=None)}, "unknown"),
        ({"leader": process(state="T")}, "stopped"),
        ({"leader": process(state="t")}, "stopped"),
        ({"leader": process(state="D")}, "disk_wait"),
        ({"leader": process(state="R")}, "runnable"),
    ],
)
def test_every_veto_is_recorded_with_its_reason(changes: dict[str, Any], veto: str) -> None:
    found = judge(session(), sample(**changes), IDLE["over"])
    decisions = [finding.decision for finding in found if finding.decision]
    assert [decision.action for decision in decisions] == ["veto"]
    assert veto in decisions[0].vetoes
    assert len(decisions[0].reasons) == len(decisions[0].vetoes)


def test_a_stopped_child_spares_the_tree_too() -> None:
    """Somebody is debugging it."""
    look = sample(child(state="T", sid=LEADER))
    assert "kill" not in [finding.kind for finding in judge(session(), look, IDLE["over"])]


def test_a_wait_that_spares_it_is_on_record() -> None:
    state = tell(session(), *WAITS["approval"])
    found = judge(state, sample(), IDLE["over"])
    assert [finding.kind for finding in found] == ["veto"]
    assert found[0].decision is not None
    assert found[0].decision.vetoes == ("expected_wait",)


def test_agreement_must_last_for_half_the_liveness_timeout() -> None:
    """Three samples that agree are few, when the tree worked a minute ago."""
    config = CONFIG._replace(kill_confirmations=3)
    short = judge(session(), sample(), 601, config)
    assert "kill" in [finding.kind for finding in short]
    recent = [sample(at=a, cpu=0.5) for a in range(0, 540, 5)]
    recent += [sample(at=a) for a in range(540, 601, 5)]
    detector, state, found = StallDetector(config), session(), []
    for at in (601.0, 601.1, 601.2, 601.3, 601.4, 601.5):
        recent.append(sample(at=at))
        now = T0 + round(at * S)
        found.append(detector.tick(state, recent, now, look=looker(sample(), at)))
    vetoes = [f.decision.vetoes for f in found if f and f.decision]
    assert vetoes == [("window",)]
