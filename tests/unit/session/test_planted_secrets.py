"""Secrets in the places where commands print them: none is left, and what is no secret stays."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.session.content import Capture
from otel_untether.session.redaction import redact, redact_lines
from tests.support.planted import Planted, planted

if TYPE_CHECKING:
    from collections.abc import Iterator

PLANTED = list(planted())
CAPTURE = Capture(enabled=True, limit=65_536)


def test_there_are_enough_of_them() -> None:
    assert len({secret.title for secret in PLANTED}) == len(PLANTED) > 400


@pytest.mark.parametrize("secret", PLANTED, ids=lambda secret: secret.title)
def test_no_planted_secret_is_left(secret: Planted) -> None:
    """As an argument, as a result, in blocks of text, as a result that is JSON itself."""
    for raw in _written(secret):
        captured = CAPTURE.text(json.dumps(raw, ensure_ascii=False).encode())
        assert captured is not None
        shown = captured[0] + json.dumps(json.loads(captured[0]), ensure_ascii=False)
        assert "[redacted]" in shown
        assert not [part for part in secret.parts if part in shown]


def _written(secret: Planted) -> Iterator[object]:
    yield {"command": secret.text} if secret.command else secret.text
    yield {"file_path": "/srv/x", "content": secret.text}
    yield [{"type": "text", "text": f"{secret.text}\n"}]


@given(st.integers(min_value=2, max_value=10**6))
def test_nor_is_one_of_any_other_make(seed: int) -> None:
    for secret in planted(seed):
        assert not [part for part in secret.parts if part in redact(secret.text)], secret.title


def test_a_key_over_several_lines_of_stderr_is_one() -> None:
    text = next(s for s in PLANTED if s.title == "RSA PRIVATE KEY")
    told = "\n".join(redact_lines(text.text.splitlines()))
    assert not [part for part in text.parts if part in told]


READABLE = (
    "commit 3f786850e387550fdab836ed7e6dc881de23001b\nMerge: 89e6c98 b1d5781",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwv=="',
    "id 6ba7b810-9dad-11d1-80b4-00c04fd430c8, api_call_id=msg_201da42f7001HhCByLRG22MT6P",
    "/home/bob/projects/token-service/src/auth/password_reset.py:120: in test_secret_is_kept",
    "tests/unit/test_tokens.py::test_password_is_required[None] PASSED",
    "def login(username: str, password: str, token: str | None = None) -> Session:",
    "token = parser.next_token()\nsecret = os.environ['API_SECRET']\npassword = getpass()",
    "const apiKey = process.env.OPENAI_API_KEY;",
    "const { password } = req.body;\n  auth: true,\n  credentials: 'include',",
    "api_key=settings.api_key, password=self.password, secret_key=config['secret_key']",
    '{"usage": {"input_tokens": 12, "output_tokens": 4096, "max_tokens": 8192}}',
    "INPUT_TOKENS: Final = Attribute(",
    "the token is invalid; the password must be at least twelve characters long",
    "Passwords: never write them into a file that is committed.",
    'password: ${DB_PASSWORD}\ntoken: "{{ .Values.token }}"\nkey: <your-key>\nsecret: ********',
    "PASSWORD=$DB_PASSWORD npm run deploy",
    "--password-stdin --token-file /run/secrets/token",
    "PWD=/home/bob/work\nOLDPWD=/home/bob\nHOME=/home/bob\nSSH_AUTH_SOCK=/run/user/1000/agent.1",
    "git clone git@github.com:a/b.git && cd b && git remote -v",
    "https://example.org:8443/a/b?page=2&sort=name#frag and ssh://git@example.org/a.git",
    "docker run -p 8080:80 -e MODE=dev nginx\npip install -U requests\nmkdir -p a/b",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCARwCAQAwDQYJKoZIhvcNAQEEBQAwIzEh\n-----END CERTIFICATE",
    'grep -rn "BEGIN RSA PRIVATE KEY" . || echo "-----BEGIN PRIVATE KEY----- not found"',
    "primary_key=True, foreign_key='users.id', sort_key: created_at, cache_key=user:42",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDw",
    "Segmentation fault (core dumped) at 0x7ffd5e3a1b20, exit code 139",
    "PASS: test_one\nFAIL: test_two\npass=12 fail=0 skipped=3",
    "One pass: every table is read once. Secret: none.",
)


@pytest.mark.parametrize("text", READABLE, ids=lambda text: re.sub(r"\W+", " ", text)[:40])
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text
    captured = CAPTURE.text(json.dumps({"content": text}).encode())
    assert captured is not None
    assert json.loads(captured[0]) == {"content": text}
