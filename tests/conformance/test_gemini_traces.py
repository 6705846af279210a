"""Gemini's recordings become the traces that their lines, and the model's endpoint, describe."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import MS, RECORDINGS, Trace, attribute, play, recordings, requests, timestamp


@pytest.fixture(params=recordings("gemini"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "gemini").glob(f"**/{name}.timed.jsonl")
    return play(path)


def of(trace: Trace, type_: str) -> list[dict[str, Any]]:
    return [line for line in trace.lines if line["type"] == type_]


def test_each_call_is_one_span_from_its_line_to_its_results(trace: Trace) -> None:
    results = {line["tool_id"]: line for line in of(trace, "tool_result")}
    assert len(trace.where("execute_tool")) == len(of(trace, "tool_use"))
    for call in of(trace, "tool_use"):
        span = trace.tool(call["tool_id"])
        assert span.name == f"execute_tool {call['tool_name']}"
        assert span.start_time == timestamp(call)
        assert trace.parent(span) is trace.root
        if result := results.get(call["tool_id"]):
            assert span.end_time == timestamp(result)
            failed = result["status"] == "error"
            assert (span.status.status_code is StatusCode.ERROR) == failed
            assert attribute(span, "error.type") == result.get("error", {}).get("type")
        else:
            assert span.end_time == trace.root.end_time


def test_the_usage_is_the_results_with_cached_tokens_in_it_once(trace: Trace) -> None:
    stats = (of(trace, "result") or [{"stats": {}}])[0]["stats"]
    used = bool(stats.get("total_tokens"))
    for name, key in [
        ("gen_ai.usage.input_tokens", "input_tokens"),
        ("gen_ai.usage.output_tokens", "output_tokens"),
        ("gen_ai.usage.cache_read.input_tokens", "cached"),
    ]:
        assert attribute(trace.root, name) == (stats[key] if used else None)


def test_the_outcome_is_the_results(trace: Trace) -> None:
    (result,) = of(trace, "result") or [{"status": None}]
    words = {"success": "completed", "error": "failed", None: "unknown"}
    assert attribute(trace.root, "untether.session.outcome") == words[result["status"]]
    assert attribute(trace.root, "gen_ai.conversation.id") == trace.lines[0]["session_id"]


@pytest.mark.parametrize(
    "name",
    ["gemini_ok", "gemini_retry503", "gemini_subagent", "gemini_dead", "gemini_tool_sigterm"],
)
def test_chats_are_the_requests_that_the_endpoint_answered(name: str) -> None:
    chats = sorted(named(name).where("chat"), key=lambda span: span.start_time or 0)
    answered = [request for request in requests("gemini", name) if request.answered]
    main = [request for request in answered if not str(request.marker).startswith("SUB")]
    assert len(chats) == len(main)
    for chat, request in zip(chats, main, strict=True):
        assert (chat.start_time or 0) <= request.asked
        assert (chat.end_time or 0) >= (request.answered or 0) - MS
        assert attribute(chat, "gen_ai.request.model") == "gemini-2.5-pro"
    for before, after in pairwise(chats):
        assert (before.end_time or 0) <= (after.start_time or 0)


def test_a_subagent_is_an_agent_below_its_call() -> None:
    trace = named("gemini_subagent")
    (agent,) = [span for span in trace.spans if span.name == "invoke_agent generalist"]
    (call,) = trace.where("execute_tool")
    assert trace.parent(agent) is call
    assert (agent.start_time, agent.end_time) == (call.start_time, call.end_time)


@pytest.mark.parametrize(
    ("name", "why"), [("gemini_dead", "disconnected"), ("gemini_err400", "invalid_request")]
)
def test_a_request_that_fails_is_a_chat_that_failed(name: str, why: str) -> None:
    trace = named(name)
    *_, last = sorted(trace.where("chat"), key=lambda span: span.start_time or 0)
    assert attribute(last, "error.type") == attribute(trace.root, "error.type") == why
    assert last.end_time == timestamp(trace.lines[-1])


def test_what_is_said_again_after_a_silence_is_the_same_chat() -> None:
    trace = named("long_gemini_H-MODEL")
    assert len(of(trace, "message")) == 5
    assert len(trace.where("chat")) == 2
