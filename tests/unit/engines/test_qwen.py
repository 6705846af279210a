"""The traps of Qwen's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.qwen import stream as qwen
from otel_untether.session import events as ev

AT = 1_000


def decode(type_: str, **members: Any) -> tuple[ev.Event, ...]:
    return qwen.decode(json.dumps({"type": type_, **members}).encode(), AT)


def said(*blocks: dict[str, Any], **message: Any) -> tuple[ev.Event, ...]:
    return decode("assistant", message={"id": "u", "content": list(blocks), **message})


def result(content: Any, *, failed: bool = False, **members: Any) -> ev.ToolFinished:
    block = {
        "type": "tool_result", "tool_use_id": "t", "is_error": failed, "content": content,
    }  # fmt: skip
    (event,) = decode("user", message={"content": [block]}, **members)
    assert isinstance(event, ev.ToolFinished)
    return event


def test_the_lines_of_an_answer_share_no_id() -> None:
    (event,) = said({"type": "text", "text": "x"}, model="m")
    assert event == ev.ModelMessage(at=AT, model="m")


def test_one_line_may_call_several_tools() -> None:
    calls = [{"type": "tool_use", "id": key, "name": "glob", "input": {}} for key in "ab"]
    _, first, second = said(*calls)
    assert isinstance(first, ev.ToolStarted)
    assert isinstance(second, ev.ToolStarted)
    assert (first.id, second.id) == ("a", "b")


def test_zeros_are_not_yet_known() -> None:
    message = said(usage={"input_tokens": 0, "output_tokens": 0})[0]
    assert isinstance(message, ev.ModelMessage)
    assert message.usage is None


def test_cached_tokens_are_in_the_input_already() -> None:
    usage = {"input_tokens": 1100, "output_tokens": 31, "cache_read_input_tokens": 200}
    message = said(usage=usage)[0]
    assert isinstance(message, ev.ModelMessage)
    assert message.usage == ev.Usage(1100, 31, 200)


@pytest.mark.parametrize(
    ("name", "tool", "server"),
    [("mcp__demo__echo", "echo", "demo"), ("edit", "edit", None), ("mcp__x", "mcp__x", None)],
)
def test_an_mcp_tool_has_its_servers_name_in_its_own(
    name: str, tool: str, server: str | None
) -> None:
    _, call = said({"type": "tool_use", "id": "t", "name": name})
    assert isinstance(call, ev.ToolStarted)
    assert (call.name, call.mcp_server) == (tool, server)


@pytest.mark.parametrize(
    ("text", "failed", "error", "code", "denied"),
    [
        ("fine", False, None, None, False),
        ("Command: x\nDirectory: (root)\nExit Code: 3\nSignal: (none)", True, "3", 3, False),
        ("File not found: /x\nExit Code: 3\n", True, "tool_error", None, False),
        ("Tool requires user approval", True, "permission_denied", None, True),
    ],
)
def test_how_a_tool_ended(
    text: str, error: str | None, code: int | None, *, failed: bool, denied: bool
) -> None:
    event = result(text, failed=failed)
    assert (event.error, event.exit_code, event.denied) == (error, code, denied)


def test_the_receipt_of_a_background_agent_is_no_result() -> None:
    assert result("Background agent launched successfully.\ntask_id: x").detached
    assert not result("x" * 90 + "Background agent launched successfully").detached


def test_a_prompt_below_a_call_shows_its_subagent() -> None:
    prompt = {"content": [{"type": "text", "text": "x"}]}
    (event,) = decode("user", message=prompt, parent_tool_use_id="t")
    assert isinstance(event, ev.TaskStarted)
    assert event.tool_id == "t"


def test_a_prompt_after_the_first_wakes_the_model() -> None:
    assert decode("user", message={"content": [{"type": "text", "text": "done"}]}) == (
        ev.ModelAsked(at=AT),
    )


@pytest.mark.parametrize(("status", "error"), [("completed", None), ("failed", "failed")])
def test_a_notification_ends_a_task(status: str, error: str | None) -> None:
    data = {"task_id": "a", "tool_use_id": "t", "status": status, "usage": {"total_tokens": 7}}
    (event,) = decode("system", subtype="task_notification", data=data)
    assert event == ev.TaskFinished(at=AT, id="a", tool_id="t", error=error, tokens=7)


def test_an_approval_is_a_wait_until_it_is_answered() -> None:
    request = {"subtype": "can_use_tool", "tool_use_id": "t"}
    (began,) = decode("control_request", request_id="r", request=request)
    assert began == ev.WaitBegan(at=AT, id="r", kind="approval", tool_id="t")
    assert decode("control_response", response={"request_id": "r"}) == (
        ev.WaitEnded(at=AT, id="r"),
    )
    (cancelled,) = decode("control_cancel_request", request_id="r")
    assert isinstance(cancelled, ev.WaitEnded)
    assert cancelled.answer == "cancelled"


@pytest.mark.parametrize(
    ("members", "why", "events"),
    [
        ({"subtype": "error_max_turns", "is_error": True}, "error_max_turns", 1),
        ({"subtype": "error_during_execution", "is_error": True,
          "error": {"message": "No auth type is selected"}}, "error", 1),
        ({"subtype": "error_during_execution", "is_error": True,
          "error": {"message": "[API Error: 429 slow]"}}, "rate_limit", 2),
    ],
)  # fmt: skip
def test_only_a_failed_request_is_the_models_error(
    members: dict[str, Any], why: str, events: int
) -> None:
    found = decode("result", **members)
    assert len(found) == events
    turn = found[-1]
    assert isinstance(turn, ev.TurnFinished)
    assert turn.error == why


def test_a_state_of_its_goal_is_no_word_of_the_model() -> None:
    assert decode("stream_event", event={"type": "goal_state"}) == ()
    assert decode("stream_event", event={"type": "content_block_delta"}) == (
        ev.ModelMessage(at=AT),
    )
