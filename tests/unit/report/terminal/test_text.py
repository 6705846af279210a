"""Numbers and names as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report.terminal import text as words


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 s"),
        (999, "<1 ms"),
        (302_400_000, "302 ms"),
        (999_600_000, "1.00 s"),
        (3_614_000_000, "3.61 s"),
        (9_996_000_000, "10.0 s"),
        (59_940_000_000, "59.9 s"),
        (59_960_000_000, "1m00s"),
        (245_000_000_000, "4m05s"),
        (3_599_600_000_000, "1h00m"),
        (3_720_000_000_000, "1h02m"),
        (100 * 3_600_000_000_000, "100h00m"),
    ],
)
def test_durations(nanoseconds: int, text: str) -> None:
    """No unit ever shows sixty of itself."""
    assert words.duration(nanoseconds) == text


@given(st.integers(0, 359_000 * 10**9))
def test_a_duration_fits_its_column(nanoseconds: int) -> None:
    """Eight columns, up to a hundred hours."""
    assert len(words.duration(nanoseconds)) <= 8


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1000, "1.0 KiB"),
        (297_795_584, "284 MiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    """Three digits or less."""
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("dollars", "text"), [(0, "$0.00"), (0.0412, "$0.0412"), (12.345, "$12.35")]
)
def test_money(dollars: float, text: str) -> None:
    """Small sums are not rounded away."""
    assert words.money(dollars) == text


@pytest.mark.parametrize("character", "\x1b\x07\n\r\x9b\u202e\u200b\u2028\ue000")
def test_what_could_steer_the_terminal_is_replaced(character: str) -> None:
    """Escapes, line breaks, overrides of direction."""
    assert words.safe(f"a{character}b") == "a\ufffdb"


@pytest.mark.parametrize(
    ("text", "columns"), [("abc", 3), ("読む", 4), ("e\u0301", 1), ("👍", 2), ("", 0)]
)
def test_width_is_in_columns(text: str, columns: int) -> None:
    """Wide characters take two, combining ones none."""
    assert words.width(text) == columns


@given(st.text(max_size=30), st.integers(0, 20))
def test_clipped_text_fits(text: str, columns: int) -> None:
    """Whatever characters it has."""
    assert words.width(words.clip(text, columns, "…")) <= columns
