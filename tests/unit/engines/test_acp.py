"""The Agent Client Protocol, message by message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.acp.dialogue import AcpDialogue
from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Change, Opened
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState

OPTIONS = [
    {"optionId": "go", "name": "Go on", "kind": "allow_once"},
    {"optionId": "no", "name": "Do not", "kind": "reject_once"},
]


class Talk:
    """One process that serves ACP, a message a second; keeps what happened and the state."""

    def __init__(self) -> None:
        self.dialogue = AcpDialogue()
        self.state = SessionState("run", started=0)
        self.events: list[ev.Event] = []
        self.changes: list[Change] = []
        self.at = 0

    def agent(self, **message: Any) -> Talk:
        self.at += 10**9
        self.state.line(self.at)
        return self._take(self.dialogue.output(json.dumps(message).encode(), self.at))

    def client(self, **message: Any) -> Talk:
        self.at += 10**9
        return self._take(self.dialogue.input(json.dumps(message).encode(), self.at))

    def _take(self, events: tuple[ev.Event, ...]) -> Talk:
        self.events += events
        for event in events:
            self.changes += apply(self.state, event)
        return self

    def opened(self, kind: str) -> list[Activity]:
        """Return the activities of a kind that were begun, in order."""
        opened = [change.activity for change in self.changes if isinstance(change, Opened)]
        return [activity for activity in opened if activity.kind == kind]

    def update(self, sort: str, session: str = "s", **update: Any) -> Talk:
        params = {"sessionId": session, "update": {"sessionUpdate": sort, **update}}
        return self.agent(method="session/update", params=params)

    def prompt(self, number: int, session: str = "s") -> Talk:
        return self.client(id=number, method="session/prompt", params={"sessionId": session})

    def done(self, number: int, reason: str = "end_turn", **result: Any) -> Talk:
        return self.agent(id=number, result={"stopReason": reason, **result})

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]


def asked() -> Talk:
    """A call, for which the agent wants leave that nobody has given."""
    talk = Talk().prompt(1).update("tool_call", toolCallId="c", kind="execute", status="pending")
    call = {"toolCallId": "c", "title": "rm -rf /"}
    params = {"sessionId": "s", "toolCall": call, "options": OPTIONS}
    return talk.agent(id=0, method="session/request_permission", params=params)


class TestWaits:
    def test_a_request_for_permission_is_a_wait_for_its_call(self) -> None:
        (wait,) = asked().state.waits.values()
        assert (wait.kind, wait.tool_id) == ("approval", "c")

    @pytest.mark.parametrize(
        ("outcome", "answer"),
        [
            ({"outcome": "selected", "optionId": "go"}, "allow_once"),
            ({"outcome": "selected", "optionId": "no"}, "reject_once"),
            ({"outcome": "cancelled"}, "cancelled"),
        ],
    )
    def test_the_clients_answer_ends_it(self, outcome: dict[str, str], answer: str) -> None:
        talk = asked().client(id=0, result={"outcome": outcome})
        assert not talk.state.waits
        assert [end.answer for end in talk.of(ev.WaitEnded)] == [answer]

    def test_where_the_client_is_not_heard_the_calls_result_ends_it(self) -> None:
        talk = asked().update("tool_call_update", toolCallId="c", status="completed")
        assert not talk.state.waits

    def test_a_refused_call_is_denied(self) -> None:
        talk = asked().client(id=0, result={"outcome": {"outcome": "selected", "optionId": "no"}})
        talk.update("tool_call_update", toolCallId="c", status="failed")
        (end,) = talk.of(ev.ToolFinished)
        assert (end.denied, end.error) == (True, "permission_denied")

    def test_a_call_may_be_announced_by_the_question_whether_it_may_run(self) -> None:
        """Gemini CLI asks first, and says nothing more before the call is over."""
        params = {"sessionId": "s", "toolCall": {"toolCallId": "write_file__1", "kind": "edit"}}
        talk = Talk().prompt(1).agent(id=0, method="session/request_permission", params=params)
        assert [start.name for start in talk.of(ev.ToolStarted)] == ["write_file"]

    def test_what_else_is_asked_of_the_client_is_a_wait_for_its_host(self) -> None:
        talk = Talk().prompt(1).agent(id=7, method="terminal/wait_for_exit", params={})
        (wait,) = talk.state.waits.values()
        assert (wait.kind, wait.detail) == ("host", "terminal/wait_for_exit")
        assert not talk.client(id=7, error={"code": 1, "message": "no"}).state.waits

    def test_the_ids_of_both_sides_are_two_series(self) -> None:
        talk = asked().client(id=1, result={"outcome": {"outcome": "cancelled"}})
        assert talk.state.waits
        assert talk.done(1).state.turn_open is False


class TestTurns:
    def test_between_prompts_it_is_idle(self) -> None:
        talk = Talk().agent(id=0, result={"protocolVersion": 1, "agentInfo": {"version": "2"}})
        assert (talk.state.last_result_at, talk.state.model_asked_at) == (10**9, None)
        talk.prompt(1)
        assert (talk.state.last_result_at, talk.state.model_asked_at) == (None, 2 * 10**9)
        assert talk.done(1).state.last_result_at == 3 * 10**9

    @pytest.mark.parametrize(
        ("reason", "error"),
        [("end_turn", None), ("max_tokens", "max_tokens"), ("refusal", "refusal"),
         ("cancelled", "interrupted")],
    )  # fmt: skip
    def test_why_a_turn_stopped_is_its_error(self, reason: str, error: str | None) -> None:
        talk = Talk().prompt(1).done(1, reason)
        (end,) = talk.of(ev.TurnFinished)
        assert (end.error, talk.state.interrupted) == (error, reason == "cancelled")

    def test_an_error_in_answer_to_a_prompt_ends_its_turn(self) -> None:
        talk = Talk().prompt(1).agent(id=1, error={"code": -32603, "message": "429 Too many"})
        assert [end.error for end in talk.of(ev.TurnFinished)] == ["rate_limit"]

    def test_an_error_in_answer_to_another_request_ends_none(self) -> None:
        talk = Talk().prompt(1).client(id=2, method="session/set_mode", params={})
        talk.agent(id=2, error={"code": -32602, "message": "no such mode"})
        assert talk.state.turn_open

    def test_two_sessions_at_once_are_busy_until_both_are_done(self) -> None:
        talk = Talk().prompt(1, "a").prompt(2, "b").done(1)
        assert talk.state.turn_open
        assert talk.done(2).state.turn_open is False
        assert talk.state.turns == 2

    def test_what_is_told_while_a_session_is_loaded_is_its_past(self) -> None:
        talk = Talk().client(id=1, method="session/load", params={"sessionId": "s"})
        talk.update("user_message_chunk").update("tool_call", toolCallId="old", status="completed")
        talk.agent(id=1, result={})
        assert (talk.state.tools, talk.state.session_id) == (0, "s")
        talk.prompt(2).update("tool_call", toolCallId="new", kind="read", status="pending")
        assert talk.state.tools == 1

    def test_the_past_is_known_by_its_prompts_where_the_client_is_not_heard(self) -> None:
        talk = Talk().update("user_message_chunk").update("agent_message_chunk")
        assert (talk.state.turn_open, talk.of(ev.ModelMessage)) == (False, [])
        talk.agent(id=1, result={}).update("agent_message_chunk")
        assert talk.state.turn_open

    def test_what_it_does_without_a_prompt_leaves_it_idle(self) -> None:
        talk = Talk().prompt(1).done(1).update("agent_message_chunk")
        assert (talk.state.turn_open, talk.state.last_result_at) == (False, 3 * 10**9)

    def test_its_cost_is_the_sessions_so_far(self) -> None:
        talk = Talk()
        for number, amount in enumerate((0.25, 0.75)):
            cost = {"amount": amount, "currency": "USD"}
            talk.prompt(number).update("usage_update", cost=cost).done(number)
        assert talk.state.cost == 0.75

    def test_cost_in_another_currency_is_not_dollars(self) -> None:
        cost = {"amount": 3, "currency": "EUR"}
        assert Talk().prompt(1).update("usage_update", cost=cost).done(1).state.cost is None

    @pytest.mark.parametrize(("total", "told"), [(165, 150), (115, 100)])
    def test_cached_tokens_are_input_once(self, total: int, told: int) -> None:
        usage = {"inputTokens": 100, "outputTokens": 15, "cachedReadTokens": 50}
        talk = Talk().prompt(1).done(1, usage={**usage, "totalTokens": total})
        assert talk.state.usage.input == told


DELEGATES = {"agent_type": "task", "prompt": "count", "name": "count"}


def copilot(*calls: str, **arguments: str) -> Talk:
    """Copilot CLI, which has started a subagent by each of these calls."""
    talk = Talk().agent(id=0, result={"protocolVersion": 1, "agentInfo": {"name": "Copilot"}})
    talk.prompt(1)
    for call in calls:
        talk.update(
            "tool_call", toolCallId=call, kind="other", status="pending", title="count",
            rawInput={**DELEGATES, **arguments},
        )  # fmt: skip
    return talk


def below(talk: Talk, call: str, agent: str) -> Talk:
    """A call that some subagent makes."""
    meta = {"github.com/copilot": {"agentId": agent}}
    return talk.update("tool_call", toolCallId=call, kind="execute", status="pending", _meta=meta)


def watched() -> Talk:
    """As with `asked`, where nobody sees what the client says."""
    talk = Talk().update("tool_call", toolCallId="c", kind="execute", status="pending")
    params = {"sessionId": "s", "toolCall": {"toolCallId": "c"}, "options": OPTIONS}
    return talk.agent(id=0, method="session/request_permission", params=params)


class TestAnswersThatNobodySees:
    """OpenCode says that a call is in progress before leave was given, and after."""

    def test_that_a_call_is_in_progress_is_no_answer(self) -> None:
        talk = watched()
        talk.update("tool_call_update", toolCallId="c", kind="execute", status="in_progress")
        assert [wait.tool_id for wait in talk.state.waits.values()] == ["c"]

    def test_a_command_that_writes_was_given_leave(self) -> None:
        talk = watched()
        said = [{"type": "content", "content": {"type": "text", "text": "one"}}]
        update = {"toolCallId": "c", "kind": "execute", "status": "in_progress"}
        talk.update("tool_call_update", content=said, **update)
        assert not talk.state.waits
        assert not talk.dialogue._waits

    @pytest.mark.parametrize("content", [None, []])
    def test_one_that_writes_nothing_may_have_to_wait(self, content: object) -> None:
        talk = watched()
        update = {"toolCallId": "c", "kind": "execute", "status": "in_progress"}
        talk.update("tool_call_update", content=content, **update)
        assert talk.state.waits

    def test_a_subagent_that_acts_was_given_leave(self) -> None:
        talk = watched()
        apply(talk.state, ev.TaskStarted(at=talk.at, id="c/agent", kind="agent", tool_id="c"))
        assert talk.state.waits
        apply(talk.state, ev.ToolStarted(at=talk.at, id="d", name="bash", parent="c"))
        assert not talk.state.waits


class TestCopilotsSubagents:
    """Its calls say which subagent made them, and nowhere by which call that was started."""

    def test_a_call_that_names_a_kind_of_agent_starts_one(self) -> None:
        talk = copilot("a")
        assert [start.name for start in talk.of(ev.ToolStarted)] == ["task"]
        assert [(t.tool_id, t.name) for t in talk.of(ev.TaskStarted)] == [("a", "task")]

    def test_the_only_one_at_work_made_the_call(self) -> None:
        talk = below(copilot("a"), "b", "7f3a")
        assert talk.of(ev.ToolStarted)[-1].parent == "a"
        talk.update("tool_call_update", toolCallId="b", status="completed")
        assert talk.of(ev.ToolFinished)[-1].parent == "a"

    def test_of_several_none_is_guessed_at(self) -> None:
        talk = below(copilot("a", "b"), "c", "7f3a")
        start = talk.of(ev.ToolStarted)[-1]
        assert (start.parent, start.made_by) == (None, "7f3a")
        assert (talk.state.open["c"].parent or start) is talk.state.main.owner
        assert not talk.state.oddities  # nobody could do anything about it

    def test_once_its_files_have_told_whose_it_is_it_is_found(self) -> None:
        talk = copilot("a", "b")
        apply(talk.state, ev.TaskStarted(at=talk.at, id="7f3a", kind="agent", tool_id="b"))
        below(talk, "c", "7f3a")
        above = talk.state.open["c"].parent
        assert above is not None
        assert (above.kind, above.parent) == ("agent", talk.state.open["b"])
        assert not talk.state.oddities

    def test_what_was_found_out_stays_so_beside_others(self) -> None:
        talk = below(copilot("a"), "c", "7f3a")
        call: dict[str, Any] = {"toolCallId": "b", "kind": "other", "status": "pending"}
        talk.update("tool_call", rawInput=DELEGATES, **call)
        assert below(talk, "d", "7f3a").of(ev.ToolStarted)[-1].parent == "a"
        assert below(talk, "e", "91bc").of(ev.ToolStarted)[-1].parent == "b"

    def test_a_subagents_subagent_is_below_it(self) -> None:
        talk = copilot("a")
        meta = {"github.com/copilot": {"agentId": "7f3a"}}
        call: dict[str, Any] = {"toolCallId": "b", "kind": "other", "_meta": meta}
        talk.update("tool_call", rawInput=DELEGATES, **call)
        below(talk, "c", "91bc").update("agent_message_chunk")
        assert [start.parent for start in talk.of(ev.ToolStarted)] == [None, "a", "b"]
        assert talk.of(ev.ModelMessage)[-1].parent == "b"  # the others wait for it

    def test_who_is_waited_for_speaks(self) -> None:
        talk = copilot("a").update("agent_message_chunk")
        talk.update("tool_call_update", toolCallId="a", status="completed")
        talk.update("agent_message_chunk")
        assert [said.parent for said in talk.of(ev.ModelMessage)] == ["a", None]

    def test_words_of_one_of_several_are_a_sign_of_life_of_each(self) -> None:
        talk = copilot("a", "b").update("agent_message_chunk")
        assert not talk.of(ev.ModelMessage)
        assert {update.id for update in talk.of(ev.ToolUpdated)} == {"a", "b"}

    def test_one_in_the_background_outlives_its_receipt(self) -> None:
        talk = copilot("a", mode="background")
        receipt = {"content": "Agent started in background with agent_id: 7f3a-91. You'll be told"}
        talk.update("tool_call_update", toolCallId="a", status="completed", rawOutput=receipt)
        assert below(talk, "b", "7f3a-91").of(ev.ToolStarted)[-1].parent == "a"
        talk.update("tool_call_update", toolCallId="b", status="completed")
        assert talk.state.background
        talk.done(1)
        assert not talk.state.background
        assert not talk.state.oddities

    def test_a_commands_status_is_in_its_contents(self) -> None:
        talk = below(copilot("a"), "b", "7f3a")
        output = {"contents": [{"type": "text"}, {"type": "shell_exit", "exitCode": 3}]}
        talk.update("tool_call_update", toolCallId="b", status="completed", rawOutput=output)
        (end,) = talk.of(ev.ToolFinished)
        assert (end.error, end.exit_code) == ("3", 3)


def qwen(mode: str, status: str) -> Talk:
    """Qwen Code, whose call of a subagent has returned."""
    talk = Talk().prompt(1)
    talk.update(
        "tool_call", toolCallId="a", kind="other", status="pending",
        rawInput={"subagent_type": "general-purpose"}, _meta={"toolName": "agent"},
    )  # fmt: skip
    output = {"type": "task_execution", "executionMode": mode, "status": status}
    return talk.update("tool_call_update", toolCallId="a", status="completed", rawOutput=output)


def behind(status: str = "completed", source: str = "background_task_completed") -> dict[str, Any]:
    task = {"taskId": "general-purpose-a", "toolUseId": "a", "status": status}
    return {"source": source, "backgroundTask": task}


class TestQwensSubagents:
    @pytest.mark.parametrize(("mode", "open_"), [("background", True), ("foreground", False)])
    def test_in_the_background_it_outlives_its_call(self, mode: str, *, open_: bool) -> None:
        assert bool(qwen(mode, mode).state.background) is open_

    @pytest.mark.parametrize(("status", "error"), [("completed", None), ("failed", "failed")])
    def test_it_is_over_when_that_is_told_once(self, status: str, error: str | None) -> None:
        talk = qwen("background", "background")
        for source in ("background_task_completed", "background_notification"):
            talk.update("agent_message_chunk", _meta=behind(status, source))
        assert [end.error for end in talk.of(ev.TaskFinished)] == [error]
        assert not talk.state.background
        assert not talk.of(ev.ModelMessage)

    def test_its_files_may_have_named_it_before(self) -> None:
        talk = qwen("background", "background")
        key = "general-purpose-a"
        apply(talk.state, ev.TaskStarted(at=talk.at, id=key, kind="agent", tool_id="a"))
        talk.update("agent_message_chunk", _meta=behind())
        assert not talk.state.tasks
        assert len(talk.opened("agent")) == 1

    @pytest.mark.parametrize("says_so", [True, False])
    def test_it_wakes_the_agent_for_a_turn(self, *, says_so: bool) -> None:
        """Which begins before the prompt is answered; older ones do not say that it does."""
        talk = qwen("background", "background").update("agent_message_chunk", _meta=behind())
        woken = {"sessionId": "s", "turnId": "t2", "source": "background_notification"}
        if says_so:
            talk.agent(id=3, method="_qwencode/start_turn", params=woken)
        talk.done(1)
        said = behind(source="background_notification_response")
        talk.update("agent_message_chunk", _meta=said)
        usage = {"inputTokens": 1000, "outputTokens": 20, "totalTokens": 1020}
        talk.update("agent_message_chunk", _meta={"usage": usage, "backgroundTurn": {}})
        said["backgroundTask"]["turnComplete"] = True
        talk.update("agent_message_chunk", _meta=said)
        if says_so:
            talk.agent(method="_qwencode/end_turn", params={**woken, "reason": "end_turn"})
            assert [end.woken for end in talk.of(ev.TurnFinished)] == [False, True]
            assert talk.of(ev.TurnFinished)[-1].usage.input == 1000
        assert talk.state.turn_open is False
        assert not talk.state.waits

    def test_where_the_client_is_not_heard_its_last_piece_ends_the_turn(self) -> None:
        talk = Talk().update("agent_message_chunk", _meta=behind(source="background_notification"))
        said = behind(source="background_notification_response")
        talk.update("agent_message_chunk", _meta=said)
        assert talk.state.turn_open
        said["backgroundTask"]["turnComplete"] = True
        talk.update("agent_message_chunk", _meta=said)
        assert [end.woken for end in talk.of(ev.TurnFinished)] == [True]

    def test_what_one_in_the_foreground_does_is_below_it(self) -> None:
        talk = Talk().prompt(1).update("tool_call", toolCallId="a", kind="other", status="pending")
        meta = {"toolName": "run_shell_command", "parentToolCallId": "a"}
        talk.update("tool_call", toolCallId="b", kind="execute", status="pending", _meta=meta)
        talk.update("tool_call_update", toolCallId="b", status="completed", _meta=meta)
        talk.update("agent_message_chunk", _meta={"parentToolCallId": "a"})
        assert talk.of(ev.ToolStarted)[-1].parent == talk.of(ev.ToolFinished)[-1].parent == "a"
        assert not talk.of(ev.ModelMessage)  # its files have that, by name
        talk.update("tool_call_update", toolCallId="a", status="completed")
        talk.update("agent_message_chunk", _meta={"parentToolCallId": "a"})
        assert not talk.state.oddities

    @pytest.mark.parametrize("raw", [True, False])
    def test_a_commands_status_is_its_error(self, *, raw: bool) -> None:
        text = "Command: exit 3\nDirectory: (root)\nOutput: no\nExit Code: 3\nSignal: (none)"
        content = [{"type": "content", "content": {"type": "text", "text": text}}]
        told = {"rawOutput": {"exitCode": 3}} if raw else {"content": content}
        talk = Talk().prompt(1).update("tool_call", toolCallId="c", kind="execute")
        talk.update("tool_call_update", toolCallId="c", status="failed", **told)
        assert [end.error for end in talk.of(ev.ToolFinished)] == ["3"]

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("Command: x\nOutput: a\nExit Code: 0\nb\nExit Code: 3\nSignal: (none)", "3"),
            ("Command: x\nOutput: no status", "tool_error"),
            ("Command: x\nOutput: a\nExit Code: none\n", "tool_error"),
            ("Output: a\nExit Code: 3\nSignal: (none)", "tool_error"),
        ],
    )
    def test_a_reported_status_is_the_last_line_that_says_so(self, text: str, error: str) -> None:
        content = [{"type": "content", "content": {"type": "text", "text": text}}]
        talk = Talk().prompt(1).update("tool_call", toolCallId="c", kind="execute")
        talk.update("tool_call_update", toolCallId="c", status="failed", content=content)
        assert [end.error for end in talk.of(ev.ToolFinished)] == [error]

    def test_a_report_in_a_hundred_thousand_pieces_is_read_once(self) -> None:
        """From each of them on to the end it would take hours."""
        piece = {"type": "content", "content": {"type": "text", "text": "Command: x"}}
        talk = Talk().prompt(1).update("tool_call", toolCallId="c", kind="execute")
        pieces = [piece] * 100_000
        talk.update("tool_call_update", toolCallId="c", status="failed", content=pieces)
        assert [end.error for end in talk.of(ev.ToolFinished)] == ["tool_error"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("Delegating to agent 'generalist'", "generalist"), ("Delegating 'rm -rf /'", None)],
)
def test_gemini_says_in_a_title_which_subagent_it_starts(title: str, name: str | None) -> None:
    call = {"toolCallId": "invoke_agent__fc_1", "kind": "think", "status": "in_progress"}
    talk = Talk().prompt(1).update("tool_call", title=title, **call)
    assert [task.name for task in talk.of(ev.TaskStarted)] == [name]


def test_opencodes_answers_have_the_names_that_its_files_give_them() -> None:
    talk = Talk().agent(id=0, result={"protocolVersion": 1, "agentInfo": {"name": "OpenCode"}})
    talk.prompt(1).update("agent_thought_chunk", messageId="prt_1")
    for _ in range(2):
        talk.update("agent_message_chunk", messageId="msg_1")
    usage = ev.Usage(input=1000, output=20)
    apply(talk.state, ev.MessageUsage(at=talk.at, id="msg_1", usage=usage))
    talk.done(1)
    assert talk.state.message_usage == usage
    assert [chat.key for chat in talk.opened("chat")] == ["msg_1"]


class TestCalls:
    def test_a_second_end_is_no_second_call(self) -> None:
        talk = Talk().prompt(1).update("tool_call", toolCallId="c", kind="read", status="pending")
        for _ in range(2):
            talk.update("tool_call_update", toolCallId="c", status="failed")
        assert (talk.state.tools, talk.state.tool_errors) == (1, 1)
        assert not talk.state.oddities

    def test_a_title_is_prose_and_no_name(self) -> None:
        talk = Talk().prompt(1).update("tool_call", toolCallId="c", title="ls", kind="execute")
        assert [start.name for start in talk.of(ev.ToolStarted)] == ["execute"]

    def test_a_call_below_another_is_its_subagents(self) -> None:
        meta = {"claudeCode": {"toolName": "Read", "parentToolUseId": "a"}}
        talk = Talk().prompt(1).update("tool_call", toolCallId="a", name="Agent", kind="think")
        talk.update("tool_call", toolCallId="b", _meta=meta)
        child = talk.state.open["b"]
        assert child.parent is not None
        assert (child.name, child.parent.kind) == ("Read", "agent")


def test_however_much_is_asked_and_called_what_is_remembered_is_bounded() -> None:
    dialogue = AcpDialogue()
    messages: list[dict[str, Any]]
    for number in range(20_000):
        call = {"sessionUpdate": "tool_call", "toolCallId": f"c{number}", "name": "Agent"}
        messages = [
            {"id": number, "method": "session/prompt", "params": {"sessionId": f"s{number}"}},
            {"id": -number, "method": "session/load", "params": {"sessionId": f"t{number}"}},
        ]
        for message in messages:
            dialogue.input(json.dumps(message).encode(), number)
        messages = [
            {"method": "session/update", "params": {"sessionId": f"s{number}", "update": call}},
            {"id": number, "method": "fs/read_text_file", "params": {}},
        ]
        for message in messages:
            dialogue.output(json.dumps(message).encode(), number)
    tables = [*vars(dialogue).values(), *vars(dialogue._calls).values()]
    sizes = [len(table) for table in tables if isinstance(table, dict | set)]
    assert len(sizes) >= 8
    assert max(sizes) <= 4096


def test_a_line_that_is_half_wrong_says_the_other_half() -> None:
    line = b'{"method":"session/update","params":{"sessionId":7,"update":{"sessionUpdate":'
    line += b'"tool_call","toolCallId":"c","kind":"read"}}}'
    kinds = [type(event).__name__ for event in AcpDialogue().output(line, 1)]
    assert kinds == ["TurnStarted", "ToolStarted", "StrayLine"]


def test_it_is_recognised_by_what_nobody_else_says() -> None:
    answer = {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": 1, "agentCapabilities": {}}}
    mcp = {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}}
    assert registry.detect_line(json.dumps(answer).encode()) is registry.get("acp")
    assert registry.detect_line(json.dumps(mcp).encode()) is None
