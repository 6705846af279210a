"""What was left running in the background is no cause of a silence that does not wait for it."""

from __future__ import annotations

from typing import Any

import pytest

from otel_untether.diagnosis.clocks import ProgressClock
from otel_untether.diagnosis.facts import Facts
from otel_untether.diagnosis.objections import busy_children
from otel_untether.session import events as ev
from tests.unit.diagnosis.worlds import (
    CONFIG,
    LEADER,
    T0,
    S,
    cause,
    child,
    deep,
    process,
    sample,
    session,
    socket,
    tell,
    tool,
)

WAITS = child(wchan="locks_lock_inode_wait")
MODEL = (socket(receive_age=4000.0),)
EARLY, LATE = T0 - 60 * S, T0 + S


def bystanders(state: Any, *members: Any, met: dict[int, int], **looks: Any) -> set[int]:
    """The pids of the bystanders, by when each was first seen."""
    look, now = sample(*members, **looks), T0 + 1000 * S
    when = {one.identity: met[one.identity.pid] for one in members}
    clock = ProgressClock("silence", 300.0, T0)
    facts = Facts(state, CONFIG, now, clock, 1000.0, recent=(look,), met=when)
    return {identity.pid for identity in facts.bystanders}


@pytest.mark.parametrize("left", [WAITS, child(state="T"), child(wchan="n_tty_read")])
def test_a_job_left_behind_is_not_why_the_model_is_silent(left: Any) -> None:
    assert cause(session(), sample(left, sockets=MODEL)) == "model_silent"


@pytest.mark.parametrize(
    ("left", "why"), [(WAITS, "lock_wait"), (child(state="T"), "stopped")], ids=["lock", "stopped"]
)
def test_the_process_of_an_open_call_is(left: Any, why: str) -> None:
    assert cause(tell(session(), tool()), sample(left, sockets=MODEL)) == why


def test_a_job_is_where_nothing_else_can_be() -> None:
    """Without a connection the agent does not wait for its model."""
    assert cause(session(), sample(WAITS)) == "lock_wait"


def test_of_an_open_call_those_who_came_after_it_began_count() -> None:
    state = tell(session(), tool())
    old, new = child(pid=200), child(pid=201)
    assert bystanders(state, old, new, met={200: EARLY, 201: LATE}) == {200}


def test_a_call_that_started_nothing_may_wait_for_what_was_there() -> None:
    assert bystanders(tell(session(), tool()), child(), met={200: EARLY}) == set()


def test_who_was_met_just_before_a_call_may_be_its_own() -> None:
    """A line may reach us after the process that it speaks of."""
    state = tell(session(), tool())
    just = T0 - round(CONFIG.sample_interval * S) // 2
    assert bystanders(state, child(), child(pid=201), met={200: just, 201: LATE}) == set()


def test_a_server_that_is_asked_is_none_however_old() -> None:
    state = tell(session(), tool("mcp__db__query", mcp_server="db"))
    server, other = process(300, "db"), child()
    assert bystanders(state, server, other, met={300: EARLY, 200: EARLY}) == {200}


def test_who_was_there_before_the_model_spoke_again_is_no_tool_named_late() -> None:
    state = tell(session("opencode"), ev.ModelMessage(at=T0))
    assert bystanders(state, child(), met={200: EARLY}, sockets=MODEL) == {200}
    assert bystanders(state, child(), met={200: LATE}, sockets=MODEL) == set()


def sleeping(*pids: int, below: int, met: int = LATE) -> set[str]:
    """What is said of a chain of processes that sleep for a time, the first of them `below`."""
    parents = (below, *pids)
    chain = [
        child("sleep", pid=pid, ppid=above, wchan="hrtimer_nanosleep")
        for above, pid in zip(parents, pids, strict=False)
    ]
    look, now = sample(*chain), T0 + 1000 * S
    when = {one.identity: met for one in chain}
    seen = deep(look)
    clock = ProgressClock("silence", 300.0, T0)
    facts = Facts(session(), CONFIG, now, clock, 1000.0, recent=(look,), looks=(seen,), met=when)
    return set(busy_children(facts))


def test_a_hook_that_sleeps_may_end_and_wake_its_agent() -> None:
    """Also one that is below another, as a shell's; not a server, which was there before."""
    assert sleeping(200, below=LEADER) == {"sleep (pid 200) sleeps for a time"}
    assert len(sleeping(200, 201, below=LEADER)) == 2
    assert sleeping(200, below=LEADER, met=EARLY) == set()


def test_an_orphan_that_sleeps_wakes_nobody() -> None:
    """Its parent has ended: who reaps it is not the agent, which may be hung for good."""
    assert sleeping(200, below=1) == set()
    assert sleeping(200, 201, below=1) == set()
