"""Wherever the collectors' redaction would find something, a hint has sent it there."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_untether.session import secret_patterns as table
from scripts.collector_hints import hints
from scripts.collector_redaction import KEYS, names, values
from tests.support.planted import planted

_HINTS: Final = [re.compile(hint, re.ASCII) for hint in hints()]
_VALUES: Final = list(values())
_FEW: Final = settings(
    deadline=None,
    max_examples=max(5, settings().max_examples // 20),
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)


def suspected(key: str, value: object) -> bool:
    """Whether a record with this attribute goes to the redaction."""
    text = json.dumps({key: value}, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&":  # which Go's JSON escapes
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return any(hint.search(text.lower()) for hint in _HINTS)


def go(expression: str) -> re.Pattern[str]:
    """Compile as Go reads it: classes are of ASCII."""
    return re.compile(expression, re.ASCII)


def shorter(expression: str) -> re.Pattern[str]:
    """Return one that matches a part of what an expression does, and is quick to find texts for."""
    bound = r"\{(\d+),(\d*)\}"
    return go(
        re.sub(bound, lambda m: f"{{{m[1]},{min(int(m[2] or 999), int(m[1]) + 3)}}}", expression)
    )


@pytest.mark.parametrize("number", range(len(_VALUES)))
def test_what_an_expression_matches_has_a_hint(number: int) -> None:
    expression = _VALUES[number]

    @given(st.from_regex(shorter(expression)))
    @_FEW
    def tried(told: str) -> None:
        assert go(expression).search(told)
        assert suspected("text", told)
        assert suspected("list", [told])

    tried()


@pytest.mark.parametrize("expression", KEYS)
def test_a_key_whose_values_are_hidden_has_a_hint(expression: str) -> None:
    @given(st.from_regex(go(expression)), st.one_of(st.integers(), st.text(max_size=3)))
    @_FEW
    def tried(key: str, value: object) -> None:
        assert suspected(key, value)

    tried()


def test_what_is_planted_has_a_hint() -> None:
    expressions = [go(expression) for expression in _VALUES]
    for secret in planted(1):
        if any(expression.search(secret.text) for expression in expressions):
            assert suspected("text", secret.text), secret.title


@pytest.mark.parametrize("form", table.FORMATS, ids=lambda form: form.vendor)
def test_a_key_in_a_name_has_a_hint(form: table.Format) -> None:
    """Names are put to an expression of their own, which asks for fewer characters of a key."""
    told = f"execute_tool {form.prefix}{('Az09_.~+/=' * 2)[: 10 if form.distinct else 16]}"
    assert any(go(part).search(told) for part in names().split("|(?:", 1)[:1])
    assert suspected("name", told)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gen_ai.tool.call.id", "toolu_b5597ecf71c244dcbd8e4b08"),
        ("gen_ai.conversation.id", "e0ef655b-f93a-4f91-80cb-6e0b7a7c5202"),
        ("gen_ai.usage.input_tokens", 1234567),
        ("gen_ai.request.model", "claude-opus-4-5-20251101"),
        ("untether.stall.evidence", ["no socket is open, 3 of 3 threads wait in futex_wait"]),
        ("process.command_args", ["claude", "-p", "Fix it", "--output-format", "stream-json"]),
        (
            "text",
            "The session was silent for 600 s: see `docs/stalls.md`, and 12:30:05 in the log.",
        ),
    ],
)
def test_what_the_package_sends_has_none(key: str, value: object) -> None:
    assert not suspected(key, value)
