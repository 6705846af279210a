"""CLIs that were not tried with the real program: what their described lines become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Opened
from otel_untether.session.events import Usage
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.outcome import judge
from otel_untether.session.state import SessionState
from tests.unit.engines.recordings import lines, streams

S = 10**9


class Session:
    """A described session, a second a line, and what it consists of."""

    def __init__(self, name: str) -> None:
        engine = registry.get(name)
        self.state = SessionState("run", started=0, engine=name, traits=engine.traits)
        self.opened: list[Activity] = []
        read = engine.reading().output
        (path,) = streams(name)
        for number, line in enumerate(lines(path), 1):
            self.state.line(number * S)
            for event in read(line, number * S):
                changes = apply(self.state, event)
                self.opened += [c.activity for c in changes if isinstance(c, Opened)]
        self.outcome = judge(self.state, 0, None)
        finish(self.state, 99 * S, "abandoned", clean=True)

    def of(self, kind: str) -> dict[str, Activity]:
        return {activity.name: activity for activity in self.opened if activity.kind == kind}


@pytest.mark.parametrize("name", ["amp", "antigravity", "cursor"])
def test_a_session_is_understood_from_end_to_end(name: str) -> None:
    session = Session(name)
    assert session.outcome.word == "completed"
    assert session.state.session_id
    assert not session.state.oddities
    assert session.state.turns == 1


def one(name: str, **line: Any) -> Any:
    (event,) = registry.get(name).decode(json.dumps(line).encode(), S)
    return event


class TestAmp:
    def test_a_subagents_calls_lie_below_it(self) -> None:
        tools = Session("amp").of("tool")
        read = tools["Read"]
        assert read.parent is not None
        assert (read.parent.kind, read.parent.parent) == ("agent", tools["Task"])
        assert read.error == "tool_error"

    def test_tokens_are_those_of_its_messages(self) -> None:
        assert Session("amp").state.tokens == Usage(
            input=1000 + 105 + 1012, output=50, cache_read=2000, cache_write=90
        )


class TestCursor:
    def test_calls_run_from_their_own_times_and_say_how_they_went(self) -> None:
        tools = Session("cursor").of("tool")
        assert {name: call.error for name, call in tools.items()} == {
            "shell": "3", "read": "tool_error", "add": "permission_denied",
        }  # fmt: skip
        assert (tools["shell"].exit_code, tools["add"].mcp_server) == (3, "demo")

    @pytest.mark.parametrize(
        ("told", "known"), [("call_1\nfc_1", "call_1"), ("\nfc_1", "fc_1"), ("toolu_1", "toolu_1")]
    )
    def test_an_id_of_two_lines_is_the_calls(self, told: str, known: str) -> None:
        line: dict[str, Any] = {"call_id": told, "tool_call": {"readToolCall": {"args": {}}}}
        for subtype in ("started", "completed"):
            assert one("cursor", type="tool_call", subtype=subtype, **line).id == known

    def test_times_are_the_lines_own(self) -> None:
        call = {"shellToolCall": {"args": {"command": "ls"}}}
        line = {"call_id": "c", "tool_call": call, "timestamp_ms": 1_795_400_002_100}
        event = one("cursor", type="tool_call", subtype="started", **line)
        assert event.happened == 1_795_400_002_100 * 10**6

    def test_cached_tokens_are_input(self) -> None:
        used = Session("cursor").state.tokens
        assert (used.input, used.output, used.cache_read) == (1500, 60, 300)

    @pytest.mark.parametrize(
        "kind", ["explore", {"explore": {}}, {"custom": {"name": "x"}}, 7, None]
    )
    def test_a_subagents_kind_may_be_a_name_or_an_object(self, kind: Any) -> None:
        call = {"taskToolCall": {"args": {"subagentType": kind}}}
        event = one("cursor", type="tool_call", subtype="started", call_id="c", tool_call=call)
        assert event.subagent in ("explore", "custom", "subagent")

    def test_a_tool_of_no_kind_of_its_own_has_a_name(self) -> None:
        call = {"function": {"name": "web_search", "arguments": '{"q":"x"}'}}
        line = {"type": "tool_call", "call_id": "c", "tool_call": call}
        begun = one("cursor", subtype="started", **line)
        assert isinstance(begun, ev.ToolStarted)
        assert (begun.name, begun.arguments) == ("web_search", b'"{\\"q\\":\\"x\\"}"')
        over = one("cursor", subtype="completed", **line)
        assert isinstance(over, ev.ToolFinished)
        assert (over.name, over.error) == ("web_search", None)

    def test_a_failed_run_says_why(self) -> None:
        event = one("cursor", type="result", subtype="error", is_error=True, result="429")
        assert event.error == "rate_limit"


class TestAntigravity:
    def test_a_tool_that_was_not_told_before_it_was_over_began_before(self) -> None:
        step = {"step_index": 2, "state": "SUCCESS", "step_type": "tool", "tool_name": "ls"}
        event = one(
            "antigravity", event="step_update", step_update={**step, "duration_seconds": 0.5}
        )
        assert (event.started, event.name) == (S // 2, "ls")

    @pytest.mark.parametrize("state", ["ACTIVE", "PAUSED", None])
    def test_a_state_that_nobody_knows_is_no_end(self, state: str | None) -> None:
        step = {"step_index": 2, "state": state, "step_type": "tool", "tool_name": "ls"}
        assert isinstance(one("antigravity", event="step_update", step_update=step), ev.ToolStarted)

    @pytest.mark.parametrize(
        ("state", "error"), [("CANCELLED", "tool_error"), ("REJECTED", "permission_denied")]
    )
    def test_a_state_may_say_why_it_failed(self, state: str, error: str) -> None:
        step = {"step_index": 2, "state": state, "step_type": "tool", "tool_name": "ls"}
        assert one("antigravity", event="step_update", step_update=step).error == error

    def test_what_was_not_permitted_is_denied(self) -> None:
        tools = Session("antigravity").of("tool")
        assert tools["view_file"].error == "permission_denied"
        assert tools["run_command"].error is None

    def test_a_subagent_is_one_below_its_step(self) -> None:
        session = Session("antigravity")
        agent = session.of("agent")["research"]
        assert agent.parent is session.of("tool")["invoke_subagent"]

    def test_each_answer_is_a_chat_with_its_tokens(self) -> None:
        session = Session("antigravity")
        chats = [activity for activity in session.opened if activity.kind == "chat"]
        assert [chat.usage and chat.usage.output for chat in chats] == [20, 3]
        assert session.state.tokens.input == 2100

    def test_an_interrupt_is_no_failure(self) -> None:
        ending = {"status": "ERROR", "error": "interrupted"}
        event = one("antigravity", event="result", result=ending)
        assert isinstance(event, ev.TurnFinished)
        assert event.interrupted
