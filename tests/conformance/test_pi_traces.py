"""Pi's recordings become the traces that their lines, and the model's endpoint, describe."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import MS, RECORDINGS, Trace, attribute, play, recordings, requests

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

ALL = recordings("pi")


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    return play(file(name))


def file(name: str) -> Path:
    (path,) = (RECORDINGS / "pi").glob(f"**/{name}.timed.jsonl")
    return path


def of(trace: Trace, type_: str) -> list[dict[str, Any]]:
    return [line for line in trace.lines if line["type"] == type_]


def answers(trace: Trace) -> list[dict[str, Any]]:
    messages = [line["message"] for line in of(trace, "message_end")]
    return [message for message in messages if message["role"] == "assistant"]


def chats(trace: Trace) -> list[ReadableSpan]:
    return sorted(trace.where("chat"), key=lambda span: span.start_time or 0)


def test_each_tool_is_one_span_that_failed_if_its_end_says_so(trace: Trace) -> None:
    ends = {line["toolCallId"]: line for line in of(trace, "tool_execution_end")}
    assert len(trace.where("execute_tool")) == len(of(trace, "tool_execution_start"))
    for start in of(trace, "tool_execution_start"):
        span = trace.tool(start["toolCallId"])
        assert span.name == f"execute_tool {start['toolName']}"
        assert trace.parent(span) is trace.root
        if end := ends.get(start["toolCallId"]):
            said = re.search(r"exited with code (\d+)", json.dumps(end["result"]))
            assert (span.status.status_code is StatusCode.ERROR) == end["isError"]
            assert attribute(span, "process.exit.code") == (int(said[1]) if said else None)
        else:
            assert span.end_time == trace.root.end_time


def test_parallel_tools_end_when_their_own_ends_arrive() -> None:
    entries = [json.loads(line) for line in file("pi_ok").read_text().splitlines()]
    arrived = {}
    for entry in entries:
        line = json.loads(entry.get("line", "{}"))
        if line.get("type", "").startswith("tool_execution_"):
            arrived[line["toolCallId"], line["type"]] = round(entry["t"] * 10**6) * 1000
    trace = named("pi_ok")
    for start in of(trace, "tool_execution_start"):
        key, span = start["toolCallId"], trace.tool(start["toolCallId"])
        assert span.start_time == arrived[key, "tool_execution_start"]
        assert span.end_time == arrived[key, "tool_execution_end"]


def test_each_answer_is_one_chat_with_its_tokens_reason_and_error(trace: Trace) -> None:
    found = chats(trace)[: len(answers(trace))]
    begun = [x for x in of(trace, "message_start") if x["message"]["role"] == "assistant"]
    assert len(chats(trace)) == len(begun)
    for chat, answer in zip(found, answers(trace), strict=True):
        used = answer["usage"]
        total = used["input"] + used["cacheRead"] + used["cacheWrite"]
        assert attribute(chat, "gen_ai.usage.input_tokens") == (total or None)
        assert attribute(chat, "gen_ai.usage.output_tokens") == (used["output"] or None)
        assert attribute(chat, "gen_ai.request.model") == "fake-model" or answer["errorMessage"]
        assert (chat.status.status_code is StatusCode.ERROR) == (answer["stopReason"] == "error")


def test_the_session_used_what_its_answers_used(trace: Trace) -> None:
    used = [answer["usage"] for answer in answers(trace)]
    total = sum(u["input"] + u["cacheRead"] + u["cacheWrite"] for u in used)
    assert attribute(trace.root, "gen_ai.usage.input_tokens") == (total or None)
    output = sum(u["output"] for u in used)
    assert attribute(trace.root, "gen_ai.usage.output_tokens") == (output or None)


def test_the_session_costs_what_its_answers_cost(trace: Trace) -> None:
    costs = [answer["usage"]["cost"]["total"] for answer in answers(trace)]
    cost = attribute(trace.root, "untether.session.cost_usd")
    if any(costs):
        assert cost == pytest.approx(sum(costs))
    else:
        assert cost is None


@pytest.mark.parametrize("name", ["pi_ok", "pi_retry503", "pi_err400", "pi_tool_sigterm"])
def test_chats_are_the_requests_that_the_endpoint_saw(name: str) -> None:
    found, asked = chats(named(name)), requests("pi", name)
    assert len(found) == len(asked)
    for chat, request in zip(found, asked, strict=True):
        assert abs((chat.start_time or 0) - request.asked) < 100 * MS
        assert (chat.end_time or 0) >= (request.answered or request.asked) - MS
        assert (chat.status.status_code is StatusCode.ERROR) == (request.answered is None)


@pytest.mark.parametrize(
    ("name", "why", "retries"),
    [("pi_err400", "invalid_request", 3), ("pi_dead", "disconnected", 3)],
)
def test_a_failure_that_the_exit_status_hides_is_a_failure(
    name: str, why: str, retries: int
) -> None:
    trace = named(name)
    assert attribute(trace.root, "untether.session.outcome") == "failed"
    assert attribute(trace.root, "error.type") == why
    assert trace.events.count("untether.agent.retry") == retries


def test_a_request_that_succeeds_at_last_is_no_failure() -> None:
    trace = named("pi_retry503")
    assert attribute(trace.root, "untether.session.outcome") == "completed"
    assert trace.events.count("untether.agent.retry") == 2
    assert [attribute(chat, "error.type") for chat in chats(trace)] == [
        "overloaded", "overloaded", None, None,
    ]  # fmt: skip
