"""The Agent Client Protocol, message by message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.acp.dialogue import AcpDialogue
from otel_untether.session import events as ev
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
            apply(self.state, event)
        return self

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
