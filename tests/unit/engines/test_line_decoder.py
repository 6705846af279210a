"""An engine that a command line only looked like gives way to the one that certainly speaks."""

from __future__ import annotations

import json

import pytest

from otel_untether.engines import registry
from otel_untether.engines.decoding import DETECTION_LINES, LineDecoder
from otel_untether.session.events import SessionStarted
from tests.unit.engines.recordings import RECORDINGS, lines

CLAUDE, QWEN = registry.get("claude"), registry.get("qwen")
QWENS = list(lines(RECORDINGS / "qwen" / "qwen_ok.timed.jsonl"))


def test_a_wrapper_called_claude_may_run_another_agent() -> None:
    decoder = LineDecoder(CLAUDE, certain=False)
    events = decoder.decode(QWENS[0], 1)
    assert decoder.engine is QWEN
    assert isinstance(events[0], SessionStarted)
    assert events[0].version == "0.24.4"


def test_what_was_named_on_purpose_is_not_doubted() -> None:
    decoder = LineDecoder(CLAUDE)
    decoder.decode(QWENS[0], 1)
    assert decoder.engine is CLAUDE


@pytest.mark.parametrize("noise", [b"", b"Warning: something", b'{"type":"rate_limit_event"}'])
def test_noise_before_the_first_word_changes_nothing(noise: bytes) -> None:
    decoder = LineDecoder(CLAUDE, certain=False)
    for _ in range(5):
        decoder.decode(noise, 1)
    assert decoder.engine is CLAUDE
    decoder.decode(QWENS[0], 1)
    assert decoder.engine is QWEN


def test_once_it_has_spoken_nobody_else_does() -> None:
    decoder = LineDecoder(CLAUDE, certain=False)
    decoder.decode(next(lines(RECORDINGS / "claude" / "claude_ok.jsonl")), 1)
    decoder.decode(QWENS[0], 1)
    assert decoder.engine is CLAUDE


def test_after_the_first_lines_it_is_what_it_looked_like() -> None:
    decoder = LineDecoder(CLAUDE, certain=False)
    for _ in range(DETECTION_LINES):
        decoder.decode(json.dumps({"n": 1}).encode(), 1)
    decoder.decode(QWENS[0], 1)
    assert decoder.engine is CLAUDE


def test_one_that_nobody_decodes_yet_is_read_while_it_is_in_doubt() -> None:
    decoder = LineDecoder(registry.get("goose"), certain=False)
    assert decoder.reads
    for _ in range(DETECTION_LINES):
        decoder.decode(b"text", 1)
    assert not decoder.reads
