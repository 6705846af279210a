"""Codex's recordings become the traces that their lines describe."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import RECORDINGS, Trace, attribute, play, recordings

TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call")


@pytest.fixture(params=recordings("codex"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "codex").glob(f"**/{name}.jsonl")
    return play(path)


def items(trace: Trace, type_: str) -> list[dict[str, Any]]:
    return [line["item"] for line in trace.lines if line["type"] == type_]


def test_each_item_that_is_a_tool_is_one_span(trace: Trace) -> None:
    seen = items(trace, "item.started") + items(trace, "item.completed")
    expected = {item["id"] for item in seen if item["type"] in TOOLS}
    spans = trace.where("execute_tool")
    assert {attribute(s, "gen_ai.tool.call.id") for s in spans} == expected
    assert len(spans) == len(expected)


def test_an_item_that_failed_is_an_error_with_its_exit_code(trace: Trace) -> None:
    for item in items(trace, "item.completed"):
        if item["type"] not in TOOLS:
            continue
        span = trace.tool(item["id"])
        assert (span.status.status_code is StatusCode.ERROR) == (item["status"] == "failed")
        if item["type"] == "command_execution":
            assert attribute(span, "process.exit.code") == item["exit_code"]


def test_an_item_that_never_completed_ends_with_the_session(trace: Trace) -> None:
    completed = {item["id"] for item in items(trace, "item.completed")}
    for item in items(trace, "item.started"):
        if item["id"] not in completed:
            span = trace.tool(item["id"])
            assert span.end_time == trace.root.end_time
            assert attribute(span, "error.type") == "abandoned"


def test_the_root_has_the_thread_and_the_turns_usage(trace: Trace) -> None:
    assert attribute(trace.root, "gen_ai.conversation.id") == trace.lines[0]["thread_id"]
    turns = [line["usage"] for line in trace.lines if line["type"] == "turn.completed"]
    if turns:
        total = sum(turn["input_tokens"] for turn in turns)
        assert attribute(trace.root, "gen_ai.usage.input_tokens") == total


def test_reconnecting_is_a_retry_not_an_end() -> None:
    trace = named("codex_500")
    assert trace.events.count("untether.agent.retry") == 5
    assert attribute(trace.root, "untether.session.outcome") == "failed"


def test_codex_prints_no_cost(trace: Trace) -> None:
    assert attribute(trace.root, "untether.session.cost_usd") is None


def test_an_outage_is_retries_to_the_last_line_and_one_chat_that_waits() -> None:
    """Without a number: it says that it waits for the network, and goes on for ever."""
    trace = named("codex_outage.timed")
    errors = [line for line in trace.lines if line["type"] == "error"]
    assert trace.events.count("untether.agent.retry") == len(errors) == 28
    assert len(trace.where("chat")) == 1
    (retry,) = trace.recorder.state.waits.values()
    assert (retry.kind, retry.notices) == ("retry", 28)
