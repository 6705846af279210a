"""Copilot's recordings become the traces that their lines, and the model's endpoint, describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import MS, RECORDINGS, Trace, attribute, play, recordings, requests, timestamp

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


@pytest.fixture(params=recordings("copilot"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "copilot").glob(f"**/{name}.timed.jsonl")
    return play(path)


def of(trace: Trace, type_: str) -> list[dict[str, Any]]:
    return [line for line in trace.lines if line["type"] == type_]


def chats(trace: Trace) -> list[ReadableSpan]:
    return sorted(trace.where("chat"), key=lambda span: span.start_time or 0)


def test_each_call_is_one_span_with_the_times_of_its_lines(trace: Trace) -> None:
    ends = {line["data"]["toolCallId"]: line for line in of(trace, "tool.execution_complete")}
    assert len(trace.where("execute_tool")) == len(of(trace, "tool.execution_start"))
    for start in of(trace, "tool.execution_start"):
        call = start["data"]["toolCallId"]
        span = trace.tool(call)
        assert span.name == f"execute_tool {start['data']['toolName']}"
        assert span.start_time == timestamp(start)
        assert span.end_time == (timestamp(ends[call]) if call in ends else trace.root.end_time)


def test_a_call_fails_by_itself_or_by_its_commands_status(trace: Trace) -> None:
    for line in of(trace, "tool.execution_complete"):
        span, data = trace.tool(line["data"]["toolCallId"]), line["data"]
        status = data.get("shellExecution", {}).get("exitCode")
        failed = not data["success"] or bool(status)
        assert (span.status.status_code is StatusCode.ERROR) == failed
        assert attribute(span, "process.exit.code") == status


def test_what_a_subagent_does_is_below_it(trace: Trace) -> None:
    started = {line["data"]["toolCallId"]: line for line in of(trace, "subagent.started")}
    agents = trace.where("invoke_agent")
    assert len(agents) == 1 + len(started)
    for line in of(trace, "tool.execution_start"):
        below = trace.parent(trace.tool(line["data"]["toolCallId"]))
        assert below is not None
        if parent := line["data"].get("parentToolCallId"):
            assert below.name == f"invoke_agent {started[parent]['data']['agentName']}"
            assert trace.parent(below) is trace.tool(parent)
        else:
            assert below is trace.root


@pytest.mark.parametrize(
    "name",
    ["copilot_ok", "copilot_subagent", "copilot_retry503", "copilot_err400",
     "copilot_tool_sigterm"],
)  # fmt: skip
def test_chats_are_the_requests_that_the_endpoint_saw(name: str) -> None:
    trace = named(name)
    found, asked = chats(trace), requests("copilot", name)
    assert len(found) == len(asked)
    for chat, request in zip(found, asked, strict=True):
        assert abs((chat.start_time or 0) - request.asked) < 50 * MS
        assert (chat.end_time or 0) >= (request.answered or request.asked) - MS
        assert (chat.status.status_code is StatusCode.ERROR) == (request.answered is None)
        assert attribute(chat, "gen_ai.request.model") == "fake-model"
        owner = trace.parent(chat)
        assert owner is not None
        assert (owner is trace.root) == (not str(request.marker).startswith("SUB"))


def test_the_last_line_names_the_session_and_says_how_it_ended(trace: Trace) -> None:
    (result,) = of(trace, "result") or [{"sessionId": None, "exitCode": None}]
    assert attribute(trace.root, "gen_ai.conversation.id") == result["sessionId"]
    words = {0: "completed", 1: "failed", None: "unknown"}
    assert attribute(trace.root, "untether.session.outcome") == words[result["exitCode"]]


@pytest.mark.parametrize(
    ("name", "why", "retries"),
    [("copilot_dead", "disconnected", 5), ("copilot_err400", "invalid_request", 0)],
)
def test_a_session_fails_for_what_was_said_not_for_its_status(
    name: str, why: str, retries: int
) -> None:
    trace = named(name)
    assert attribute(trace.root, "error.type") == attribute(chats(trace)[-1], "error.type") == why
    assert trace.events.count("untether.agent.retry") == retries


def test_no_tokens_are_printed_and_none_invented(trace: Trace) -> None:
    for span in (trace.root, *chats(trace)):
        assert not [name for name in span.attributes or {} if name.startswith("gen_ai.usage")]
