"""When ticks are due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.watching.beats import Beat


def beat(interval: float, now: float) -> Beat:
    return Beat(interval, lambda: None, now)


def test_many_beats_of_one_interval_fall_together() -> None:
    moments = {beat(1.0, 10 + number / 500).due for number in range(500)}
    assert len(moments) <= 5


@given(st.floats(0.01, 100), st.floats(0, 1e6))
def test_the_first_is_due_after_an_interval_and_at_most_a_quarter(
    interval: float, now: float
) -> None:
    assert now + interval <= beat(interval, now).due + 1e-6
    assert beat(interval, now).due <= now + 1.25 * interval + 1e-6


def test_the_next_is_due_an_interval_later() -> None:
    found = beat(1.0, 10.1)
    found.done(11.3)
    assert found.due == pytest.approx(12.25)


def test_what_was_missed_is_not_made_up_for() -> None:
    """After a suspension there is one tick, not an hour of them."""
    found = beat(1.0, 10.1)
    found.done(3600.0)
    assert 3601 <= found.due <= 3601.25
