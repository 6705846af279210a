"""The kit that packages with an engine test it by: sound engines pass, each fault is named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.conformance import problems
from otel_untether.engines.engine import Engine
from otel_untether.session import events as ev
from tests.unit.engines.recordings import RECORDINGS, lines, streams

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE = {
    "claude": "claude_mcp.jsonl", "codex": "codex_misc.jsonl", "qwen": "qwen_ok.timed.jsonl",
    "opencode": "opencode_ok.timed.jsonl", "gemini": "gemini_ok.timed.jsonl",
    "pi": "pi_ok.timed.jsonl", "copilot": "copilot_ok.timed.jsonl",
    "acp": "qwen_two.both.jsonl",
}  # fmt: skip


@pytest.mark.parametrize("name", ["amp", "antigravity", "cursor"])
def test_those_that_are_known_by_description_are_sound(name: str) -> None:
    (described,) = streams(name)
    assert list(problems(registry.get(name), list(lines(described)))) == []


@pytest.mark.parametrize("name", WHOLE)
def test_our_own_engines_are_sound(name: str) -> None:
    recording = list(lines(RECORDINGS / name / WHOLE[name]))
    assert list(problems(registry.get(name), recording)) == []


def decode(line: bytes, at: int) -> tuple[ev.Event, ...]:
    try:
        kind = json.loads(line)
    except (ValueError, RecursionError):
        return (ev.StrayLine(at=at, reason="not_json"),)
    return EVENTS[kind](at) if isinstance(kind, str) and kind in EVENTS else ()


EVENTS: dict[str, Callable[[int], tuple[ev.Event, ...]]] = {
    "hello": lambda at: (ev.SessionStarted(at=at, session_id="s"),),
    "call": lambda at: (ev.ToolStarted(at=at, id="1", name="ls"),),
    "result": lambda at: (ev.ToolFinished(at=at, id="1"),),
    "late": lambda at: (ev.ModelMessage(at=at + 1),),
    "odd": lambda at: (ev.StrayLine(at=at, reason="unknown_type"),),
}
SOUND = Engine("sound", decoder=decode)


def raises(line: bytes, at: int) -> tuple[ev.Event, ...]:
    return decode(line, at) if len(line) != 5 else decode(line, at // (line[1] - line[1]))


def words(line: bytes, _at: int) -> Any:
    return ("hello",) if line else ()


@pytest.mark.parametrize(
    ("engine", "words", "said"),
    [
        (SOUND, ["hello", "call", "result"], None),
        (replace(SOUND, name="So Und"), ["hello"], "name 'So Und'"),
        (replace(SOUND, commands=frozenset({"claude"})), ["hello"], "also started by"),
        (SOUND, ["hello", "odd"], "not understood (unknown_type)"),
        (SOUND, ["hello", "late"], "ModelMessage.at is not when the line arrived"),
        (SOUND, ["hello", "result"], "1 times result_without_call"),
        (SOUND, ["call", "result"], "no line says which session"),
        (SOUND, [], "nothing of the session is understood"),
        (replace(SOUND, decoder=raises), ["hello"], "ZeroDivisionError"),
        (replace(SOUND, decoder=words), [], "for b'"),
    ],
)
def test_each_fault_is_named(engine: Engine, words: list[str], said: str | None) -> None:
    found = list(problems(engine, [json.dumps(word).encode() for word in words]))
    assert (said is None and not found) or any(str(said) in problem for problem in found), found


def test_a_line_that_is_anothers_is_named() -> None:
    line = next(lines(RECORDINGS / "codex" / "codex_ok.jsonl"))
    assert "taken for one of the engine codex" in " ".join(problems(SOUND, [line]))
