"""What a hostile stream can make us keep, and how deep it can send us."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from otel_untether.session import events as ev
from otel_untether.session.activity import Closed, close
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.state import MOST_OPEN, SessionState


def session() -> SessionState:
    return SessionState("run", 0, engine="claude")


def chain(state: SessionState, depth: int) -> None:
    """Have a subagent start a subagent that starts a subagent."""
    parent = None
    for i in range(depth):
        call = f"call{i}"
        apply(state, ev.ToolStarted(at=i, id=call, name="Task", parent=parent))
        apply(state, ev.TaskStarted(at=i, id=f"task{i}", kind="agent", tool_id=call))
        parent = call


def test_a_chain_of_two_thousand_subagents_is_closed() -> None:
    state = session()
    chain(state, 2000)
    changes = finish(state, 5000, "abandoned", clean=True) + close(state.root, 5000)
    closed = [change.activity for change in changes if isinstance(change, Closed)]
    assert sum(activity.kind == "tool" for activity in closed) == 2000
    assert sum(activity.kind == "agent" for activity in closed) == 2000
    assert closed[-1] is state.root
    ended = set()
    for activity in closed:
        assert activity.parent not in ended
        ended.add(activity)


def test_a_chain_that_waited_for_its_deepest_ends_with_it() -> None:
    state = session()
    chain(state, 2000)
    for i in range(2000):
        apply(state, ev.ToolFinished(at=3000, id=f"call{i}", detached=True))
    for i in reversed(range(2000)):
        apply(state, ev.TaskFinished(at=4000, id=f"task{i}", tool_id=f"call{i}"))
    assert not state.tasks
    assert not state.background


@pytest.mark.parametrize(
    ("table", "event"),
    [
        ("open", lambda i: ev.ToolStarted(at=i, id=str(i), name="Bash")),
        ("tasks", lambda i: ev.TaskStarted(at=i, id=str(i), kind="agent")),
        ("waits", lambda i: ev.WaitBegan(at=i, id=str(i), kind="approval")),
    ],
    ids=["calls", "tasks", "waits"],
)
def test_so_many_are_kept_and_the_rest_counted(
    table: str, event: Callable[[int], ev.Event], request: pytest.FixtureRequest
) -> None:
    state = session()
    for i in range(MOST_OPEN + 50):
        apply(state, event(i))
    assert len(getattr(state, table)) == MOST_OPEN
    assert state.oddities[f"too_many_{request.node.callspec.id}"] == 50


def test_ten_thousand_open_calls_end_in_a_moment() -> None:
    state = session()
    for i in range(MOST_OPEN):
        apply(state, ev.ToolStarted(at=i, id=str(i), name="Bash"))
    began = time.thread_time()
    for i in range(MOST_OPEN):
        apply(state, ev.ToolFinished(at=MOST_OPEN + i, id=str(i)))
    assert time.thread_time() - began < 2
    assert not state.open
