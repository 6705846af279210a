"""OpenCode's recordings become the traces that their lines, and the model's endpoint, describe."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from otel_untether import Recorder, RunInfo

from .traces import MS, RECORDINGS, Trace, attribute, play, recordings, requests


@pytest.fixture(params=recordings("opencode"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "opencode").glob(f"**/{name}.timed.jsonl")
    return play(path)


def parts(trace: Trace, type_: str) -> list[dict[str, Any]]:
    return [line["part"] for line in trace.lines if line["type"] == type_]


def test_each_tool_is_one_span_with_its_own_times(trace: Trace) -> None:
    spans = trace.where("execute_tool")
    assert len(spans) == len(parts(trace, "tool_use"))
    for part in parts(trace, "tool_use"):
        span, time = trace.tool(part["callID"]), part["state"]["time"]
        assert span.name == f"execute_tool {part['tool']}"
        assert (span.start_time, span.end_time) == (time["start"] * MS, time["end"] * MS)
        assert trace.parent(span) is trace.root


def test_a_tool_that_failed_or_exited_with_a_status_is_an_error(trace: Trace) -> None:
    for part in parts(trace, "tool_use"):
        span, state = trace.tool(part["callID"]), part["state"]
        exit_code = state.get("metadata", {}).get("exit")
        failed = state["status"] == "error" or bool(exit_code)
        assert (span.status.status_code is StatusCode.ERROR) == failed
        assert attribute(span, "process.exit.code") == exit_code


def test_each_step_is_one_chat(trace: Trace) -> None:
    steps = {part["messageID"] for part in parts(trace, "step_start")}
    assert len(trace.where("chat")) == len(steps)


def test_tokens_are_what_all_steps_took_and_cached_ones_are_input_once(trace: Trace) -> None:
    tokens = [part["tokens"] for part in parts(trace, "step_finish")]
    if not tokens:
        assert attribute(trace.root, "gen_ai.usage.input_tokens") is None
        return
    cached = sum(t["cache"]["read"] for t in tokens)
    assert attribute(trace.root, "gen_ai.usage.cache_read.input_tokens") == cached
    total = sum(t["total"] for t in tokens)
    output = attribute(trace.root, "gen_ai.usage.output_tokens")
    assert output == sum(t["output"] + t["reasoning"] for t in tokens)
    assert attribute(trace.root, "gen_ai.usage.input_tokens") == total - int(str(output))


def test_the_cost_is_the_sum_of_the_steps(trace: Trace) -> None:
    costs = [part["cost"] for part in parts(trace, "step_finish")]
    expected = sum(costs) if costs else None
    assert attribute(trace.root, "untether.session.cost_usd") == expected


@pytest.mark.parametrize(
    "name",
    ["opencode_ok", "opencode_retry503", "opencode_subagent", "opencode_dead",
     "opencode_tool_sigterm"],
)  # fmt: skip
def test_chats_are_the_requests_that_the_endpoint_answered(name: str) -> None:
    chats = sorted(named(name).where("chat"), key=lambda span: span.start_time or 0)
    main = [
        r for r in requests("opencode", name) if r.answered and not str(r.marker).startswith("SUB")
    ]
    assert len(chats) == len(main)
    for chat, request in zip(chats, main, strict=True):
        assert (chat.start_time or 0) <= request.asked
        assert (chat.end_time or 0) >= (request.answered or 0) - MS
    for before, after in pairwise(chats):
        assert (before.end_time or 0) <= (after.start_time or 0)


def test_a_chat_after_tools_begins_when_the_last_of_them_ended() -> None:
    trace = named("opencode_ok")
    ends = sorted(span.end_time or 0 for span in trace.where("execute_tool"))
    starts = sorted(span.start_time or 0 for span in trace.where("chat"))
    assert set(starts[1:]) <= set(ends)


def test_a_subagent_is_an_agent_below_its_call() -> None:
    trace = named("opencode_subagent")
    (task,) = [part for part in parts(trace, "tool_use") if part["tool"] == "task"]
    (agent,) = [span for span in trace.spans if span.name == "invoke_agent general"]
    call = trace.tool(task["callID"])
    assert trace.parent(agent) is call
    assert (agent.start_time, agent.end_time) == (call.start_time, call.end_time)
    assert agent.status.status_code is not StatusCode.ERROR


def test_an_endpoint_that_dies_fails_the_session_and_the_chat_it_left() -> None:
    trace = named("opencode_dead")
    assert attribute(trace.root, "untether.session.outcome") == "failed"
    assert attribute(trace.root, "error.type") == "disconnected"
    *_, last = sorted(trace.where("chat"), key=lambda span: span.start_time or 0)
    assert attribute(last, "error.type") == "disconnected"
    assert last.end_time == max(line["timestamp"] for line in trace.lines) * MS


def test_a_request_that_is_silently_repeated_is_still_one_chat() -> None:
    trace = named("long_opencode_H-MODEL")
    assert len(parts(trace, "step_start")) == 4
    assert len(trace.where("chat")) == 2


def test_a_session_that_ends_between_two_steps_has_no_result() -> None:
    """It exits with 0 all the same."""
    whole = named("opencode_retry503")
    until = [line["type"] for line in whole.lines].index("step_finish") + 1
    lines = [json.dumps(line).encode() for line in whole.lines]
    for cut, expected in ((until, ("failed", "no_result")), (len(lines), ("completed", None))):
        session = Recorder(RunInfo("run", 1))
        for line in lines[:cut]:
            session.feed(line + b"\n", whole.lines[-1]["timestamp"] * MS)
        assert session.finish(0).outcome == expected


def test_the_session_is_known_from_its_first_line(trace: Trace) -> None:
    assert attribute(trace.root, "gen_ai.conversation.id") == trace.lines[0]["sessionID"]
