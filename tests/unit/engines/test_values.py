"""Values engines write in their own way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.engines.parsing.values import nanoseconds, word

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m)))


@given(
    st.datetimes(
        min_value=datetime(1971, 1, 1, tzinfo=UTC).replace(tzinfo=None),
        max_value=datetime(2200, 1, 1, tzinfo=UTC).replace(tzinfo=None),
        timezones=ZONES,
    )
)
def test_a_time_is_exact_in_any_zone(moment: datetime) -> None:
    assert nanoseconds(moment.isoformat()) == (
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    )


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = nanoseconds(text)
    assert found is None or 0 <= found < 2**63


@pytest.mark.parametrize("value", ["", "two words", "/home/x", "a" * 65, "naïve", 5, None, "x\n"])
def test_what_may_be_prose_is_no_word(value: object) -> None:
    assert word(value) is None


@pytest.mark.parametrize("value", ["api_error", "PreToolUse:Bash", "system/init", "a"])
def test_a_name_is_a_word(value: str) -> None:
    assert word(value) == value
