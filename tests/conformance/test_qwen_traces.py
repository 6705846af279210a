"""Qwen's recordings become the traces that their lines, and the model's endpoint, describe."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import MS, RECORDINGS, Trace, attribute, play, recordings, requests

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture(params=recordings("qwen"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "qwen").glob(f"**/{name}.timed.jsonl")
    return play(path)


def blocks(trace: Trace, role: str, type_: str) -> list[dict[str, Any]]:
    messages = [line["message"] for line in trace.lines if line["type"] == role]
    return [block for m in messages for block in m["content"] if block["type"] == type_]


def chats(trace: Trace) -> list[ReadableSpan]:
    return sorted(trace.where("chat"), key=lambda span: span.start_time or 0)


def test_each_call_is_one_span_and_fails_if_its_result_says_so(trace: Trace) -> None:
    results = {b["tool_use_id"]: b for b in blocks(trace, "user", "tool_result")}
    calls = blocks(trace, "assistant", "tool_use")
    assert len(trace.where("execute_tool")) == len(calls)
    for call in calls:
        span = trace.tool(call["id"])
        assert span.name == f"execute_tool {call['name']}"
        assert trace.parent(span) is trace.root
        if result := results.get(call["id"]):
            assert (span.status.status_code is StatusCode.ERROR) == result["is_error"]
            exited = "Exit Code: 3" in str(result["content"])
            assert attribute(span, "process.exit.code") == (3 if exited else None)
        else:
            assert span.end_time == trace.root.end_time


def test_usage_is_the_results_and_there_is_no_cost(trace: Trace) -> None:
    totals = [line["usage"] for line in trace.lines if line["type"] == "result"]
    if totals and totals[0]["input_tokens"]:
        (total,) = totals
        assert attribute(trace.root, "gen_ai.usage.input_tokens") == total["input_tokens"]
        assert attribute(trace.root, "gen_ai.usage.output_tokens") == total["output_tokens"]
        cached = attribute(trace.root, "gen_ai.usage.cache_read.input_tokens")
        assert cached == total["cache_read_input_tokens"]
    assert attribute(trace.root, "untether.session.cost_usd") is None


@pytest.mark.parametrize(
    "name", ["qwen_ok", "qwen_subagent", "qwen_retry503", "qwen_dead", "qwen_tool_sigterm"]
)
def test_chats_are_the_main_agents_requests_that_the_endpoint_answered(name: str) -> None:
    found = chats(named(name))
    answered = [request for request in requests("qwen", name) if request.answered]
    main = [request for request in answered if not str(request.marker).startswith("SUB")]
    assert len(found) == len(main)
    for chat, request in zip(found, main, strict=True):
        assert (chat.start_time or 0) <= request.asked
        assert (chat.end_time or 0) >= (request.answered or 0) - MS
    for before, after in pairwise(found):
        assert (before.end_time or 0) <= (after.start_time or 0)


@pytest.mark.parametrize("name", ["qwen_ok", "qwen_subagent"])
def test_a_subagent_works_until_its_notification_and_so_does_its_call(name: str) -> None:
    trace = named(name)
    (call,) = [b for b in blocks(trace, "assistant", "tool_use") if b["name"] == "agent"]
    (agent,) = [span for span in trace.spans if span.name == "invoke_agent general-purpose"]
    assert trace.parent(agent) is trace.tool(call["id"])
    assert agent.end_time == trace.tool(call["id"]).end_time
    asked = [r for r in requests("qwen", name) if str(r.marker).startswith("SUB")]
    assert (agent.start_time or 0) <= asked[0].asked
    assert (agent.end_time or 0) >= (asked[-1].answered or 0)
    (told,) = [line["data"] for line in trace.lines if line.get("subtype") == "task_notification"]
    assert attribute(agent, "untether.subagent.tokens") == told["usage"]["total_tokens"]


@pytest.mark.parametrize(
    ("name", "why"), [("qwen_dead", "disconnected"), ("qwen_err400", "invalid_request")]
)
def test_a_request_that_fails_is_a_chat_that_failed(name: str, why: str) -> None:
    trace = named(name)
    assert attribute(trace.root, "untether.session.outcome") == "failed"
    assert attribute(trace.root, "error.type") == attribute(chats(trace)[-1], "error.type") == why


def test_a_retry_is_told() -> None:
    assert named("qwen_dead").events.count("untether.agent.retry") == 1
