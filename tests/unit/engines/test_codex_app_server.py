"""`codex app-server`: both directions of a JSON-RPC conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.codex.app_server import AppServerDialogue
from otel_untether.session.events import (
    Event,
    ModelMessage,
    Ready,
    Retry,
    SessionStarted,
    StrayLine,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    ToolUpdated,
    TurnFinished,
    TurnStarted,
    Usage,
    WaitBegan,
    WaitEnded,
)

MS = 10**6
COMMAND = {"type": "commandExecution", "id": "c1", "command": "ls", "status": "inProgress"}


class Talk:
    """A conversation, and what it means."""

    def __init__(self) -> None:
        self.dialogue = AppServerDialogue()

    def client(self, **message: Any) -> list[Event]:
        return list(self.dialogue.input(json.dumps(message).encode(), 7))

    def server(self, **message: Any) -> list[Event]:
        return list(self.dialogue.output(json.dumps(message).encode(), 7))

    def told(self, method: str, **params: Any) -> list[Event]:
        return self.server(method=method, params={"threadId": "t", **params})


@pytest.fixture
def talk() -> Talk:
    talk = Talk()
    talk.client(id="a", method="thread/start", params={"model": "m"})
    talk.server(id="a", result={"thread": {"id": "t"}, "model": "m"})
    return talk


def test_who_opens_a_thread_is_idle_until_a_turn_is_asked_for() -> None:
    talk = Talk()
    talk.client(id=1, method="initialize")
    assert talk.server(id=1, result={"userAgent": "sdk/0.169.0 (Debian)"}) == [Ready(at=7)]
    talk.client(id=2, method="thread/start")
    assert talk.server(id=2, result={"thread": {"id": "t"}, "model": "m"}) == [
        SessionStarted(
            at=7, asks=False, multi_prompt=True, session_id="t", model="m", version="0.169.0"
        ),
        Ready(at=7),
    ]
    assert talk.client(id=3, method="turn/start", params={"threadId": "t"}) == [TurnStarted(at=7)]


def test_a_turn_that_was_asked_for_begins_once(talk: Talk) -> None:
    assert talk.client(id=3, method="turn/start", params={"threadId": "t"}) == [TurnStarted(at=7)]
    assert talk.server(id=3, result={"turn": {"id": "u", "status": "inProgress"}}) == []
    assert talk.told("turn/started", turn={"id": "u"}) == []


def test_a_turn_that_nobody_could_see_asked_for_begins_when_told() -> None:
    assert Talk().told("turn/started", turn={"id": "u"}) == [TurnStarted(at=7)]


def test_a_turn_that_is_refused_is_over(talk: Talk) -> None:
    talk.client(id=3, method="turn/start", params={"threadId": "t"})
    refused = talk.server(id=3, error={"code": -32600, "message": "bad request"})
    assert refused == [TurnFinished(at=7, error="invalid_request"), Ready(at=7)]


def test_a_command_is_a_tool_whose_times_the_server_tells(talk: Talk) -> None:
    assert talk.told("item/started", item=COMMAND, startedAtMs=3) == [
        ToolStarted(at=7, happened=3 * MS, id="c1", name="command_execution", arguments=b'"ls"')
    ]
    assert talk.told("item/commandExecution/outputDelta", itemId="c1", delta="x") == [
        ToolUpdated(at=7, id="c1")
    ]
    over = {**COMMAND, "status": "failed", "exitCode": 3, "aggregatedOutput": None}
    (ended,) = talk.told("item/completed", item=over, completedAtMs=5)
    assert isinstance(ended, ToolFinished)
    assert (ended.id, ended.happened, ended.error, ended.exit_code) == ("c1", 5 * MS, "3", 3)


def test_a_tool_of_the_clients_own_is_named(talk: Talk) -> None:
    item = {"type": "dynamicToolCall", "id": "d", "tool": "look_up", "arguments": {}}
    (began,) = talk.told("item/started", item=item)
    assert isinstance(began, ToolStarted)
    assert began.name == "look_up"


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("item/commandExecution/requestApproval", "approval"),
        ("item/tool/requestUserInput", "question"),
        ("mcpServer/elicitation/request", "question"),
        ("item/tool/call", "host"),
    ],
)
def test_what_the_server_asks_is_a_wait_until_the_client_answers(
    talk: Talk, method: str, kind: str
) -> None:
    (began,) = talk.server(id=0, method=method, params={"itemId": "c1"})
    assert isinstance(began, WaitBegan)
    assert (began.id, began.kind, began.tool_id, began.detail) == ("request 0", kind, "c1", method)
    assert talk.client(id=0, result={"decision": "accept"}) == [
        WaitEnded(at=7, id="request 0", answer="accept")
    ]


def test_a_turn_has_the_usage_of_its_requests(talk: Talk) -> None:
    talk.client(id=3, method="turn/start", params={"threadId": "t"})
    for _ in range(2):
        last = {"inputTokens": 100, "cachedInputTokens": 20, "outputTokens": 2}
        talk.told("thread/tokenUsage/updated", tokenUsage={"last": last, "total": {}})
    assert talk.told("turn/completed", turn={"status": "completed", "error": None}) == [
        TurnFinished(at=7, usage=Usage(input=200, cache_read=40, output=4))
    ]


def test_an_interrupted_turn_says_so(talk: Talk) -> None:
    talk.told("turn/started")
    assert talk.told("turn/completed", turn={"status": "interrupted"}) == [
        TurnFinished(at=7, error="interrupted", interrupted=True)
    ]


def test_an_error_is_a_retry_where_the_server_says_so(talk: Talk) -> None:
    error = {"message": "stream disconnected"}
    assert talk.told("error", error=error, willRetry=True) == [Retry(at=7, error="disconnected")]
    assert talk.told("error", error=error, willRetry=False) == [
        ModelMessage(at=7, complete=True, error="disconnected")
    ]


def test_what_a_subagent_does_is_under_the_call_that_started_it(talk: Talk) -> None:
    talk.told("turn/started")
    talk.server(method="thread/started", params={"thread": {"id": "s", "parentThreadId": "t"}})
    assert talk.told("turn/started", threadId="s") == []
    spawn = {
        "type": "collabAgentToolCall",
        "id": "k",
        "tool": "spawnAgent",
        "status": "completed",
        "receiverThreadIds": ["s"],
        "agentsStates": {"s": {"status": "pendingInit"}},
    }
    told = talk.told("item/completed", item=spawn)
    assert [event.id for event in told if isinstance(event, TaskStarted)] == ["s"]
    (began,) = talk.told("item/started", threadId="s", item=COMMAND)
    assert isinstance(began, ToolStarted)
    assert began.parent == "k"
    assert talk.told("turn/completed", threadId="s", turn={"status": "completed"}) == []


def test_two_threads_at_work_are_idle_only_when_both_are_over(talk: Talk) -> None:
    talk.told("turn/started")
    talk.told("turn/started", threadId="other")
    assert [type(e) for e in talk.told("turn/completed", turn={"status": "completed"})] == [
        TurnFinished,
        TurnStarted,
    ]
    over = talk.told("turn/completed", threadId="other", turn={"status": "completed"})
    assert [type(e) for e in over] == [TurnFinished]


def test_what_is_no_message_is_a_stray_line() -> None:
    output = AppServerDialogue().output
    assert output(b"hello", 7) == (StrayLine(at=7, reason="not_json"),)
    assert output(b"{}", 7) == (StrayLine(at=7, reason="bad_shape"),)
    assert output(b"", 7) == ()


def test_a_command_line_of_the_sdks_serves_it() -> None:
    argv = ["codex", "--config", 'model="x"', "app-server", "--listen", "stdio://"]
    engine = registry.detect_argv(argv)
    assert engine is not None
    assert engine.serves(argv) == "app-server"
    assert registry.speaking(engine, "app-server").dialogue is not None
