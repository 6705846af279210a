"""Durations and counts, as a person would say them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.session.wording import count, duration, figure, percent


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.421, "0.42 s"), (0.996, "1 s"), (4.4, "4.4 s"), (9.96, "10 s"), (12.34, "12 s"),
     (59.6, "1 min"), (302.0, "5 min 2 s"), (3599.7, "1 h"), (3900.0, "1 h 5 min"),
     (90_000, "25 h")],
)  # fmt: skip
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_no_duration_is_said_to_be_sixty_of_anything(one: float, other: float) -> None:
    for seconds in (one, other):
        assert not {"60 s", "60 min"} & {" ".join(p) for p in _pairs(duration(seconds))}


def _pairs(said: str) -> list[tuple[str, ...]]:
    words = said.split()
    return [tuple(words[i : i + 2]) for i in range(0, len(words), 2)]


def test_counts_in_a_sentence_are_words_where_they_are_small() -> None:
    said = [count(number, "child", "children") for number in (0, 1, 3)]
    assert said == ["no children", "one child", "3 children"]


def test_counts_among_figures_are_figures() -> None:
    assert [figure(number, "turn") for number in (0, 1, 1200)] == [
        "0 turns",
        "1 turn",
        "1,200 turns",
    ]


def test_a_rate_is_said_as_top_shows_it() -> None:
    assert (percent(0.004), percent(1.5)) == ("0.4 % CPU", "150 % CPU")
