"""Which spans get a line of their own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report.span_node import SpanNode
from otel_untether.report.terminal.rows import Row, _layout, _lines, _with_parents, rows
from tests.unit.report.report_sessions import START, Session, at, healthy, long, stalled, tree_of


def lay_out(session: Session, limit: int | None = None) -> list[Row]:
    """Lay a session out."""
    root = tree_of(session)
    return rows(root, root.end or root.last(), limit)


def labels(laid_out: list[Row]) -> list[str]:
    """Return what the lines are called."""
    return [row.label for row in laid_out]


def test_a_short_session_shows_every_span_but_the_marker() -> None:
    """The marker only makes a running session visible elsewhere."""
    session = healthy()
    session.span("untether.session.started", 0, 0)
    assert len(lay_out(session, 45)) == len(session.spans) - 1


@pytest.mark.parametrize("limit", [10, 45, 100])
def test_a_long_session_keeps_to_the_limit(limit: int) -> None:
    """Some runs of spans share a line."""
    laid_out = lay_out(long(), limit)
    assert limit * 0.7 <= len(laid_out) <= limit


def test_what_says_most_is_shown_however_long_the_session() -> None:
    """The stall, the wait, both subagents."""
    shown = labels([row for row in lay_out(long(), 45) if not row.folded])
    assert {"stall", "wait approval", "agent Explore"} <= set(shown)
    assert shown.count("agent Explore") == 2


def test_no_span_is_lost_by_folding() -> None:
    """Shown and folded ones add up, but for a silence's first warning."""
    session = long()
    laid_out = lay_out(session, 45)
    assert sum(len(row.pieces) for row in laid_out) == len(session.spans) - 1


def test_a_fold_says_what_is_in_it() -> None:
    """By kind and number, with its failures."""
    session = Session()
    session.root(1000)
    for second in range(60):
        session.tool("Read", second, second + 1)
        session.tool("Bash", second, second + 1)
    session.tool("Edit", 100, 900)
    fold = next(row for row in lay_out(session, 3) if row.folded)
    assert fold.label == "120 spans: 60 Read, 60 Bash"


def test_the_longest_calls_have_their_line_and_failures_are_few() -> None:
    """A day of five-second failures hides no call of three quarters of an hour."""
    session, now = Session(), 0.0
    for number in range(900):
        long_one = {100: 2700, 400: 1200, 700: 600}.get(number)
        if long_one:
            session.tool("Bash", now, now + long_one)
        elif number % 8 == 0:
            session.tool("Bash", now, now + 5, error="1", process__exit__code=1)
        else:
            session.tool("Read", now, now + 2)
        now += long_one or 5
    session.root(now)
    alone = [row for row in lay_out(session, 45) if not row.folded]
    lengths = {round((row.end - row.start) / 1e9) for row in alone}
    assert {2700, 1200, 600} <= lengths
    assert sum(row.failed for row in alone) <= 20


def test_a_pair_is_not_folded() -> None:
    """It would save one line, and say less."""
    session = Session()
    session.root(1000)
    for second in range(0, 900, 9):
        session.tool("Read", second, second + 1)
    session.tool("Edit", 900, 901)
    session.tool("Edit", 902, 903)
    assert all(len(row.pieces) >= 3 for row in lay_out(session, 10) if row.folded)


def test_without_a_limit_nothing_is_folded() -> None:
    """`--all`."""
    session = long()
    assert len(lay_out(session)) == len(session.spans) - 1  # one of two warnings


def test_a_tools_failure_is_told_by_its_exit_code() -> None:
    """Else by its error.type."""
    failed = [row for row in lay_out(healthy()) if row.failed]
    assert [(row.label, row.note) for row in failed] == [("Read", "tool_error"), ("Bash", "exit 3")]


def test_a_stall_is_drawn_from_where_it_began_though_its_last_warning_began_later() -> None:
    session = Session()
    session.stall(10, 50, "wedged")
    session.stall(50, 90, "wedged", 2)
    session.root(300)
    (row,) = (row for row in lay_out(session) if row.role == "stall")
    assert (row.start, row.end) == (at(10), at(300))


def test_a_stall_is_told_by_its_cause() -> None:
    """Once, by its last warning; it is no failure of anything."""
    stalls = [row for row in lay_out(stalled()) if row.role == "stall"]
    assert [(row.note, row.failed) for row in stalls] == [("wedged, 3 warnings", False)]


def test_an_open_span_says_so() -> None:
    """And lasts until the last thing known."""
    session = Session()
    session.root(None)
    session.tool("Bash", 1, None)
    session.chat(2, 5)
    assert [row.note for row in lay_out(session)] == ["open", "open", ""]


def test_deep_nesting_does_not_break_it() -> None:
    """A thousand levels are laid out like two."""
    session = Session()
    parent = session.root(9)
    for _ in range(1000):
        parent = session.tool("Task", 0, 9, parent)
    assert len(lay_out(session)) == 1001


def test_names_cannot_steer_the_terminal() -> None:
    """A tool may be called anything."""
    session = Session()
    session.root(2)
    session.tool("evil\x1b[2J", 0, 1)
    assert labels(lay_out(session)) == ["claude", "evil\ufffd[2J"]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.sets(st.integers(0, 40)))
def test_lines_are_counted_without_laying_them_out(parents: list[int], chosen: set[int]) -> None:
    """Each number is whose child the next span is, among those before it."""
    nodes = [SpanNode("t", "0", None, "root", START, START + 9, kind="session")]
    for index, parent in enumerate(parents):
        node = SpanNode("t", str(index + 1), "x", "span", START + index, START + 9)
        nodes[parent % len(nodes)].put(node)
        nodes.append(node)
    above = {child: node for node in nodes for child in node.children}
    below = {node: list(node.children) for node in nodes if node.children}
    place = {it: at for children in below.values() for at, it in enumerate(children)}
    shown = _with_parents([nodes[0], *(nodes[i] for i in chosen if i < len(nodes))], above)
    counted = _lines(shown, above, below, place)
    assert counted == sum(1 for _ in _layout(nodes[0], set(), shown))
