"""The traps of OpenCode's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.opencode import stream as opencode
from otel_untether.session import events as ev

AT = 1_800_000_000 * 10**9
MS = 10**6
TIME = {"start": 1_795_647_449_000, "end": 1_795_647_450_500}


def decode(type_: str, **members: Any) -> tuple[ev.Event, ...]:
    line = {"type": type_, "timestamp": TIME["end"], "sessionID": "ses_1", **members}
    return opencode.decode(json.dumps(line).encode(), AT)


def tool(name: str = "bash", **state: Any) -> tuple[ev.Event, ...]:
    state = {"status": "completed", "input": {}, "time": TIME, **state}
    part = {"type": "tool", "tool": name, "callID": "c", "messageID": "m", "state": state}
    return decode("tool_use", part=part)


def finished(*events: ev.Event) -> ev.ToolFinished:
    (event,) = (event for event in events if isinstance(event, ev.ToolFinished))
    return event


def usage(**tokens: Any) -> ev.Usage | None:
    event = decode("step_finish", part={"messageID": "m", "reason": "stop", "tokens": tokens})[0]
    assert isinstance(event, ev.ModelMessage)
    return event.usage


def test_a_tool_is_told_when_it_is_over_with_both_of_its_times() -> None:
    started, ended = tool(input={"command": "ls"})
    assert started == ev.ToolStarted(
        at=AT, happened=TIME["start"] * MS, id="c", name="bash", arguments=b'{"command": "ls"}'
    )
    assert ended == ev.ToolFinished(at=AT, happened=TIME["end"] * MS, id="c")


def test_a_command_that_exits_with_a_status_is_completed_and_an_error() -> None:
    event = finished(*tool(metadata={"exit": 3}))
    assert (event.error, event.exit_code) == ("3", 3)


def test_what_another_tool_calls_its_metadata_is_no_exit_code() -> None:
    event = finished(*tool("read", metadata={"exit": "door", "sessionId": 7}))
    assert (event.error, event.exit_code) == (None, None)


@pytest.mark.parametrize(
    ("said", "error", "denied"),
    [
        ("File not found: /x", "tool_error", False),
        ("The user rejected permission to use this specific tool call.", "permission_denied", True),
    ],
)
def test_an_error_is_told_from_a_denial(said: str, error: str, *, denied: bool) -> None:
    event = finished(*tool(status="error", error=said))
    assert (event.error, event.denied) == (error, denied)


def test_a_task_is_a_subagent_with_a_session_of_its_own() -> None:
    started, agent, _ = tool(
        "task", input={"subagent_type": "general"}, metadata={"sessionId": "ses_2"}
    )
    assert isinstance(started, ev.ToolStarted)
    assert started.subagent == "general"
    assert isinstance(agent, ev.TaskStarted)
    assert (agent.id, agent.tool_id, agent.name) == ("ses_2", "c", "general")


def test_cached_tokens_are_input_once() -> None:
    found = usage(total=1131, input=900, output=31, reasoning=0, cache={"read": 150, "write": 50})
    assert found == ev.Usage(1100, 31, 150, 50, 0)


@pytest.mark.parametrize(("total", "output"), [(1141, 41), (1131, 31), (None, 41)])
def test_reasoning_is_output_once_whether_or_not_it_was_counted(
    total: int | None, output: int
) -> None:
    found = usage(total=total, input=1100, output=31, reasoning=10)
    assert found is not None
    assert (found.output, found.reasoning) == (output, 10)


def test_a_step_that_called_tools_ends_no_turn() -> None:
    event, turn = decode(
        "step_finish", part={"messageID": "m", "reason": "tool-calls", "cost": 0.5}
    )
    assert isinstance(turn, ev.TurnStarted)
    assert isinstance(event, ev.ModelMessage)
    assert (event.late, event.cost_usd, event.finish_reason) == (True, 0.5, "tool-calls")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ({"name": "APIError", "data": {"message": "x", "statusCode": 429}}, "rate_limit"),
        ({"name": "APIError", "data": {"message": "Unable to connect"}}, "disconnected"),
        ({"name": "UnknownError", "data": {"message": "/home/secret"}}, "error"),
        ({}, "error"),
    ],
)
def test_an_error_fails_the_chat_and_the_turn(error: dict[str, Any], why: str) -> None:
    message, turn = decode("error", error=error)
    assert isinstance(message, ev.ModelMessage)
    assert isinstance(turn, ev.TurnFinished)
    assert message.error == turn.error == why


def test_an_aborted_message_is_an_interruption() -> None:
    (turn,) = decode("error", error={"name": "MessageAbortedError", "data": {"message": "x"}})
    assert isinstance(turn, ev.TurnFinished)
    assert (turn.interrupted, turn.error) == (True, "interrupted")


def test_a_tool_without_a_call_is_a_bad_line() -> None:
    (event,) = decode("tool_use", part={"tool": "bash"})
    assert event == ev.StrayLine(at=AT, reason="bad_shape", detail="tool_use")
