from __future__ import annotations

import pytest

from otel_untether.session.content import VARIABLE, Capture, from_environ, redact


def test_nothing_leaves_unless_asked() -> None:
    assert Capture().text(b"secret plan") is None


@pytest.mark.parametrize("value", ["true", "SPAN_ONLY", "span_and_event", "EVENT_ONLY"])
def test_opentelemetrys_switch_turns_it_on(value: str) -> None:
    assert from_environ({VARIABLE: value}).enabled


@pytest.mark.parametrize("value", ["", "false", "NO_CONTENT", "0"])
def test_anything_else_leaves_it_off(value: str) -> None:
    assert not from_environ({VARIABLE: value}).enabled


def test_long_content_is_cut_and_says_so() -> None:
    assert Capture(enabled=True, limit=4).text(b"abcdefgh") == ("abcd", True)
    assert Capture(enabled=True, limit=8).text(b"abcdefgh") == ("abcdefgh", False)


def test_a_secret_across_the_cut_is_redacted_first() -> None:
    cut = Capture(enabled=True, limit=20).text(b"x" * 10 + b" sk-ant-api03-verysecret")
    assert cut is not None
    assert "sk-" not in cut[0]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key is sk-ant-api03-AAAABBBBCCCC", "AAAABBBB"),
        ("ghp_0123456789abcdefghij0123", "0123456789"),
        ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
        ("export OPENAI_API_KEY=hunter22", "hunter22"),
        ('{"password": "hunter22"}', "hunter22"),
        ("Authorization: Bearer abc.def.ghi", "abc.def"),
        ("curl -H 'authorization: bearer hunter22'", "hunter22"),
        ("https://user:hunter22@example.org/x", "hunter22"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIhunter22\n-----END RSA PRIVATE KEY-----", "hunter22"),
    ],
)
def test_what_looks_like_a_secret_is_replaced(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[redacted]" in redact(text)


def test_ordinary_text_is_left_alone() -> None:
    text = "ls -la src/tokenizer.py  # 12 tokens, no secrets"
    assert redact(text) == text
