"""A silence: told once, with one length."""

from __future__ import annotations

import pytest

from otel_untether.report import breakdown
from otel_untether.report.silences import Silence, silences
from otel_untether.report.terminal.rows import rows
from tests.unit.report.report_sessions import SECOND, Session, at, pairs, stalled, tree_of


def found(session: Session, until: float = 1e6) -> list[Silence]:
    """Return a session's silences."""
    return silences(tree_of(session), at(until))


def test_three_warnings_are_one_silence() -> None:
    """From the last sign of life to the end of the session."""
    (silence,) = found(stalled())
    assert (silence.start, silence.end) == (at(10), at(700))
    assert len(silence.warnings) == 3
    assert not silence.recovered
    assert not silence.ongoing


def test_every_place_tells_the_same_length() -> None:
    """The waterfall's bar, where the time went, and the words."""
    root = tree_of(stalled())
    (silence,) = silences(root, at(1e6))
    (bar,) = [row for row in rows(root, at(1e6), 45) if row.role == "stall"]
    assert bar.end - bar.start == silence.length == breakdown.wall_time(root, at(1e6))["stalls"]
    assert silence.length == 690 * SECOND
    assert silence.said() == "silent for 11 min 30 s"


def test_a_silence_that_goes_on_lasts_until_now() -> None:
    """Not until its last warning."""
    session = Session()
    session.root(None)
    session.chat(0, None)  # type: ignore[arg-type]
    session.stall(10, 40, "model_silent")
    (silence,) = found(session, until=95)
    assert silence.ongoing
    assert silence.length == 85 * SECOND


def test_after_a_recovery_warnings_are_of_another_silence() -> None:
    """They count from one again."""
    session = Session()
    session.chat(0, 300)
    session.stall(10, 50, "model_silent")
    session.event("untether.stall.recovered", 60)
    session.stall(100, 150, "model_silent")
    session.stall(100, 200, "wedged", 2)
    session.root(300)
    first, second = found(session)
    assert (first.end, first.recovered) == (at(60), True)
    assert (second.start, second.cause, len(second.warnings)) == (at(100), "wedged", 2)


def test_warnings_that_begin_where_the_last_one_ended_go_on() -> None:
    """A span of a warning may begin with the warning before."""
    session = Session()
    session.root(300)
    session.stall(10, 50, "wedged")
    session.stall(50, 90, "wedged", 2)
    (silence,) = found(session)
    assert (silence.start, silence.end) == (at(10), at(300))


def test_signs_of_life_without_progress_are_told_apart() -> None:
    """Somebody who sees lines arrive must not read that it was silent."""
    session = Session()
    session.root(300)
    session.span(
        "untether.stall",
        10,
        200,
        error="tool_hung",
        untether__stall__evidence=("Bash is open", "heard of 2 s ago, but no progress"),
    )
    (silence,) = found(session)
    assert silence.said() == "no progress for 4 min 50 s"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Bash has not returned for 40 s", "Bash has not returned for 50 s"),
        ("for 40 s: asleep for 39 s", "for 50 s: asleep for 39 s"),
        ("hung for 40 s 5 ago", "hung for 40 s 5 ago"),
        ("last byte 40 s ago", "last byte 40 s ago"),
    ],
)  # fmt: skip
def test_what_lasted_as_long_as_the_silence_lasts_as_long_as_it(said: str, told: str) -> None:
    """It was looked at after 40 s, and went on for 50."""
    session = Session()
    session.chat(0, 300)
    session.stall(10, 50, "tool_hung")
    facts = {"untether.stall.evidence": (said,), "untether.stall.idle_s": 40.0}
    session.spans[-1]["attributes"] = pairs(facts)
    session.event("untether.stall.recovered", 60)
    session.root(300)
    (silence,) = found(session)
    assert silence.evidence == (told,)
