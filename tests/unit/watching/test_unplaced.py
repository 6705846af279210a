"""Calls of subagents wait until it is known whose they are, and no longer than that."""

from __future__ import annotations

import pytest

from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.watching.unplaced import Unplaced

SECOND = 10**9
CALL = ev.ToolStarted(at=SECOND, id="c", name="execute", made_by="7f3a")
OF_IT = (
    ev.WaitBegan(at=2 * SECOND, id="w", kind="approval", tool_id="c"),
    ev.WaitEnded(at=2 * SECOND, id="w"),
    ev.ToolUpdated(at=2 * SECOND, id="c"),
    ev.ToolFinished(at=2 * SECOND, id="c", parent="7f3a"),
    ev.TaskStarted(at=2 * SECOND, id="below", kind="agent", tool_id="c"),
)


@pytest.fixture
def state() -> SessionState:
    state = SessionState(run_id="run", started=0)
    state.followed = True
    apply(state, ev.TurnStarted(at=0))
    for call in ("a", "b"):
        apply(state, ev.ToolStarted(at=0, id=call, name="task"))
    return state


def tell(state: SessionState) -> None:
    apply(state, ev.TaskStarted(at=0, id="7f3a", kind="agent", tool_id="b"))


def test_a_call_waits_with_all_that_is_told_of_it(state: SessionState) -> None:
    unplaced = Unplaced(state)
    assert all(unplaced.keeps(event) for event in (CALL, *OF_IT))
    assert list(unplaced.placed(2 * SECOND)) == []
    tell(state)
    assert list(unplaced.placed(2 * SECOND)) == [CALL, *OF_IT]
    assert list(unplaced.placed(2 * SECOND)) == []


def test_what_waited_for_its_place_lies_there(state: SessionState) -> None:
    unplaced = Unplaced(state)
    unplaced.keeps(CALL)
    tell(state)
    for event in unplaced.placed(2 * SECOND):
        apply(state, event)
    above = state.open["c"].parent
    assert above is not None
    assert (above.kind, above.parent) == ("agent", state.open["b"])
    assert not state.oddities


def test_a_subagent_that_is_over_by_then_still_has_its_calls(state: SessionState) -> None:
    unplaced = Unplaced(state)
    unplaced.keeps(CALL)
    assert not unplaced.is_past(CALL)
    tell(state)
    assert not unplaced.is_past(CALL)
    apply(state, ev.ToolFinished(at=2 * SECOND, id="b"))
    assert unplaced.is_past(CALL)


def test_what_nobody_tells_lies_below_the_turn_before_long(state: SessionState) -> None:
    unplaced = Unplaced(state)
    unplaced.keeps(CALL)
    (told,) = unplaced.placed(7 * SECOND)
    apply(state, told)
    assert state.open["c"].parent is state.main.owner
    assert not state.oddities


def test_a_call_whose_subagent_is_known_does_not_wait(state: SessionState) -> None:
    tell(state)
    assert not Unplaced(state).keeps(CALL)


@pytest.mark.parametrize("event", OF_IT)
def test_calls_of_others_do_not_wait_beside_it(state: SessionState, event: ev.Event) -> None:
    unplaced = Unplaced(state)
    assert not unplaced.keeps(event)
    unplaced.keeps(ev.ToolStarted(at=1, id="d", name="execute", made_by="91bc"))
    assert not unplaced.keeps(event)


def test_a_turn_ends_after_what_was_told_before(state: SessionState) -> None:
    unplaced = Unplaced(state)
    after = (ev.TurnFinished(at=3 * SECOND), ev.TurnStarted(at=4 * SECOND))
    assert not unplaced.keeps(after[0])
    assert all(unplaced.keeps(event) for event in (CALL, *after))
    assert list(unplaced.placed(3 * SECOND)) == []
    tell(state)
    assert list(unplaced.placed(3 * SECOND)) == [CALL, *after]
    assert not unplaced.keeps(after[0])


def test_a_turn_whose_calls_nobody_tells_ends_before_long(state: SessionState) -> None:
    unplaced = Unplaced(state)
    events = CALL, ev.TurnFinished(at=3 * SECOND)
    assert all(map(unplaced.keeps, events))
    assert list(unplaced.placed(7 * SECOND)) == list(events)


def test_what_is_known_of_one_is_told_while_another_waits(state: SessionState) -> None:
    unplaced = Unplaced(state)
    other = ev.ToolStarted(at=SECOND, id="d", name="execute", made_by="91bc")
    end = ev.ToolFinished(at=2 * SECOND, id="d")
    for event in (other, CALL, end):
        unplaced.keeps(event)
    tell(state)
    assert list(unplaced.placed(2 * SECOND)) == [CALL]
    assert unplaced.keeps(ev.ToolUpdated(at=2 * SECOND, id="d"))
    assert len(list(unplaced.placed(None))) == 3


def test_no_flood_is_kept(state: SessionState) -> None:
    unplaced = Unplaced(state)
    unplaced.keeps(CALL)
    update = ev.ToolUpdated(at=SECOND, id="c")
    taken = [unplaced.keeps(update) for _ in range(10_000)].count(True)
    assert taken < 1_000
    assert unplaced.is_full


def test_for_each_subagent_a_look_is_asked_for_once(state: SessionState) -> None:
    unplaced = Unplaced(state)
    asked = [unplaced.asks_anew(event) for event in (CALL, *OF_IT, CALL)]
    assert asked == [True] + 6 * [False]


def test_looks_go_on_while_a_call_waits(state: SessionState) -> None:
    unplaced = Unplaced(state)
    assert not unplaced.is_urgent(SECOND)
    assert unplaced.keeps(CALL)
    assert unplaced.asks_anew(CALL)
    assert unplaced.is_urgent(5 * SECOND)
    tell(state)
    assert list(unplaced.placed(5 * SECOND)) == [CALL]
    assert not unplaced.is_urgent(5 * SECOND)


def test_a_subagent_that_nobody_tells_of_hurries_nobody_for_ever(state: SessionState) -> None:
    unplaced = Unplaced(state)
    later = ev.ToolStarted(at=9 * SECOND, id="d", name="execute", made_by="7f3a")
    assert unplaced.keeps(CALL)
    assert unplaced.asks_anew(CALL)
    assert list(unplaced.placed(7 * SECOND)) == [CALL]
    assert unplaced.keeps(later)
    assert not unplaced.asks_anew(later)
    assert not unplaced.is_urgent(9 * SECOND)
