"""A session told by its output and by its files is told once, however the two interleave."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.session.activity import Closed, Opened
from otel_untether.session.events import (
    Event,
    ModelMessage,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.merging import Merger, is_below, is_placeable
from otel_untether.session.state import SessionState

S = 10**9


def began(call: str, at: int = 1, parent: str | None = None) -> ToolStarted:
    return ToolStarted(at=at, id=call, name="Bash", parent=parent)


def ended(call: str, at: int = 2, parent: str | None = None) -> ToolFinished:
    return ToolFinished(at=at, id=call, parent=parent)


@given(st.data(), st.lists(st.sampled_from("abc"), max_size=8))
def test_each_call_is_news_once_whoever_tells_first(data: st.DataObject, calls: list[str]) -> None:
    """An id that is used twice is two calls."""
    merger, told, taken = Merger(), 0, Counter[str]()
    for _ in range(data.draw(st.integers(1, 6))):
        ahead = data.draw(st.integers(told, len(calls)))
        for call in calls[told:ahead]:
            taken[call] += merger.streamed(began(call))
        told = ahead
        merger.reread()
        for call in calls[: data.draw(st.integers(0, len(calls)))]:
            taken[call] += merger.written(began(call), now=True)
    for call in calls[told:]:
        taken[call] += merger.streamed(began(call))
    assert taken == Counter(calls)


def test_what_was_not_taken_is_as_new_at_the_next_reading() -> None:
    merger = Merger()
    assert merger.written(began("a"), now=False)
    merger.reread()
    assert merger.written(began("a"), now=True)
    merger.reread()
    assert not merger.written(began("a"), now=True)


def test_a_call_that_the_output_names_at_its_end_has_begun_as_well() -> None:
    merger = Merger()
    assert merger.streamed(ended("a"))
    assert not merger.written(began("a"), now=True)
    assert not merger.written(ended("a"), now=True)


def test_a_message_is_told_again_when_more_is_known_of_it() -> None:
    merger = Merger()
    assert merger.written(ModelMessage(at=1, id="m"), now=True)
    merger.reread()
    assert merger.written(ModelMessage(at=1, id="m", usage=Usage(output=3)), now=True)


@pytest.mark.parametrize(
    ("event", "below"),
    [
        (began("a"), False),
        (began("a", parent="t"), True),
        (TaskStarted(at=1, id="s", kind="agent"), True),
        (ModelMessage(at=1), False),
    ],
)
def test_what_is_of_a_subagent(event: Event, *, below: bool) -> None:
    assert is_below(event) is below


class TestWhatComesLate:
    """A subagent is over by the output; then its file tells what it did."""

    @staticmethod
    def state() -> SessionState:
        state = SessionState("run", 1, followed=True)
        for event in (
            began("call", 10 * S),
            TaskStarted(at=11 * S, happened=11 * S, id="task", kind="agent", tool_id="call"),
            TaskFinished(at=20 * S, id="task", tool_id="call"),
            ended("call", 20 * S),
        ):
            apply(state, event)
        state.recalling = True
        return state

    @pytest.mark.parametrize("parent", ["call", "task"])
    def test_lies_below_it_and_within_its_time(self, parent: str) -> None:
        state = self.state()
        *_, opened = apply(state, began("below", 12 * S, parent))
        assert isinstance(opened, Opened)
        assert opened.activity.parent is not None
        assert opened.activity.parent.kind == "agent"
        (closed,) = apply(state, ended("below", 25 * S, parent))
        assert isinstance(closed, Closed)
        assert closed.activity.start == 12 * S
        assert closed.activity.end is not None
        assert closed.activity.end <= (opened.activity.parent.end or 0)

    def test_is_ended_with_the_session_if_nothing_tells_its_end(self) -> None:
        state = self.state()
        apply(state, TaskStarted(at=12 * S, id="deeper", kind="agent", tool_id="call"))
        apply(state, began("below", 12 * S, "task"))
        changes = finish(state, 30 * S, "abandoned", clean=True)
        ends = {c.activity.key: c.activity.end for c in changes if isinstance(c, Closed)}
        assert ends["below"] == 20 * S - 1

    def test_never_is_the_main_agents(self) -> None:
        state = self.state()
        assert not is_placeable(state, began("below", 12 * S, "nobody"))
        assert is_placeable(state, began("below", 12 * S, "task"))


def test_what_an_answer_took_is_counted_once_though_the_next_one_was_heard_before() -> None:
    """Its file was first read after the answer was written, and before what it took was."""
    state = SessionState("run", 1, followed=True)
    apply(state, began("call", 10 * S))
    state.recalling = True
    apply(state, TaskStarted(at=11 * S, id="t", kind="agent", tool_id="call"))
    for number in (1, 2):
        apply(state, ModelMessage(at=(11 + number) * S, id=f"m{number}", parent="call"))
    took = Usage(input=5, output=3)
    for number in (1, 1, 2, 2):
        told = (11 + number) * S
        apply(state, ModelMessage(at=told, id=f"m{number}", parent="call", usage=took, late=True))
    finish(state, 30 * S, "abandoned", clean=True)
    assert state.message_usage == took + took


def test_a_call_of_its_files_outlives_what_it_lies_under_until_they_tell_its_end() -> None:
    """The output says that a subagent is done before the file has the last result."""
    state = SessionState("run", 1, followed=True)
    apply(state, began("call", 10 * S))
    apply(state, TaskStarted(at=11 * S, happened=11 * S, id="t", kind="agent", tool_id="call"))
    state.recalling = True
    apply(state, began("below", 12 * S, "t"))
    state.recalling = False
    apply(state, TaskFinished(at=20 * S, id="t", tool_id="call"))
    assert "below" in state.open
    state.recalling = True
    (closed,) = apply(state, ended("below", 19 * S, "t"))
    assert isinstance(closed, Closed)
    assert (closed.activity.end, closed.activity.error) == (19 * S, None)


@given(st.lists(st.tuples(st.sampled_from(["b", "e", "tb", "te"]), st.integers(0, 3),
                          st.sampled_from(["", "0", "1", "t0", "t1"]), st.booleans()),
                max_size=40))  # fmt: skip
def test_whatever_is_told_in_whatever_order_parents_enclose_their_children(
    told: list[tuple[str, int, str, bool]],
) -> None:
    state, opened, closed = SessionState("run", 1, followed=True), 0, []
    for at, (kind, number, parent, recalled) in enumerate(told, 2):
        state.recalling = recalled
        key, below = str(number), parent or None
        event: Event = {
            "b": ToolStarted(at=at * S, id=key, name="x", parent=below),
            "e": ToolFinished(at=at * S, id=key, parent=below),
            "tb": TaskStarted(at=at * S, id=f"t{key}", kind="agent", tool_id=below),
            "te": TaskFinished(at=at * S, id=f"t{key}", tool_id=below),
        }[kind]
        if recalled and not is_placeable(state, event):
            continue
        changes = apply(state, event)
        opened += sum(isinstance(change, Opened) for change in changes)
        closed += [change.activity for change in changes if isinstance(change, Closed)]
    state.recalling = False
    changes = finish(state, 100 * S, "abandoned", clean=True)
    closed += [change.activity for change in changes if isinstance(change, Closed)]
    assert len(closed) == opened == len(set(map(id, closed)))
    for activity in closed:
        above = activity.parent
        assert above is not None
        assert activity.end is not None
        assert activity.start >= above.start
        assert above.end is None or activity.end <= above.end
