"""The traps of Gemini's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.gemini import stream as gemini
from otel_untether.session import events as ev

AT = 1_800_000_000 * 10**9
STAMP = "2026-11-25T23:05:14.698Z"
HAPPENED = 1_795_647_914_698 * 10**6


def decode(type_: str, **members: Any) -> tuple[ev.Event, ...]:
    return gemini.decode(json.dumps({"type": type_, "timestamp": STAMP, **members}).encode(), AT)


def result(**members: Any) -> tuple[ev.Event, ...]:
    return decode("result", **members)


def turn(*events: ev.Event) -> ev.TurnFinished:
    event = events[-1]
    assert isinstance(event, ev.TurnFinished)
    return event


def test_a_prompt_begins_a_turn_and_words_are_the_models() -> None:
    assert decode("message", role="user", content="x") == (
        ev.TurnStarted(at=AT, happened=HAPPENED),
    )
    assert decode("message", role="assistant", content="x", delta=True) == (
        ev.ModelMessage(at=AT, happened=HAPPENED),
    )


def test_a_call_to_an_agent_is_a_tool_and_a_subagent() -> None:
    call, agent = decode(
        "tool_use", tool_name="invoke_agent", tool_id="t", parameters={"agent_name": "generalist"}
    )
    assert isinstance(call, ev.ToolStarted)
    assert isinstance(agent, ev.TaskStarted)
    assert (call.subagent, agent.name, agent.tool_id) == ("generalist", "generalist", "t")


@pytest.mark.parametrize("parameters", [None, 7, {"agent_name": 7}, [1]])
def test_what_the_model_gets_wrong_costs_the_agents_name_only(parameters: Any) -> None:
    call, agent = decode("tool_use", tool_name="invoke_agent", tool_id="t", parameters=parameters)
    assert isinstance(call, ev.ToolStarted)
    assert isinstance(agent, ev.TaskStarted)
    assert (call.subagent, agent.name) == (None, None)


@pytest.mark.parametrize(
    ("members", "error", "denied"),
    [
        ({"status": "success", "output": "x"}, None, False),
        ({"status": "error", "error": {"type": "file_not_found"}}, "file_not_found", False),
        ({"status": "error", "error": {"type": "no such /home/x"}}, "tool_error", False),
        ({"status": "error"}, "tool_error", False),
        ({"status": "cancelled"}, "interrupted", False),
        ({"status": "error", "error": {"type": "policy_violation"}}, "permission_denied", True),
    ],
)
def test_how_a_tool_ended(members: dict[str, Any], error: str | None, *, denied: bool) -> None:
    (event,) = decode("tool_result", tool_id="t", **members)
    assert isinstance(event, ev.ToolFinished)
    assert (event.error, event.denied) == (error, denied)


def test_cached_tokens_are_in_the_input_already() -> None:
    stats = {
        "total_tokens": 120,
        "input_tokens": 100,
        "output_tokens": 20,
        "cached": 40,
        "input": 60,
    }
    assert turn(*result(status="success", stats=stats)).usage == ev.Usage(100, 20, 40)


def test_a_refused_request_used_nothing_that_was_counted() -> None:
    stats = {"total_tokens": 0, "input_tokens": 0, "output_tokens": 0, "cached": 0}
    assert turn(*result(status="error", stats=stats)).usage is None


@pytest.mark.parametrize(
    ("error", "why", "events"),
    [
        ({"type": "unknown", "message": "[API Error: terminated]"}, "disconnected", 2),
        ({"type": "FatalTurnLimitedError", "message": "Reached max"}, "FatalTurnLimitedError", 1),
        ({"type": "FatalCancellationError", "message": "Operation cancelled."}, "interrupted", 1),
        ({"type": "see /etc", "message": None}, "error", 1),
        (None, "error", 1),
    ],
)
def test_only_a_failed_request_is_the_models_error(error: Any, why: str, events: int) -> None:
    found = result(status="error", error=error)
    assert len(found) == events
    assert turn(*found).error == why
    assert turn(*found).interrupted == (why == "interrupted")


def test_a_line_about_an_error_is_known_and_decides_nothing() -> None:
    assert decode("error", severity="warning", message="x") == ()
