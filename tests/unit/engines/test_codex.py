"""The traps of Codex's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.codex import stream as codex
from otel_untether.session import events as ev

AT = 1_000


def decode(**line: Any) -> tuple[ev.Event, ...]:
    return codex.decode(json.dumps(line).encode(), AT)


def item(phase: str, **members: Any) -> tuple[ev.Event, ...]:
    return decode(type=f"item.{phase}", item={"id": "item_1", **members})


def collab(tool: str, phase: str = "completed", **members: Any) -> tuple[ev.Event, ...]:
    return item(phase, type="collab_tool_call", tool=tool, status="completed", **members)


def test_a_retry_says_which_of_how_many() -> None:
    message = "Reconnecting... 2/5 (stream disconnected before completion: idle timeout)"
    (event,) = decode(type="error", message=message)
    assert event == ev.Retry(at=AT, attempt=2, max_attempts=5, error="timeout")


def test_an_outage_without_a_number_is_a_retry_too() -> None:
    (event,) = decode(type="error", message="Reconnecting... waiting for network (Connection lost)")
    assert event == ev.Retry(at=AT, error="disconnected")


def test_any_other_error_is_a_failed_request() -> None:
    (event,) = decode(type="error", message="We're currently experiencing high demand")
    assert event == ev.ModelMessage(at=AT, complete=True, error="overloaded")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("You've hit your usage limit. Upgrade to Pro", "usage_limit"),
        ("exceeded retry limit, last status: 429 Too Many Requests", "rate_limit"),
        ("unexpected status 401 Unauthorized: missing key sk-123", "unauthorized"),
        ("Codex ran out of room in the model's context window.", "context_window_exceeded"),
        ("unexpected status 500 Internal Server Error", "server_error"),
        ("something at /home/dev/secret", "error"),
        (None, "error"),
        (7, "error"),
    ],
)
def test_a_failed_turn_gives_one_low_cardinality_word(message: Any, error: str) -> None:
    event = decode(type="turn.failed", error={"message": message})[0]
    assert isinstance(event, ev.TurnFinished)
    assert event.error == error


def test_an_interrupted_turn_says_so() -> None:
    (event,) = decode(type="turn.failed", error={"message": "turn interrupted"})
    assert isinstance(event, ev.TurnFinished)
    assert event.interrupted


def test_warnings_before_the_turn_say_nothing() -> None:
    assert item("completed", type="error", message="Model metadata not found") == ()


def test_a_to_do_list_is_no_tool() -> None:
    for phase in ("started", "updated", "completed"):
        assert item(phase, type="todo_list", items=[]) == ()


@pytest.mark.parametrize(
    ("members", "error", "code", "denied"),
    [
        ({"status": "completed", "exit_code": 0}, None, 0, False),
        ({"status": "failed", "exit_code": 3}, "3", 3, False),
        ({"status": "failed", "exit_code": -1}, "-1", -1, False),
        ({"status": "failed", "exit_code": None}, "tool_error", None, False),
        ({"status": "declined"}, "permission_denied", None, True),
        ({"status": "cancelled"}, "interrupted", None, False),
    ],
)
def test_a_command_ends_well_or_with_its_reason(
    members: dict[str, Any], error: str | None, code: int | None, *, denied: bool
) -> None:
    (event,) = item("completed", type="command_execution", command="ls", **members)
    assert isinstance(event, ev.ToolFinished)
    assert (event.error, event.exit_code, event.denied) == (error, code, denied)
    assert event.name == "command_execution"


def test_an_mcp_call_names_its_server_and_its_failure() -> None:
    call = {"type": "mcp_tool_call", "server": "demo", "tool": "add", "arguments": {"a": 1}}
    (started,) = item("started", **call, status="in_progress", result=None, error=None)
    assert isinstance(started, ev.ToolStarted)
    assert (started.name, started.type, started.mcp_server) == ("add", "extension", "demo")
    assert started.arguments == b'{"a": 1}'
    (lost,) = item("completed", **call, status="failed", error={"message": "server gone"})
    assert isinstance(lost, ev.ToolFinished)
    assert lost.error == "tool_error"


def test_the_two_ids_of_a_web_search_match_between_start_and_end() -> None:
    line = '{"type":"item.%s","item":{"id":"item_3","type":"web_search","id":"ws_1","query":"q"}}'
    (started,) = codex.decode((line % "started").encode(), AT)
    (finished,) = codex.decode((line % "completed").encode(), AT)
    assert isinstance(started, ev.ToolStarted)
    assert isinstance(finished, ev.ToolFinished)
    assert started.id == finished.id == "ws_1"


def test_a_spawned_agent_outlives_the_call_that_spawned_it() -> None:
    task, progress, tool = collab(
        "spawn_agent",
        sender_thread_id="root",
        receiver_thread_ids=["child"],
        agents_states={"child": {"status": "pending_init"}},
    )
    assert isinstance(task, ev.TaskStarted)
    assert (task.id, task.kind, task.tool_id, task.parent_task) == (
        "child", "agent", "item_1", "root",
    )  # fmt: skip
    assert isinstance(progress, ev.TaskProgress)
    assert isinstance(tool, ev.ToolFinished)
    assert (tool.name, tool.detached, tool.task_id) == ("spawn_agent", True, "child")


def test_an_agent_that_was_not_spawned_is_no_task() -> None:
    (tool,) = item(
        "completed", type="collab_tool_call", tool="spawn_agent", status="failed",
        receiver_thread_ids=[], agents_states={},
    )  # fmt: skip
    assert isinstance(tool, ev.ToolFinished)
    assert (tool.error, tool.detached) == ("tool_error", False)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("completed", None),
        ("shutdown", None),
        ("errored", "errored"),
        ("not_found", "not_found"),
        ("some prose", "unknown"),
    ],
)
def test_an_agent_ends_when_a_later_call_finds_it_ended(status: str, error: str | None) -> None:
    states = {"a": {"status": status}, "b": {"status": "running"}}
    end, progress, tool = collab("wait", receiver_thread_ids=["a", "b"], agents_states=states)
    assert end == ev.TaskFinished(at=AT, id="a", error=error)
    assert progress == ev.TaskProgress(at=AT, id="b")
    assert isinstance(tool, ev.ToolFinished)
    assert not tool.detached


def test_an_agent_that_is_given_more_to_do_starts_again() -> None:
    states = {"a": {"status": "running"}}
    first = collab("send_input", receiver_thread_ids=["a"], agents_states=states)[0]
    assert isinstance(first, ev.TaskStarted)


def test_a_question_is_a_wait() -> None:
    (event,) = decode(type="request_user_input", id="turn", call_id="call_1", questions=[])
    assert isinstance(event, ev.WaitBegan)
    assert (event.id, event.kind, event.tool_id) == ("call_1", "question", "call_1")


def test_usage_nobody_gave_is_unknown() -> None:
    (event,) = decode(type="turn.completed")
    assert event == ev.TurnFinished(at=AT)


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"not json", "not_json", None),
        (b"[1]", "bad_shape", None),
        (b'{"type":"thread.paused"}', "unknown_type", "thread.paused"),
        (b'{"type":"item.started","item":{"id":"i","type":"dream"}}', "unknown_type", "item/dream"),
        (b'{"type":"item.completed"}', "bad_shape", None),
        (b'{"type":"item.started","item":{"type":"web_search"}}', "bad_shape", "web_search"),
        (b'{"type":"item.updated","item":{"id":5,"type":"web_search"}}', "bad_shape", "web_search"),
        (b'{"type":"request_user_input"}', "bad_shape", "request_user_input"),
    ],
)
def test_lines_that_say_nothing_we_know_are_stray(
    line: bytes, reason: str, detail: str | None
) -> None:
    (event,) = codex.decode(line, AT)
    assert isinstance(event, ev.StrayLine)
    assert (event.reason, event.detail) == (reason, detail)


def test_a_bad_member_does_not_lose_the_call() -> None:
    found = item("completed", type="command_execution", status="completed", exit_code="zero")
    assert [type(event) for event in found] == [ev.ToolFinished, ev.StrayLine]


def test_one_bad_state_does_not_lose_the_others() -> None:
    states = {"a": 5, "b": {"status": "completed"}}
    found = collab("wait", receiver_thread_ids=[None, "b"], agents_states=states)
    assert ev.TaskFinished(at=AT, id="b") in found
