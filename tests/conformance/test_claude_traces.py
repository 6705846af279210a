"""Claude's recordings become the traces that their lines describe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from .traces import RECORDINGS, Trace, attribute, play, recordings, timestamp


@pytest.fixture(params=recordings("claude"), ids=lambda path: path.stem)
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def named(name: str) -> Trace:
    (path,) = (RECORDINGS / "claude").glob(f"**/{name}.jsonl")
    return play(path)


def blocks(trace: Trace, kind: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (line, block) for each content block of a kind."""
    for line in trace.lines:
        message = line.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if block["type"] == kind:
                yield line, block


def results(trace: Trace) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {b["tool_use_id"]: (line, b) for line, b in blocks(trace, "tool_result")}


def notified(trace: Trace, key: str) -> dict[str, Any] | None:
    """The notification that came after a call's result: the call went on in the background."""
    answered = False
    for line in trace.lines:
        message = line.get("message")
        if isinstance(message, dict) and key in json.dumps(message) and line["type"] == "user":
            answered = True
        elif answered and line.get("subtype") == "task_notification" and line["tool_use_id"] == key:
            return line
    return None


def test_each_call_is_one_span(trace: Trace) -> None:
    called = {block["id"]: block["name"] for _, block in blocks(trace, "tool_use")}
    spans = {str(attribute(s, "gen_ai.tool.call.id")): s for s in trace.where("execute_tool")}
    assert {key: attribute(s, "gen_ai.tool.name") for key, s in spans.items()} == called
    assert len(spans) == len(trace.where("execute_tool"))


def test_a_call_starts_when_its_line_says(trace: Trace) -> None:
    for line, block in blocks(trace, "tool_use"):
        assert trace.tool(block["id"]).start_time == timestamp(line)


def test_a_call_ends_when_its_result_says_unless_it_went_on(trace: Trace) -> None:
    for key, (line, _) in results(trace).items():
        end = trace.tool(key).end_time
        if notified(trace, key) is not None:
            assert end is not None
            assert end > (timestamp(line) or 0)
        else:
            assert end == timestamp(line)


def test_a_call_failed_if_its_result_says_so(trace: Trace) -> None:
    for key, (_, block) in results(trace).items():
        span = trace.tool(key)
        note = notified(trace, key)
        failed = block.get("is_error") or (note is not None and note["status"] != "completed")
        assert (span.status.status_code is StatusCode.ERROR) == bool(failed)
        code = re.match(r"Exit code (\d+)", str(block["content"]))
        if code:
            assert attribute(span, "process.exit.code") == int(code[1])
            assert attribute(span, "error.type") == code[1]


def test_nested_calls_lie_under_the_agent_that_made_them(trace: Trace) -> None:
    turns = [span for span in trace.spans if span.name.startswith("turn ")]
    for line, block in blocks(trace, "tool_use"):
        parent = trace.parent(trace.tool(block["id"]))
        if line["parent_tool_use_id"] is None:
            assert parent is trace.root or parent in turns
            continue
        assert parent is not None
        assert attribute(parent, "gen_ai.operation.name") == "invoke_agent"
        assert trace.parent(parent) is trace.tool(line["parent_tool_use_id"])


def test_each_run_of_a_subagent_is_one_span_and_the_first_lies_under_its_call(
    trace: Trace,
) -> None:
    """Background work that an agent left can wake it after its call is over: a run of its own."""
    started = [line for line in trace.lines if line.get("task_type") == "local_agent"]
    for line in started:
        runs = trace.where("invoke_agent", gen_ai__agent__id=line["task_id"])
        assert {run.name for run in runs} == {f"invoke_agent {line['subagent_type']}"}
        first = min(runs, key=lambda run: run.start_time or 0)
        assert trace.parent(first) is trace.tool(line["tool_use_id"])
    assert len(trace.where("invoke_agent")) == 1 + len(started)


def test_each_message_is_one_chat(trace: Trace) -> None:
    said = {
        line["message"]["id"]: line["message"]["model"]
        for line in trace.lines
        if line["type"] == "assistant" and line["message"]["model"] != "<synthetic>"
    }
    chats = [s for s in trace.where("chat") if s.status.status_code is not StatusCode.ERROR]
    assert {attribute(s, "gen_ai.response.id"): s.name for s in chats} == {
        key: f"chat {model}" for key, model in said.items()
    }
    assert len(chats) == len(said)


def test_usage_and_cost_are_what_was_added_to_the_totals(trace: Trace) -> None:
    """By this process: a session that is resumed goes on from those of its past."""
    printed = [line for line in trace.lines if line["type"] == "result"]
    if not printed:
        assert attribute(trace.root, "untether.session.cost_usd") is None
        return
    news = [line.get("model_usage_since_last_result") for line in printed]
    told = [models for models in news if models is not None] or [printed[-1]["modelUsage"]]
    models = [model for models in told for model in models.values()]
    read = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    assert attribute(trace.root, "gen_ai.usage.input_tokens") == sum(
        model[key] for model in models for key in read
    )
    assert attribute(trace.root, "gen_ai.usage.output_tokens") == sum(
        model["outputTokens"] for model in models
    )
    cost = sum(model["costUSD"] for model in models)
    assert attribute(trace.root, "untether.session.cost_usd") == pytest.approx(cost)


def test_the_root_knows_the_session_and_how_it_ended(trace: Trace) -> None:
    assert attribute(trace.root, "gen_ai.conversation.id") == next(
        line["session_id"] for line in trace.lines if "session_id" in line
    )
    printed = [line for line in trace.lines if line["type"] == "result"]
    outcome = attribute(trace.root, "untether.session.outcome")
    if not printed:
        assert outcome == "unknown"
    else:
        assert outcome == ("failed" if printed[-1]["is_error"] else "completed")


def test_retries_are_events() -> None:
    trace = named("claude_429")
    assert [e.name for e in trace.root.events].count("untether.agent.retry") == 2
    assert trace.events.count("untether.agent.retry") == 2


def test_denied_calls_say_so() -> None:
    denied = named("claude_deny").where("execute_tool")
    assert [attribute(s, "untether.tool.denied") for s in denied] == [True, True]
    assert {attribute(s, "error.type") for s in denied} == {"permission_denied"}


def test_hooks_are_waits() -> None:
    trace = named("claude_hooks")
    started = [line for line in trace.lines if line.get("subtype") == "hook_started"]
    waits = [s for s in trace.spans if s.name == "untether.wait hook"]
    assert len(waits) == len(started) > 0


def test_final_tokens_are_known_where_messages_are_streamed() -> None:
    """Only partial messages carry the real output count; elsewhere it is a placeholder."""
    (chat,) = named("claude_partial").where("chat")
    assert attribute(chat, "gen_ai.usage.output_tokens") == 20
    assert attribute(named("claude_429").where("chat")[0], "gen_ai.usage.output_tokens") is None


def test_a_failed_request_is_a_failed_chat() -> None:
    trace = named("claude_400")
    (chat,) = trace.where("chat")
    assert chat.status.status_code is StatusCode.ERROR
    assert attribute(trace.root, "untether.session.outcome") == "failed"


def test_a_second_prompt_is_a_turn_though_no_command_line_told_of_it() -> None:
    """The prompts came on stdin, which nobody saw; each has its result."""
    trace = named("claude_multiturn.timed")
    results = [line for line in trace.lines if line["type"] == "result"]
    turns = [span for span in trace.spans if span.name.startswith("turn ")]
    assert sorted(span.name for span in turns) == [f"turn {n}" for n in range(1, len(results) + 1)]
    assert attribute(trace.root, "untether.session.turns") == len(results)


def test_a_resumed_session_shows_it() -> None:
    assert attribute(named("claude_resume.timed").root, "untether.session.resumed") is True
    assert attribute(named("claude_ok").root, "untether.session.resumed") is None


def test_what_a_subagent_did_lasted_also_where_its_lines_came_in_one_burst() -> None:
    """With partial messages the CLI holds lines back; what says when it happened is right."""
    trace = named("claude_ok_partial.timed")
    begun = {b["id"]: timestamp(line) for line, b in blocks(trace, "tool_use")}
    for key, (line, _) in results(trace).items():
        if notified(trace, key) is None:
            span = trace.tool(key)
            assert (span.start_time, span.end_time) == (begun[key], timestamp(line))
    assert not trace.recorder.state.oddities


def test_waits_say_whom_they_wait_for() -> None:
    hooks = [s for s in named("claude_hooks").spans if s.name == "untether.wait hook"]
    assert {attribute(s, "untether.wait.about") for s in hooks} == {
        "SessionStart:startup", "PreToolUse:Bash", "PostToolUse:Bash", "Stop",
    }  # fmt: skip
    (host,) = [s for s in named("claude_sdk_hook").spans if s.name == "untether.wait host"]
    assert attribute(host, "untether.wait.about") == "PreToolUse"
