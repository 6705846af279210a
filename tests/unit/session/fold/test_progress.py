"""The second clock: what moves a session on, and whom; and when what it waits for is over."""

from __future__ import annotations

import pytest

from otel_untether.engines import registry
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState

S = 10**9


def told(*events: ev.Event, engine: str = "claude") -> SessionState:
    """A session that printed these, a line each."""
    state = SessionState("run", started=0, engine=engine, traits=registry.get(engine).traits)
    for event in events:
        state.line(event.at)
        apply(state, event)
    return state


def call(at: int, key: str, parent: str | None = None, name: str = "Bash") -> ev.ToolStarted:
    return ev.ToolStarted(at=at * S, id=key, name=name, parent=parent)


def agent(at: int, key: str) -> tuple[ev.Event, ev.Event]:
    started = ev.ToolStarted(at=at * S, id=key, name="Agent", subagent="Explore")
    return started, ev.TaskStarted(at=at * S, id=f"task-{key}", kind="agent", tool_id=key)


def spoke(at: int, key: str, parent: str | None = None) -> ev.ModelMessage:
    return ev.ModelMessage(at=at * S, id=key, parent=parent)


def test_a_line_that_says_nothing_known_moves_the_main_agent() -> None:
    """Partial messages decode to little; they must not make a session look hung."""
    state = told(spoke(1, "m"))
    state.line(5 * S)
    assert state.main.progress == 5 * S


@pytest.mark.parametrize(
    "event",
    [
        ev.Heartbeat(at=9 * S),
        ev.ToolUpdated(at=9 * S, id="t", heartbeat=True),
        ev.Retry(at=9 * S, delay=1.0),
        ev.RateLimited(at=9 * S, status="allowed"),
        ev.Compaction(at=9 * S, phase="beat"),
        ev.TaskProgress(at=9 * S, id="task-a", tokens=1),
    ],
)
def test_what_the_clock_alone_brings_is_life_and_no_progress(event: ev.Event) -> None:
    state = told(*agent(1, "a"), call(2, "t"), spoke(2, "s", "a"))
    before = {key: activity.progress for key, activity in state.calls.items()}
    told_before = ev.TaskProgress(at=3 * S, id="task-a", tokens=1)
    apply(state, told_before)
    main = state.main.progress
    state.line(event.at)
    apply(state, event)
    assert state.last_sign == 9 * S
    assert state.main.progress == main
    assert {key: activity.progress for key, activity in state.calls.items()} == before
    assert state.tasks["task-a"].progress == 3 * S


def test_a_sibling_moves_nobody_else() -> None:
    state = told(*agent(1, "a"), *agent(1, "b"), spoke(20, "m1", "a"), call(30, "t", "a"))
    assert state.tasks["task-a"].progress == 30 * S
    assert state.tasks["task-b"].progress == 1 * S
    assert state.main.progress == 1 * S


def test_new_figures_of_a_task_are_progress_and_old_ones_are_none() -> None:
    state = told(*agent(1, "a"))
    for at, tokens in ((5, 10), (6, 10), (7, 11)):
        apply(state, ev.TaskProgress(at=at * S, id="task-a", tokens=tokens))
        assert state.tasks["task-a"].progress == (5 if tokens == 10 else 7) * S


def test_the_end_of_a_task_moves_those_above_it() -> None:
    state = told(*agent(1, "a"))
    apply(state, ev.TaskFinished(at=9 * S, id="task-a", tool_id="a"))
    assert state.main.progress == 9 * S


def test_output_that_nobody_splits_into_lines_is_progress() -> None:
    state = told()
    state.lines_known = False
    state.heard(100, 7 * S)
    assert state.main.progress == 7 * S


def test_a_call_that_is_open_when_the_model_speaks_again_was_left() -> None:
    state = told(call(1, "t1"), spoke(30, "later"), call(31, "t2"), engine="codex")
    assert [(c.key, c.left) for c in state.open.values()] == [("t1", True), ("t2", False)]


def test_calls_of_one_message_are_not_left() -> None:
    state = told(spoke(1, "m"), call(1, "t1"), spoke(2, "m"), call(2, "t2"))
    assert not any(c.left for c in state.open.values())


def test_a_later_call_leaves_an_earlier_one_where_the_engine_is_known_for_it() -> None:
    for engine, left in (("codex", True), ("claude", False)):
        state = told(call(1, "t1"), call(20, "t2"), engine=engine)
        assert state.open["t1"].left is left


def test_a_call_left_to_itself_does_not_keep_the_model_from_its_turn() -> None:
    result = ev.ToolFinished(at=40 * S, id="t2")
    state = told(call(1, "t1"), spoke(30, "m"), call(31, "t2"), result, engine="codex")
    assert state.model_asked_at == 40 * S


def rejected(at: int, *, overage: bool = False) -> ev.RateLimited:
    return ev.RateLimited(at=at * S, status="rejected", resets_at=9999, overage=overage)


@pytest.mark.parametrize(
    "act", [spoke(9, "m"), call(9, "t"), ev.ToolFinished(at=9 * S, id="t0")], ids=str
)
def test_a_rejection_is_over_when_the_agent_goes_on(act: ev.Event) -> None:
    state = told(call(1, "t0"), rejected(2))
    assert "rate_limit" in state.waits
    state.line(act.at)
    apply(state, act)
    assert "rate_limit" not in state.waits


def test_a_rejection_that_is_paid_for_stops_nobody() -> None:
    assert told(rejected(2, overage=True)).waits == {}


def test_retries_in_a_row_are_one_wait() -> None:
    one, two = (ev.Retry(at=at * S, delay=1.0, status=529) for at in (3, 8))
    wait = told(one, two).waits["retry"]
    assert (wait.since, wait.renewed, wait.notices, wait.answers) == (3 * S, 8 * S, 2, True)


def asked(at: int, **more: object) -> ev.WaitBegan:
    return ev.WaitBegan(at=at * S, id="w", kind="approval", **more)  # type: ignore[arg-type]


def test_a_request_that_names_no_call_is_that_of_the_one_open_call_so_named() -> None:
    state = told(call(1, "t1"), call(1, "t2", name="Edit"), asked(2, detail="Edit"))
    assert state.waits["w"].tool_id == "t2"
    apply(state, ev.ToolFinished(at=3 * S, id="t1"))
    assert state.waits != {}
    apply(state, ev.ToolFinished(at=3 * S, id="t2"))
    assert state.waits == {}


@pytest.mark.parametrize("act", [spoke(9, "m2"), ev.TurnFinished(at=9 * S)], ids=str)
def test_an_answer_that_left_no_line_is_shown_by_the_next_act(act: ev.Event) -> None:
    state = told(spoke(1, "m1"), call(1, "t1"), asked(2))
    state.line(act.at)
    apply(state, act)
    assert state.waits == {}


def test_what_another_lane_does_answers_nothing() -> None:
    state = told(*agent(1, "a"), call(1, "t1"), asked(2, tool_id="t1"), spoke(9, "m", "a"))
    assert "w" in state.waits
