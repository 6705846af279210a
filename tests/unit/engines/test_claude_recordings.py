"""Every recorded line of Claude Code against a plain reading of the same line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines.claude import stream as claude
from otel_untether.session import events as ev
from tests.unit.engines.recordings import RECORDINGS, lines, objects, streams

if TYPE_CHECKING:
    from pathlib import Path

AT = 7

SYSTEM = {
    "init": ["SessionStarted", "TurnStarted"],
    "api_retry": ["Retry"],
    "task_started": ["TaskStarted"],
    "task_progress": ["TaskProgress"],
    "task_updated": ["TaskProgress"],
    "task_notification": ["TaskFinished"],
    "compact_boundary": ["Compaction"],
    "hook_started": ["WaitBegan"],
    "hook_response": ["WaitEnded"],
}
OTHERS = {
    "result": ["TurnFinished"],
    "tool_progress": ["ToolUpdated"],
    "control_request": ["WaitBegan"],
    "control_response": ["WaitEnded"],
    "control_cancel_request": ["WaitEnded"],
}


def names_expected(line: dict[str, Any]) -> list[str]:
    """The names of the events that a line, read plainly, should become."""
    match line:
        case {"type": "assistant", "message": {"content": blocks}}:
            calls = [block["name"] for block in blocks if block["type"] == "tool_use"]
            waits = [n for n in calls if n in ("Monitor", "ScheduleWakeup")]
            return ["ModelMessage", *("ToolStarted" for _ in calls), *("WaitBegan" for _ in waits)]
        case {"type": "user", "tool_use_result": {"status": "completed", "agentId": _}}:
            return ["TaskFinished", "ToolFinished"]
        case {"type": "user", "tool_use_result": {"scheduledFor": _}}:
            return ["WaitBegan", "ToolFinished"]
        case {"type": "user", "message": {"content": list(blocks)}}:
            return ["ToolFinished" for block in blocks if block["type"] == "tool_result"]
        case {"type": "system", "subtype": "status", "status": "requesting"}:
            return ["ModelAsked"]
        case {"type": "system", "subtype": "status", "status": "compacting"}:
            return ["Compaction"]
        case {"type": "system", "subtype": subtype}:
            return SYSTEM.get(subtype, [])
        case {"type": "stream_event", "event": {"type": type_}}:
            return ["ModelMessage"] if type_.startswith("message_") else []
    return OTHERS.get(line["type"], [])


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_each_line_becomes_the_events_it_tells_of(path: Path) -> None:
    for line in lines(path):
        names = [type(event).__name__ for event in claude.decode(line, AT)]
        assert names == names_expected(json.loads(line)), line[:200]


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_each_line_is_read_in_the_typed_pass(path: Path) -> None:
    """A line that needs salvaging is a shape we have wrong."""
    for line in lines(path):
        claude._decoder.decode(line)


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_arrival_and_original_times_are_kept(path: Path) -> None:
    for line in lines(path):
        stamp = json.loads(line).get("timestamp")
        expected = None
        if stamp is not None:
            whole, _, millis = stamp.removesuffix("Z").partition(".")
            seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
            expected = seconds * 10**9 + int(millis) * 10**6
        for event in claude.decode(line, AT):
            assert (event.at, event.happened) == (AT, expected)


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_messages_carry_id_model_parent_and_input(path: Path) -> None:
    for line in lines(path):
        plain = json.loads(line)
        if plain["type"] != "assistant" or plain["message"]["model"] == "<synthetic>":
            continue
        message, tokens = plain["message"], plain["message"]["usage"]
        event = claude.decode(line, AT)[0]
        assert isinstance(event, ev.ModelMessage)
        assert (event.id, event.model) == (message["id"], message["model"])
        assert event.parent == plain["parent_tool_use_id"]
        assert event.usage is not None
        assert event.usage.input == sum(v for k, v in tokens.items() if "input" in k)
        assert event.usage.cache_read == tokens["cache_read_input_tokens"]
        final = message["stop_reason"] is not None
        assert event.usage.output == (tokens["output_tokens"] if final else None)
        assert event.complete == final


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_calls_carry_id_name_parent_and_arguments(path: Path) -> None:
    for line in lines(path):
        plain = json.loads(line)
        if plain["type"] != "assistant":
            continue
        calls = [block for block in plain["message"]["content"] if block["type"] == "tool_use"]
        started = [e for e in claude.decode(line, AT) if isinstance(e, ev.ToolStarted)]
        assert [(e.id, e.name) for e in started] == [(c["id"], c["name"]) for c in calls]
        assert all(e.parent == plain["parent_tool_use_id"] for e in started)
        assert [json.loads(e.arguments or b"null") for e in started] == [c["input"] for c in calls]


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_results_say_whether_and_how_a_call_failed(path: Path) -> None:
    for line in lines(path):
        plain = json.loads(line)
        if plain["type"] != "user":
            continue
        content = plain["message"]["content"]
        if isinstance(content, str) or content[0]["type"] != "tool_result":
            continue
        (block,) = plain["message"]["content"]
        (event,) = (e for e in claude.decode(line, AT) if isinstance(e, ev.ToolFinished))
        assert event.id == block["tool_use_id"]
        assert (event.error is not None) == block.get("is_error", False)
        assert json.loads(event.result or b"null") == block["content"]
        decision = plain["tool_result_meta"][0]["permission_decision"]["decision"]
        assert event.denied == (decision == "reject")


@pytest.mark.parametrize("path", streams("claude"), ids=lambda p: p.name)
def test_turns_carry_usage_cost_and_failure(path: Path) -> None:
    for line in lines(path):
        plain = json.loads(line)
        if plain["type"] != "result":
            continue
        (event,) = claude.decode(line, AT)
        assert isinstance(event, ev.TurnFinished)
        totals = plain["modelUsage"].values()
        output = event.session_usage.output if event.session_usage else 0
        assert output == sum(total["outputTokens"] for total in totals)
        assert event.usage is not None
        assert event.usage.output == plain["usage"]["output_tokens"]
        assert event.session_cost_usd == plain["total_cost_usd"]
        new = plain.get("model_usage_since_last_result", {}).values()
        added = event.new_usage.output if event.new_usage else 0
        assert added == sum(model["outputTokens"] for model in new)
        assert event.new_cost_usd == (sum(m["costUSD"] for m in new) if new else None)
        assert (event.error is not None) == plain["is_error"]
        assert event.woken == ("origin" in plain)


def test_a_background_agents_lines_belong_to_the_call_that_started_it() -> None:
    path = RECORDINGS / "claude" / "claude_ok.jsonl"
    (agent,) = (o for o in objects(path) if o.get("subtype") == "task_started")
    found = [event for line in lines(path) for event in claude.decode(line, AT)]
    nested = [e for e in found if getattr(e, "parent", None) is not None]
    assert nested
    assert {e.parent for e in nested if isinstance(e, ev.ToolStarted)} == {agent["tool_use_id"]}
    (receipt,) = (e for e in found if isinstance(e, ev.ToolFinished) and e.detached)
    assert (receipt.id, receipt.task_id) == (agent["tool_use_id"], agent["task_id"])
    (end,) = (e for e in found if isinstance(e, ev.TaskFinished))
    assert (end.id, end.error, end.tokens, end.tool_uses) == (agent["task_id"], None, 1220, 2)
