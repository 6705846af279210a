"""Where the time went: every moment once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report import breakdown
from tests.unit.report.report_sessions import SECOND, Session, at, healthy, long, stalled, tree_of


def seconds(session: Session) -> dict[str, float]:
    """Return the seconds of each category that has any."""
    root = tree_of(session)
    spent = breakdown.wall_time(root, root.end or root.last())
    return {name: value / SECOND for name, value in spent.items() if value}


def test_what_nothing_explains_is_the_agents_own() -> None:
    """Before, between and after."""
    session = Session()
    session.root(10)
    session.chat(1, 3)
    session.tool("Bash", 4, 8)
    assert seconds(session) == {"model": 2, "tools": 4, "other": 4}


def test_parallel_tools_count_once() -> None:
    """Two at once take as long as the longer."""
    session = Session()
    session.root(4)
    session.tool("Read", 0, 3)
    session.tool("Read", 1, 4)
    assert seconds(session) == {"tools": 4}


def test_a_subagents_model_time_is_model_time() -> None:
    """Not its call's, which only waits for it."""
    session = Session()
    session.root(10)
    call = session.tool("Agent", 0, 10)
    agent = session.agent("Explore", 0, 10, call)
    session.chat(0, 6, agent)
    session.tool("Grep", 6, 9, agent)
    assert seconds(session) == {"model": 6, "tools": 4}


def test_an_unexplained_subagent_counts_as_a_tool() -> None:
    """Some engines print nothing of what a subagent does."""
    session = Session()
    session.root(10)
    session.tool("task", 2, 10)
    assert seconds(session) == {"tools": 8, "other": 2}


def test_a_wait_wins_over_the_tool_that_waits() -> None:
    """A tool asking for permission does not run."""
    session = Session()
    session.root(10)
    session.tool("Bash", 0, 10)
    session.span("untether.wait approval", 1, 7, untether__wait__kind="approval")
    assert seconds(session) == {"tools": 4, "waits": 6}


def test_background_work_counts_only_while_nothing_else_happens() -> None:
    """The model goes on speaking meanwhile."""
    session = Session()
    session.root(10)
    session.tool("Bash", 0, 10, untether__tool__background=True)
    session.chat(0, 6)
    assert seconds(session) == {"model": 6, "tools": 4}


def test_a_silence_lasts_beyond_its_last_warning() -> None:
    """Until something is heard again, here the end."""
    assert seconds(stalled()) == {"model": 5, "tools": 5, "stalls": 690}


def test_a_recovery_ends_a_silence() -> None:
    """What came after it is the model's again."""
    session = Session()
    session.chat(0, 100)
    session.stall(10, 50, "model_silent")
    session.event("untether.stall.recovered", 60)
    session.root(100)
    assert seconds(session) == {"model": 50, "stalls": 50}


def test_the_start_marker_is_no_sign_of_life() -> None:
    """It is exported at once and says nothing of the agent."""
    session = Session()
    session.span("untether.session.started", 55, 55)
    session.stall(10, 50, "wedged")
    session.root(100)
    assert seconds(session) == {"stalls": 90, "other": 10}


def test_spans_beyond_the_session_are_cut() -> None:
    """Clocks disagree; the sum must not exceed the session."""
    session = Session()
    session.root(10)
    session.tool("Bash", -5, 20)
    assert seconds(session) == {"tools": 10}


@pytest.mark.parametrize("session", [healthy(), long(), stalled()])
def test_the_categories_add_up_to_the_duration(session: Session) -> None:
    """No moment is lost or counted twice."""
    roots = [span for span in session.spans if span["spanId"] == "root"]
    duration = int(roots[0]["endTimeUnixNano"]) - int(roots[0]["startTimeUnixNano"])
    assert sum(seconds(session).values()) == pytest.approx(duration / SECOND)


TIMES = st.tuples(st.integers(-5, 25), st.integers(-5, 25), st.sampled_from("ctws"))


@given(st.lists(TIMES, max_size=12))
def test_any_spans_add_up(spans: list[tuple[int, int, str]]) -> None:
    """Overlapping, empty, backwards, outside."""
    session = Session()
    session.root(20)
    for start, end, kind in spans:
        if kind == "c":
            session.chat(start, end)
        elif kind == "t":
            session.tool("Bash", start, end)
        elif kind == "w":
            session.span("untether.wait", start, end)
        else:
            session.stall(start, end, "wedged")
    assert sum(seconds(session).values()) == 20


def test_tools_are_totalled_by_name() -> None:
    """Calls, failures, sum and longest, the dearest first."""
    session = Session()
    session.root(10)
    session.tool("Read", 0, 1)
    session.tool("Bash", 0, 5, error="1")
    session.tool("Bash", 0, 2)
    root = tree_of(session)
    assert breakdown.tool_totals(root, at(10)) == [
        breakdown.ToolTotal("Bash", 2, 1, 7 * SECOND, 5 * SECOND),
        breakdown.ToolTotal("Read", 1, 0, SECOND, SECOND),
    ]
