"""The traps of Copilot's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.copilot import stream as copilot
from otel_untether.session import events as ev

AT = 1_800_000_000 * 10**9
STAMP = "2026-11-25T23:05:14.698Z"
HAPPENED = 1_795_647_914_698 * 10**6


def decode(type_: str, agent: str | None = None, **data: Any) -> tuple[ev.Event, ...]:
    line = {"type": type_, "data": data, "timestamp": STAMP, "agentId": agent}
    return copilot.decode(json.dumps(line).encode(), AT)


def complete(**data: Any) -> ev.ToolFinished:
    (event,) = decode("tool.execution_complete", toolCallId="t", **data)
    assert isinstance(event, ev.ToolFinished)
    return event


def test_a_prompt_begins_a_turn_but_not_a_subagents() -> None:
    assert decode("user.message") == (ev.TurnStarted(at=AT, happened=HAPPENED),)
    assert decode("user.message", agent="a") == ()


def test_a_request_goes_out_in_its_agents_name() -> None:
    session, asked = decode("model.call_start", model="m")
    assert session == ev.SessionStarted(at=AT, happened=HAPPENED, model="m", asks=False)
    assert asked == ev.ModelAsked(at=AT, happened=HAPPENED)
    assert decode("model.call_start", agent="a", parentToolCallId="t", model="n") == (
        ev.ModelAsked(at=AT, happened=HAPPENED, parent="t"),
    )


def test_a_subagent_speaks_when_its_message_is_whole() -> None:
    assert decode("assistant.message_delta", agent="a", messageId="m") == ()
    (event,) = decode("assistant.message", agent="a", messageId="m", parentToolCallId="t")
    assert isinstance(event, ev.ModelMessage)
    assert (event.id, event.parent, event.complete) == ("m", "t", True)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"statusCode": 429, "failureKind": "api"}, "rate_limit"),
        ({"failureKind": "transport", "errorMessage": "at /home/dev"}, "disconnected"),
        ({"failureKind": "api", "errorMessage": "context window exceeded"},
         "context_window_exceeded"),
        ({}, "error"),
    ],
)  # fmt: skip
def test_a_request_that_failed(data: dict[str, Any], error: str) -> None:
    (event,) = decode("model.call_failure", **data)
    assert isinstance(event, ev.ModelMessage)
    assert (event.error, event.complete) == (error, True)


@pytest.mark.parametrize(
    ("data", "error", "code", "denied"),
    [
        ({"success": True}, None, None, False),
        ({"success": True, "shellExecution": {"exitCode": 3}}, "3", 3, False),
        ({"success": False, "error": {"code": "failure"}}, "tool_error", None, False),
        ({"success": False, "error": {"code": "timeout"}}, "timeout", None, False),
        ({"success": False, "error": {"code": "denied"}}, "permission_denied", None, True),
        ({"success": False, "error": "no such file /x"}, "tool_error", None, False),
        ({"success": None, "error": {"code": "timeout"}}, "timeout", None, False),
    ],
)
def test_how_a_call_ended(
    data: dict[str, Any], error: str | None, code: int | None, *, denied: bool
) -> None:
    event = complete(**data)
    assert (event.error, event.exit_code, event.denied) == (error, code, denied)


def test_the_receipt_of_a_background_agent_is_no_result() -> None:
    telemetry = {"properties": {"execution_mode": "background"}}
    assert complete(success=True, toolTelemetry=telemetry).detached
    assert not complete(success=False, toolTelemetry=telemetry).detached
    assert not complete(success=True, toolTelemetry={"properties": 7}).detached


def test_a_subagent_from_its_start_to_its_end() -> None:
    (began,) = decode("subagent.started", agent="a", toolCallId="t", agentName="task")
    assert isinstance(began, ev.TaskStarted)
    assert (began.id, began.tool_id, began.name) == ("a", "t", "task")
    (ended,) = decode("subagent.failed", agent="a", toolCallId="t", totalTokens=7)
    assert isinstance(ended, ev.TaskFinished)
    assert (ended.id, ended.error, ended.tokens) == ("a", "error", 7)


def test_a_tool_of_an_mcp_server() -> None:
    (event,) = decode(
        "tool.execution_start", toolCallId="t", toolName="demo-echo",
        mcpServerName="demo", mcpToolName="echo",
    )  # fmt: skip
    assert isinstance(event, ev.ToolStarted)
    assert (event.name, event.mcp_server, event.type) == ("echo", "demo", "extension")


def test_a_permission_is_a_wait_until_it_is_given() -> None:
    (began,) = decode("permission.requested", requestId="r", toolCallId="t")
    (ended,) = decode("permission.completed", requestId="r")
    assert isinstance(began, ev.WaitBegan)
    assert isinstance(ended, ev.WaitEnded)
    assert began.id == ended.id == "r"
    assert (began.kind, began.tool_id) == ("approval", "t")


def test_compaction_begins_and_ends() -> None:
    assert decode("session.compaction_start") == (
        ev.Compaction(at=AT, happened=HAPPENED, phase="began"),
    )
    (event,) = decode("session.compaction_complete", success=True, preCompactionTokens=9)
    assert isinstance(event, ev.Compaction)
    assert (event.phase, event.tokens_before, event.error) == ("ended", 9, None)


def test_an_abort_is_an_interruption() -> None:
    (event,) = decode("abort", reason="user")
    assert isinstance(event, ev.TurnFinished)
    assert event.interrupted


@pytest.mark.parametrize("phase", ["start", "complete"])
def test_a_tool_without_a_call_is_a_bad_line(phase: str) -> None:
    (event,) = decode(f"tool.execution_{phase}", toolName="bash")
    assert event == ev.StrayLine(at=AT, reason="bad_shape", detail=f"tool.execution_{phase}")
