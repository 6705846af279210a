"""The traps of Claude Code's stream, one by one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines.claude import stream as claude
from otel_untether.session import events as ev

AT = 1_000_000_000_000


def decode(**line: Any) -> tuple[ev.Event, ...]:
    return claude.decode(json.dumps(line).encode(), AT)


def one(**line: Any) -> Any:
    (event,) = decode(**line)
    return event


def system(subtype: str, **members: Any) -> tuple[ev.Event, ...]:
    return decode(type="system", subtype=subtype, session_id="s", **members)


def call(name: str = "Bash", tool_input: Any = None, **block: Any) -> tuple[ev.Event, ...]:
    block = {"type": "tool_use", "id": "t1", "name": name, "input": tool_input or {}, **block}
    message = {"id": "m", "model": "x", "content": [block], "stop_reason": None}
    return decode(type="assistant", message=message)[1:]


def result(content: Any = "ok", structured: Any = None, **extra: Any) -> Any:
    line_extra = {
        k: extra.pop(k) for k in ("tool_result_meta", "parent_tool_use_id") & extra.keys()
    }
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content, **extra}
    message = {"role": "user", "content": [block]}
    found = decode(type="user", message=message, tool_use_result=structured, **line_extra)
    return found[-1]


def test_the_type_may_come_last() -> None:
    line = b'{"total_cost_usd":3,"is_error":false,"subtype":"success","type":"result"}'
    (event,) = claude.decode(line, AT)
    assert isinstance(event, ev.TurnFinished)
    assert (event.session_cost_usd, event.error) == (3, None)


def test_init_starts_a_session_and_a_turn_each_time() -> None:
    started, turn = system(
        "init",
        model="opus",
        claude_code_version="2.1.330",
        tools=["Bash"],
        mcp_servers=[{"name": "a", "status": "connected"}, {"name": "b"}, {"status": "failed"}],
    )
    assert isinstance(started, ev.SessionStarted)
    assert (started.session_id, started.model, started.version) == ("s", "opus", "2.1.330")
    assert started.mcp_servers == (ev.McpServer("a", "connected"), ev.McpServer("b"))
    assert isinstance(turn, ev.TurnStarted)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"is_error": False, "subtype": "success", "terminal_reason": "completed"}, None),
        ({"subtype": "success"}, None),
        ({"is_error": True, "subtype": "success"}, "error"),
        ({"is_error": True, "subtype": "success", "terminal_reason": "completed"}, "error"),
        (
            {"is_error": True, "subtype": "success", "terminal_reason": "prompt_too_long"},
            "prompt_too_long",
        ),
        (
            {
                "is_error": True,
                "subtype": "success",
                "terminal_reason": "api_error",
                "api_error_type": "overloaded_error",
            },
            "overloaded_error",
        ),
        ({"is_error": True, "terminal_reason": "api_error"}, "api_error"),
        ({"subtype": "error_max_turns"}, "error_max_turns"),
        ({"is_error": True, "terminal_reason": "rm -rf /home/x"}, "error"),
    ],
)
def test_a_turns_error_is_one_low_cardinality_word(
    members: dict[str, Any], error: str | None
) -> None:
    assert one(type="result", **members).error == error


def test_an_aborted_turn_was_interrupted() -> None:
    event = one(
        type="result",
        is_error=True,
        subtype="error_during_execution",
        terminal_reason="aborted_tools",
    )
    assert (event.interrupted, event.error) == (True, "aborted_tools")


def test_a_turn_woken_by_a_task_says_so() -> None:
    assert one(type="result", origin={"kind": "task-notification"}).woken
    assert not one(type="result").woken


def test_session_usage_is_the_sum_over_models() -> None:
    event = one(
        type="result",
        modelUsage={
            "a": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 4},
            "b": {"inputTokens": 8, "outputTokens": 16, "cacheCreationInputTokens": 32},
        },
    )
    assert event.session_usage == ev.Usage(input=45, output=18, cache_read=4, cache_write=32)


def test_unknown_usage_is_not_zero() -> None:
    event = one(type="result", usage={"cache_read_input_tokens": 3}, modelUsage={})
    assert event.usage == ev.Usage(cache_read=3)
    assert event.session_usage is None
    assert event.session_cost_usd is None


def test_the_output_count_of_an_unfinished_message_is_a_placeholder() -> None:
    message = {"id": "m", "usage": {"input_tokens": 5, "output_tokens": 1}, "stop_reason": None}
    event = one(type="assistant", message=message)
    assert event.usage == ev.Usage(input=5)
    done = one(type="assistant", message={**message, "stop_reason": "end_turn"})
    assert (done.usage, done.complete) == (ev.Usage(input=5, output=1), True)
    assert done.finish_reason == "end_turn"


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ({"error": "rate_limit"}, "rate_limit"),
        ({"error": "HTTP 500 at /v1", "api_error_type": "api_error"}, "api_error"),
        ({"is_api_error_message": True}, "api_error"),
        ({}, "synthetic"),
    ],
)
def test_a_message_the_cli_wrote_itself_is_a_failed_request(
    extra: dict[str, Any], error: str
) -> None:
    event = one(type="assistant", message={"id": "m", "model": "<synthetic>"}, **extra)
    assert (event.error, event.model, event.complete) == (error, None, True)


def test_a_message_that_stands_for_no_answer_is_none() -> None:
    content = [{"type": "text", "text": "No response requested."}]
    message = {"id": "m", "model": "<synthetic>", "content": content}
    assert decode(type="assistant", message=message) == ()


def test_several_calls_in_one_line_are_several_calls() -> None:
    blocks = [{"type": "tool_use", "id": f"t{n}", "name": "Read", "input": {}} for n in range(3)]
    found = decode(type="assistant", message={"id": "m", "content": blocks})
    assert [e.id for e in found if isinstance(e, ev.ToolStarted)] == ["t0", "t1", "t2"]


def test_one_bad_block_does_not_lose_the_others() -> None:
    good = {"type": "tool_use", "id": "t1", "name": "Read", "input": {}}
    for bad in ({**good, "id": 7}, {"type": "tool_use", "name": "Read"}, 7, None, [good]):
        found = decode(type="assistant", message={"id": "m", "content": [bad, good]})
        assert [e.id for e in found if isinstance(e, ev.ToolStarted)] == ["t1"]
        assert [e.reason for e in found if isinstance(e, ev.StrayLine)] == ["bad_shape"]


def test_a_call_without_a_name_is_a_call_all_the_same() -> None:
    block: dict[str, Any] = {"type": "tool_use", "id": "t1", "name": None, "input": {}}
    found = decode(type="assistant", message={"id": "m", "content": [block]})
    assert [e.name for e in found if isinstance(e, ev.ToolStarted)] == ["unknown"]


@pytest.mark.parametrize("name", ["Agent", "Task"])
def test_a_subagents_call_names_its_type(name: str) -> None:
    (event,) = call(name, {"subagent_type": "Explore", "run_in_background": False})
    assert isinstance(event, ev.ToolStarted)
    assert (event.subagent, event.background) == ("Explore", False)
    (event,) = call(name)
    assert isinstance(event, ev.ToolStarted)
    assert (event.subagent, event.background) == ("general-purpose", None)


@pytest.mark.parametrize(
    ("name", "server"),
    [("mcp__demo__add", "demo"), ("mcp__a_b__c__d", "a_b"), ("mcp__odd", "odd")],
)
def test_an_mcp_tool_names_its_server(name: str, server: str) -> None:
    (event,) = call(name)
    assert isinstance(event, ev.ToolStarted)
    assert (event.type, event.mcp_server) == ("extension", server)


@pytest.mark.parametrize(
    ("tool_input", "seconds"),
    [
        ({"timeout": 90_000}, 90.0),
        ({"timeout": "90000"}, None),
        ({"timeout": -1}, None),
        ({}, None),
    ],
)
def test_a_commands_own_limit_is_in_seconds(
    tool_input: dict[str, Any], seconds: float | None
) -> None:
    """And the model's mistakes in it are not the line's."""
    (event,) = call("Bash", tool_input)
    assert isinstance(event, ev.ToolStarted)
    assert event.timeout == seconds


def test_the_apis_own_tools_start_and_end_in_assistant_lines() -> None:
    use = {"type": "server_tool_use", "id": "w", "name": "web_search", "input": {"query": "x"}}
    failure = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    end = {"type": "web_search_tool_result", "tool_use_id": "w", "content": failure}
    _, started, finished = decode(type="assistant", message={"id": "m", "content": [use, end]})
    assert isinstance(started, ev.ToolStarted)
    assert isinstance(finished, ev.ToolFinished)
    assert (started.type, finished.id, finished.error) == ("extension", "w", "tool_error")


def test_a_wakeup_is_a_wait_until_its_time() -> None:
    for asked, given in ((90, 90), (7200, 3600)):
        _, wait = call("ScheduleWakeup", {"delaySeconds": asked})
        assert isinstance(wait, ev.WaitBegan)
        assert (wait.kind, wait.tool_id, wait.until) == ("scheduled", "t1", AT + given * 10**9)
    _, unknown = call("ScheduleWakeup", {"delaySeconds": 0})
    assert isinstance(unknown, ev.WaitBegan)
    assert unknown.until is None
    assert len(call("ScheduleWakeup", {"stop": True})) == 1


def test_the_result_of_a_wakeup_says_when_it_really_comes() -> None:
    """The CLI brings it to a whole minute of its own choosing."""
    block = {"type": "tool_result", "tool_use_id": "t1", "content": "Next wakeup …"}
    structured = {"scheduledFor": 1_795_383_420_000, "clampedDelaySeconds": 61}
    wait, _ = decode(type="user", message={"content": [block]}, tool_use_result=structured)
    assert isinstance(wait, ev.WaitBegan)
    assert (wait.id, wait.kind, wait.until) == ("t1", "scheduled", 1_795_383_420 * 10**9)


def test_a_monitor_is_a_wait_until_its_timeout() -> None:
    _, wait = call("Monitor", {"timeout_ms": 5_000})
    assert isinstance(wait, ev.WaitBegan)
    assert wait.until == AT + 5 * 10**9
    _, wait = call("Monitor", {"timeout_ms": 5_000, "persistent": True})
    assert isinstance(wait, ev.WaitBegan)
    assert wait.until is None


def test_an_absent_is_error_means_success() -> None:
    assert result().error is None


def test_a_failed_command_gives_its_exit_code() -> None:
    event = result("Exit code 3\noops", is_error=True)
    assert (event.error, event.exit_code) == ("3", 3)
    listed = result([{"type": "text", "text": "Exit code 137"}], is_error=True)
    assert (listed.error, listed.exit_code) == ("137", 137)


def test_output_that_speaks_of_an_exit_code_has_none() -> None:
    assert result("log: Exit code 3", is_error=True).exit_code is None
    assert result("Exit code 3", is_error=False).exit_code is None


def test_a_command_that_took_too_long_timed_out() -> None:
    event = result("Exit code 143\nCommand timed out after 2m 0.0s", is_error=True)
    assert (event.error, event.exit_code) == ("timeout", 143)


@pytest.mark.parametrize(
    ("structured", "code"),
    [
        ({"stdout": "", "stderr": "", "interrupted": False}, 0),
        ({"stdout": "", "interrupted": False, "returnCodeInterpretation": "No matches"}, None),
        ({"stdout": "", "interrupted": False, "backgroundTaskId": "b1"}, None),
        ({"type": "text", "file": {}}, None),
        ("a string", None),
        ([{"type": "text"}], None),
        (None, None),
        ({"stdout": "", "interrupted": "no"}, None),
    ],
)
def test_exit_code_zero_only_where_a_command_surely_ran(structured: Any, code: int | None) -> None:
    event = result("ok", structured)
    assert (event.error, event.exit_code) == (None, code)


def test_an_interrupted_command_failed() -> None:
    assert result("", {"stdout": "", "interrupted": True}).error == "interrupted"


@pytest.mark.parametrize(
    "meta",
    [
        {"permission_decision": {"decision": "reject"}},
        {"permission_decision": {"decision": "deny"}},
        {"non_execution_kind": "user-rejected"},
    ],
)
def test_a_refused_call_is_denied(meta: dict[str, Any]) -> None:
    event = result("no", is_error=True, tool_result_meta=[{"id": "t1", **meta}])
    assert (event.denied, event.error) == (True, "permission_denied")
    other = result("no", is_error=True, tool_result_meta=[{"id": "t2", **meta}])
    assert (other.denied, other.error) == (False, "tool_error")


def test_a_refusal_is_told_in_words_where_nothing_else_tells() -> None:
    text = "Claude requested permissions to write to /x, but you haven't granted it yet."
    assert result(text, is_error=True).denied


def test_a_launch_receipt_is_not_the_end_of_the_work() -> None:
    event = result("…", {"isAsync": True, "status": "async_launched", "agentId": "a1"})
    assert (event.detached, event.task_id) == (True, "a1")
    shell = result("…", {"stdout": "", "interrupted": False, "backgroundTaskId": "b1"})
    assert (shell.detached, shell.task_id) == (True, "b1")


def test_a_receipt_inside_a_subagent_is_known_by_its_words() -> None:
    """Lines of subagents have no structured result."""
    text = "Async agent launched successfully. (Internal.)\nagentId: a2 (internal ID)"
    event = result([{"type": "text", "text": text}], parent_tool_use_id="t0")
    assert (event.parent, event.detached, event.task_id) == ("t0", True, "a2")
    event = result("Command running in background with ID: b2. Output …")
    assert (event.detached, event.task_id) == (True, "b2")
    event = result(
        "Command did not complete within its 2s timeout and was moved to the background"
        " (ID: b3). Output …"
    )
    assert (event.detached, event.task_id) == (True, "b3")
    assert not result("log: Async agent launched successfully\nagentId: a2").detached


def test_a_foreground_agents_result_ends_its_task() -> None:
    structured = {
        "status": "completed",
        "agentId": "a1",
        "totalTokens": 1202,
        "totalToolUseCount": 2,
    }
    block = {"type": "tool_result", "tool_use_id": "t1", "content": "report"}
    task, tool = decode(type="user", message={"content": [block]}, tool_use_result=structured)
    assert isinstance(task, ev.TaskFinished)
    assert (task.id, task.tool_id, task.tokens, task.tool_uses) == ("a1", "t1", 1202, 2)
    assert isinstance(tool, ev.ToolFinished)
    assert not tool.detached


def test_two_results_in_a_line_leave_the_structured_one_to_nobody() -> None:
    blocks = [{"type": "tool_result", "tool_use_id": t, "content": "x"} for t in ("a", "b")]
    structured = {"stdout": "", "interrupted": False}
    found = decode(type="user", message={"content": blocks}, tool_use_result=structured)
    assert [e.exit_code for e in found if isinstance(e, ev.ToolFinished)] == [None, None]


def test_prompts_say_nothing() -> None:
    assert decode(type="user", message={"role": "user", "content": "hi"}, isReplay=True) == ()
    assert decode(type="user", message={"content": [{"type": "text", "text": "hi"}]}) == ()


def test_a_heartbeat_belongs_to_the_tool_it_calls_parent() -> None:
    event = one(
        type="tool_progress",
        tool_use_id="t1-heartbeat-0",
        parent_tool_use_id="t1",
        elapsed_time_seconds=30,
        heartbeat=True,
    )
    assert event == ev.ToolUpdated(at=AT, id="t1", elapsed=30.0, heartbeat=True)
    bare = one(type="tool_progress", tool_use_id="t1-heartbeat-3")
    assert bare.id == "t1"
    plain = one(type="tool_progress", tool_use_id="t2", parent_tool_use_id="agent")
    assert plain.id == "t2"


def test_tasks_are_agents_shells_or_the_engines_word() -> None:
    def kind(task_type: Any) -> Any:
        (event,) = system("task_started", task_id="x", task_type=task_type)
        return event.kind if isinstance(event, ev.TaskStarted) else event

    assert [kind(t) for t in ("local_agent", "remote_agent", "local_bash", "local_workflow")] == [
        "agent", "agent", "shell", "local_workflow",
    ]  # fmt: skip
    assert kind(None) == "task"


def test_a_deep_task_names_its_parent_and_depth() -> None:
    (event,) = system(
        "task_started", task_id="c", tool_use_id="t", spawn_depth=2, parent_task_id="p",
        subagent_type="Plan", is_backgrounded=True,
    )  # fmt: skip
    assert isinstance(event, ev.TaskStarted)
    assert (event.depth, event.parent_task, event.name) == (2, "p", "Plan")
    assert (event.tool_id, event.background) == ("t", True)


def test_an_update_to_a_final_status_is_not_yet_the_end() -> None:
    (event,) = system("task_updated", task_id="x", patch={"status": "completed"})
    assert isinstance(event, ev.TaskProgress)


@pytest.mark.parametrize(
    ("status", "summary", "error", "code"),
    [
        ("completed", 'Background command "x" completed (exit code 0)', None, 0),
        ("failed", 'Background command "x" failed with exit code 3', "failed", 3),
        ("stopped", "", "stopped", None),
        (None, "", "unknown", None),
    ],
)
def test_a_notification_ends_a_task(
    status: str | None, summary: str, error: str | None, code: int | None
) -> None:
    (event,) = system("task_notification", task_id="x", status=status, summary=summary)
    assert isinstance(event, ev.TaskFinished)
    assert (event.error, event.exit_code) == (error, code)


def test_an_agents_report_is_not_searched_for_exit_codes() -> None:
    (event,) = system(
        "task_notification",
        task_id="x",
        status="completed",
        summary="it ended with exit code 3",
        summary_is_report=True,
    )
    assert isinstance(event, ev.TaskFinished)
    assert event.exit_code is None


def test_an_approval_is_awaited_until_answered_or_withdrawn() -> None:
    request = {"subtype": "can_use_tool", "tool_name": "Bash", "tool_use_id": "t1", "input": {}}
    began = one(type="control_request", request_id="r1", request=request)
    assert (began.id, began.kind, began.tool_id, began.detail) == ("r1", "approval", "t1", "Bash")
    answer = {"subtype": "success", "request_id": "r1", "response": {"behavior": "allow"}}
    assert one(type="control_response", response=answer).answer == "allow"
    assert one(type="control_cancel_request", request_id="r1").answer == "cancelled"
    failed = {"subtype": "error", "request_id": "r1", "error": "x"}
    assert one(type="control_response", response=failed).answer == "error"


def test_questions_are_not_approvals() -> None:
    ask = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion"}
    for request in (ask, {"subtype": "elicitation"}, {"subtype": "request_user_dialog"}):
        assert one(type="control_request", request_id="r", request=request).kind == "question"


def test_a_host_that_runs_a_hook_is_waited_for() -> None:
    request = {
        "subtype": "hook_callback",
        "callback_id": "hook_0",
        "input": {"hook_event_name": "PreToolUse", "tool_name": "Bash"},
        "tool_use_id": "t1",
    }
    event = one(type="control_request", request_id="r", request=request)
    assert event == ev.WaitBegan(at=AT, id="r", kind="host", tool_id="t1", detail="PreToolUse")


@pytest.mark.parametrize(
    "request_",
    [
        {"subtype": "can_use_tool", "tool_name": "Bash", "agent_id": "a1"},
        {"subtype": "hook_callback", "input": {"hook_event_name": "Stop", "agent_id": "a1"}},
    ],
    ids=["leave", "a hook"],
)
def test_whose_subagent_asks_is_told(request_: dict[str, Any]) -> None:
    assert one(type="control_request", request_id="r", request=request_).parent_task == "a1"


def test_a_keep_alive_is_life_and_nothing_else() -> None:
    assert one(type="keep_alive") == ev.Heartbeat(at=AT)


def test_a_rejection_that_is_paid_for_says_so() -> None:
    info = {"status": "rejected", "resetsAt": 60, "isUsingOverage": True}
    event = one(type="rate_limit_event", rate_limit_info=info)
    assert event == ev.RateLimited(at=AT, status="rejected", resets_at=60, overage=True)


@pytest.mark.parametrize(
    ("request_", "about"),
    [
        ({"subtype": "mcp_message", "server_name": "calc"}, "mcp:calc"),
        ({"subtype": "hook_callback", "input": {"hook_event_name": "PreToolUse"}}, "PreToolUse"),
        ({"subtype": "something_new"}, "something_new"),
    ],
)
def test_whatever_else_the_cli_asks_is_a_wait_for_its_host(
    request_: dict[str, Any], about: str
) -> None:
    asked = {**request_, "tool_use_id": "t"}
    (event,) = decode(type="control_request", request_id="r", request=asked)
    assert event == ev.WaitBegan(at=AT, id="r", kind="host", tool_id="t", detail=about)


def test_a_call_that_was_interrupted_is_not_denied() -> None:
    """Claude calls both rejected; only of a denial somebody decided."""
    text = "The user doesn't want to proceed with this tool use. The tool use was rejected."
    decided = {"permission_decision": {"decision": "reject", "source": "user"}}
    for more, error in (({}, "interrupted"), (decided, "permission_denied")):
        meta = [{"id": "t", "non_execution_kind": "user-rejected", **more}]
        block = {"type": "tool_result", "tool_use_id": "t", "content": text, "is_error": True}
        (event,) = decode(type="user", message={"content": [block]}, tool_result_meta=meta)
        assert isinstance(event, ev.ToolFinished)
        assert (event.error, event.denied) == (error, error == "permission_denied")


def test_a_retry_keeps_its_delay_and_the_unknown_status_of_a_lost_connection() -> None:
    (event,) = system(
        "api_retry", attempt=2, max_retries=10, retry_delay_ms=1210, error_status=None,
        error="unknown",
    )  # fmt: skip
    assert event == ev.Retry(
        at=AT, attempt=2, max_attempts=10, delay=1.21, status=None, error="unknown"
    )


def test_a_rate_limit_is_a_snapshot() -> None:
    info = {"status": "rejected", "resetsAt": 1_795_330_000, "utilization": 1.0}
    event = one(type="rate_limit_event", rate_limit_info=info)
    assert (event.status, event.resets_at) == ("rejected", 1_795_330_000)


def test_compaction_begins_and_ends() -> None:
    (began,) = system("status", status="compacting")
    (failed,) = system("status", status=None, compact_result="failed", compact_error="too long")
    about = {"trigger": "auto", "pre_tokens": 180_000, "post_tokens": 20_000}
    (ended,) = system("compact_boundary", compact_metadata=about)
    assert isinstance(began, ev.Compaction)
    assert isinstance(failed, ev.Compaction)
    assert (began.phase, failed.phase, failed.error) == ("began", "ended", "failed")
    assert ended == ev.Compaction(
        at=AT, phase="ended", trigger="auto", tokens_before=180_000, tokens_after=20_000
    )
    assert system("status", status=None) == ()


def test_partial_messages_tell_the_final_output() -> None:
    def event(**members: Any) -> Any:
        return one(type="stream_event", event=members, api_message_id="m1", parent_tool_use_id="p")

    usage = {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 1}
    start = event(type="message_start", message={"id": "m1", "model": "x", "usage": usage})
    assert (start.id, start.model, start.parent, start.complete) == ("m1", "x", "p", False)
    assert start.usage == ev.Usage(input=12, cache_read=2)
    delta = event(
        type="message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 20}
    )
    assert (delta.id, delta.usage, delta.finish_reason) == ("m1", ev.Usage(output=20), "end_turn")
    assert event(type="message_stop").complete


def test_a_partial_message_is_not_complete_because_of_its_deltas() -> None:
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}}
    assert decode(type="stream_event", event=delta) == ()


def test_types_and_subtypes_nobody_knows_are_told() -> None:
    assert one(type="brand_new") == ev.StrayLine(at=AT, reason="unknown_type", detail="brand_new")
    assert system("brand_new")[0] == ev.StrayLine(
        at=AT, reason="unknown_type", detail="system/brand_new"
    )


def test_a_type_that_may_be_content_is_not_repeated() -> None:
    assert one(type="my secret /home/x").detail is None


@pytest.mark.parametrize("type_", ["prompt_suggestion", "auth_status"])
def test_known_lines_without_news_say_nothing(type_: str) -> None:
    assert decode(type=type_) == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Warning: no stdin data received", "not_json"),
        (b'{"type":"assistant","mess', "not_json"),
        (b"\x00\x00\x00", "not_json"),
        (b'{"a":' * 5000, "not_json"),
        (b'{"type":"user","x":' + b"[" * 5000 + b"]" * 5000 + b"}", "not_json"),
        (b"42", "bad_shape"),
        (b"[]", "bad_shape"),
        (b"{}", "bad_shape"),
        (b'{"type":7}', "bad_shape"),
        (b'{"type":"assistant"}', "bad_shape"),
        (b'{"type":"user"}', "bad_shape"),
        (b'{"type":"system"}', "bad_shape"),
        (b'{"type":"tool_progress"}', "bad_shape"),
        (b'{"type":"control_request"}', "bad_shape"),
        (b'{"type":"control_response"}', "bad_shape"),
        (b'{"type":"control_cancel_request"}', "bad_shape"),
        (b'{"type":"rate_limit_event"}', "bad_shape"),
        (b'{"type":"system","subtype":"task_started"}', "bad_shape"),
        (b'{"type":"system","subtype":"hook_started","hook_id":5}', "bad_shape"),
    ],
)
def test_lines_that_say_nothing_we_know_are_stray(line: bytes, reason: str) -> None:
    (event,) = claude.decode(line, AT)
    assert isinstance(event, ev.StrayLine)
    assert event.reason == reason


def test_blank_lines_are_not_stray() -> None:
    assert claude.decode(b"", AT) == claude.decode(b" \r\n", AT) == ()


@pytest.mark.parametrize("ugly", [b"\xff\xfe", b"\x00", b"\\ud83d", "\u2028".encode(), b"\x1b[0m"])
def test_ugly_text_does_not_cost_the_call_beside_it(ugly: bytes) -> None:
    """Invalid UTF-8, control characters, half an emoji."""
    line = (
        b'{"type":"assistant","message":{"id":"m","content":[{"type":"tool_use","id":"t",'
        b'"name":"Write","input":{"content":"' + ugly + b'"}}]}}'
    )
    found = [e for e in claude.decode(line, AT) if isinstance(e, ev.ToolStarted)]
    assert [e.id for e in found] == ["t"]


def test_names_cut_in_the_middle_of_a_character_can_be_written_out() -> None:
    line = b'{"type":"system","subtype":"init","session_id":"s\\ud83d","model":"\xff"}'
    started = claude.decode(line, AT)[0]
    assert isinstance(started, ev.SessionStarted)
    assert (started.session_id, started.model) == ("s?", "\ufffd")


def test_numbers_that_cannot_be_are_unknown() -> None:
    line = b'{"type":"result","usage":{"output_tokens":' + b"9" * 400 + b'},"total_cost_usd":-1}'
    found = claude.decode(line, AT)
    assert isinstance(found[0], ev.TurnFinished)
    assert (found[0].usage, found[0].session_cost_usd) == (ev.Usage(), None)
    assert isinstance(found[1], ev.StrayLine)


@pytest.mark.parametrize(
    "stamp", ["yesterday", "2026-11-22", "2026-11-22T05:52:25", "0001-01-01T00:00:00Z", 5, ""]
)
def test_a_bad_time_is_no_time(stamp: Any) -> None:
    event = decode(type="assistant", message={"id": "m"}, timestamp=stamp)[0]
    assert event.happened is None
