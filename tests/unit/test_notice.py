from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.notice import notice, printable

HOSTILE = {
    "title": "\x1b]0;pwned\x07",
    "clear": "\x1b[2J\x1b[H",
    "link": "\x1b]8;;https://example.org\x07here\x1b]8;;\x07",
    "C1": "\x9b2J\x9d0;x\x9c",
    "bidi": "\u202egpj.exe\u2066x\u2069",
    "carriage return": "safe\rotel-untether: killed",
    "backspaces": "a\x08\x08\x08",
    "zero width": "Ba\u200bsh\ufeff",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_an_agent_wrote_steers_no_terminal(
    text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    notice(f"stalled in {text}, perhaps")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("otel-untether: stalled in ")
    assert line.isprintable()


def test_a_path_that_is_no_text_is_still_told(capfd: pytest.CaptureFixture[str]) -> None:
    notice(f"{os.fsdecode(b'/tmp/caf%c' % 0xE9)}: not there")
    assert capfd.readouterr().err.endswith("not there\n")


def test_printable_text_is_itself() -> None:
    assert printable("naïve 語 🙂 ok") == "naïve 語 🙂 ok"


@given(st.text())
def test_any_text_comes_out_printable(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) == len(text)
