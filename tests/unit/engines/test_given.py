"""What agents are given on their stdin: prompts, and answers to what they asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether import Recorder, RunInfo
from otel_untether.engines import registry
from otel_untether.engines.decoding import LineDecoder
from otel_untether.session import events as ev

if TYPE_CHECKING:
    from otel_untether.session.state import SessionState

INIT = {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2"}
ASKS = {
    "type": "control_request", "request_id": "r",
    "request": {"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t"},
}  # fmt: skip
ALLOWS = {
    "type": "control_response",
    "response": {"subtype": "success", "request_id": "r", "response": {"behavior": "allow"}},
}


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def recorder(engine: str | None = "claude") -> Recorder:
    return Recorder(RunInfo("run", started=1, engine=engine, multi_prompt=True))


def test_an_answer_on_stdin_ends_what_was_asked() -> None:
    session = recorder()
    session.feed(line(INIT) + line(ASKS), at=2)
    assert session.state.waits
    session.feed_stdin(line(ALLOWS), at=3)
    assert not session.state.waits


@pytest.mark.parametrize("engine", ["claude", "qwen"])
def test_a_prompt_on_stdin_begins_a_turn(engine: str) -> None:
    session = recorder(engine)
    session.feed_stdin(line({"type": "user", "message": {"role": "user", "content": "hi"}}), at=5)
    assert session.state.turn_open
    assert session.state.model_asked_at == 5


def test_what_it_is_given_is_no_sign_of_life() -> None:
    session = recorder()
    session.feed(line(INIT), at=2)
    session.feed_stdin(line(ALLOWS) * 9, at=3)
    assert (session.state.last_sign, session.state.lines) == (2, 1)


def test_a_line_in_pieces_is_one_line() -> None:
    session = recorder()
    session.feed(line(ASKS), at=2)
    for byte in line(ALLOWS):
        session.feed_stdin(bytes([byte]), at=3)
    assert not session.state.waits


def test_what_came_before_the_engine_was_known_is_read_in_its_order() -> None:
    decoder = LineDecoder()
    prompt = line({"type": "user", "message": {"content": "hi"}})
    assert not decoder.given(prompt, 1)
    started, *rest = decoder.decode(line(INIT), 2)
    assert started == ev.TurnStarted(at=1)
    assert rest[0].at == 2


def test_what_cannot_be_read_says_nothing() -> None:
    session = recorder()
    session.feed(line(INIT), at=2)
    before = strays(session.state)
    session.feed_stdin(b"\xff\xfe\n[]\n7\n{\n" + line({"type": "control_response"}), at=3)
    assert strays(session.state) == before


def strays(state: SessionState) -> tuple[int, dict[str, int]]:
    return state.stray_lines, dict(state.oddities)


@given(st.binary(max_size=200))
def test_no_bytes_raise(chunk: bytes) -> None:
    for engine in registry.engines():
        for event in engine.reading().input(chunk, 1):
            assert isinstance(event, ev.Event)
