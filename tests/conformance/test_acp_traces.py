"""Sessions of the Agent Client Protocol become the traces that both directions describe."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_untether import Recorder, RunInfo

from .traces import MS, RECORDINGS, attribute, requests

AGENTS = ("gemini", "opencode", "claude")


class Played:
    """A session's messages, each with its time, and the spans made of them."""

    def __init__(
        self, agent: str, *, hears_client: bool = True, argv: tuple[str, ...] = ()
    ) -> None:
        (path,) = (RECORDINGS / "acp").glob(f"{agent}_*.both.jsonl")
        self.messages = [
            (round(entry["t"] * 1e6) * 1000, entry["dir"], entry["line"])
            for entry in map(json.loads, path.read_text().splitlines())
        ]
        kept, tracers = InMemorySpanExporter(), TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(kept))
        first, last = self.messages[0][0], self.messages[-1][0]
        run = RunInfo.of_command("run", first, argv) if argv else RunInfo("run", first)
        recorder = Recorder(run, tracer_provider=tracers)
        for at, direction, message in self.messages:
            line = json.dumps(message).encode() + b"\n"
            if direction == "out":
                recorder.feed(line, at)
            elif hears_client:
                recorder.feed_stdin(line, at)
        self.summary = recorder.finish(exit_code=0, at=last + MS)
        self.spans = kept.get_finished_spans()

    def named(self, prefix: str) -> list[ReadableSpan]:
        found = [span for span in self.spans if span.name.startswith(prefix)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def updates(self, *kinds: str) -> list[tuple[int, dict[str, Any]]]:
        told = [(at, m["params"]) for at, _, m in self.messages if m.get("params")]
        every = [(at, params["update"]) for at, params in told if "update" in params]
        return [(at, update) for at, update in every if update["sessionUpdate"] in kinds]


@pytest.fixture(params=AGENTS)
def played(request: pytest.FixtureRequest) -> Played:
    return Played(request.param)


@pytest.fixture(params=AGENTS)
def unheard(request: pytest.FixtureRequest) -> Played:
    return Played(request.param, hears_client=False)


def check_calls(played: Played) -> None:
    """Each call is a span from the message that names it to the one that ends it."""
    spans = {str(attribute(s, "gen_ai.tool.call.id")): s for s in played.named("execute_tool")}
    begun: dict[str, int] = {}
    ended: dict[str, tuple[int, str]] = {}
    for at, update in played.updates("tool_call", "tool_call_update"):
        begun.setdefault(update["toolCallId"], at)
        if update.get("status") in ("completed", "failed"):
            ended.setdefault(update["toolCallId"], (at, update["status"]))
    assert set(spans) == set(begun)
    assert len(spans) == len(played.named("execute_tool"))
    for call, span in spans.items():
        assert span.start_time == begun[call]
        at, status = ended[call]
        assert span.end_time == at
        failed = span.status.status_code is StatusCode.ERROR
        assert failed or status == "completed"


def test_each_call_is_one_span(played: Played) -> None:
    check_calls(played)


def test_each_call_is_one_span_also_where_only_the_agent_is_heard(unheard: Played) -> None:
    check_calls(unheard)
    (turn,) = unheard.named("turn")
    chunks = unheard.updates("agent_message_chunk", "agent_thought_chunk", "tool_call")
    assert turn.start_time == chunks[0][0]
    assert turn.end_time == unheard.messages[-1][0]


def test_a_prompt_is_a_turn_from_its_request_to_its_answer(played: Played) -> None:
    (turn,) = played.named("turn")
    (asked,) = [at for at, _, m in played.messages if m.get("method") == "session/prompt"]
    assert (turn.start_time, turn.end_time) == (asked, played.messages[-1][0])
    assert (played.summary.turns, played.summary.outcome.word) == (1, "completed")
    for span in played.named("execute_tool"):
        assert span.parent is not None
        assert turn.context is not None
        assert span.parent.span_id == turn.context.span_id


def test_usage_is_the_answers_to_the_prompt_with_cached_tokens_once() -> None:
    assert Played("gemini").summary.usage.input == 5000
    assert Played("gemini").summary.usage.output == 130
    claude = Played("claude").summary
    assert (claude.usage.input, claude.usage.output, claude.usage.cache_read) == (7500, 165, 1000)
    assert claude.cost_usd == pytest.approx(0.03394)
    assert Played("opencode").summary.usage.input is None  # it tells its last request's only


@pytest.mark.parametrize("agent", ["gemini", "opencode"])
def test_chats_are_the_requests_that_the_endpoint_answered(agent: str) -> None:
    chats = Played(agent).named("chat")
    main = [r for r in requests("acp", f"{agent}_ok") if not str(r.marker).startswith("SUB")]
    assert len(chats) == len(main)
    for chat, request in zip(chats, main, strict=True):
        assert (chat.start_time or 0) <= request.asked + MS
        assert (chat.end_time or 0) >= (request.answered or 0) - MS
    for before, after in pairwise(chats):
        assert (before.end_time or 0) <= (after.start_time or 0)


def test_the_session_its_model_and_the_agents_version_are_known(played: Played) -> None:
    (opened,) = [m["result"] for _, _, m in played.messages if "sessionId" in m.get("result", {})]
    assert played.summary.session_id == opened["sessionId"]
    assert played.summary.version == played.messages[1][2]["result"]["agentInfo"]["version"]
    assert played.summary.model


def test_a_call_has_its_tools_name_and_never_its_title(played: Played) -> None:
    names = {span.name.removeprefix("execute_tool ") for span in played.named("execute_tool")}
    assert all(re.fullmatch(r"[A-Za-z_]+", name) for name in names)
    assert names & {"bash", "Bash", "run_shell_command"}


def test_a_shells_exit_status_is_the_error() -> None:
    (failed,) = [
        s for s in Played("opencode").named("execute_tool bash") if attribute(s, "error.type")
    ]
    assert attribute(failed, "error.type") == "3"
    assert attribute(failed, "process.exit.code") == 3


@pytest.mark.parametrize(("agent", "name"), [("opencode", "general"), ("gemini", "generalist")])
def test_a_subagent_is_an_agent_below_its_call(agent: str, name: str) -> None:
    played = Played(agent)
    (below,) = [s for s in played.named(f"invoke_agent {name}") if s.parent]
    (call,) = [s for s in played.spans if s.context and s.context.span_id == below.parent.span_id]  # type: ignore[union-attr]
    assert call.name.startswith("execute_tool")
    assert call.end_time == below.end_time


@pytest.mark.parametrize("argv", [("gemini", "--acp"), ("npx", "@google/gemini-cli", "--acp")])
def test_an_agent_that_serves_it_keeps_its_own_name(argv: tuple[str, ...]) -> None:
    played = Played("gemini", argv=argv)
    check_calls(played)
    assert played.summary.engine == "gemini"
    assert Played("gemini").summary.engine == "acp"


def test_no_content_leaves_unasked(played: Played) -> None:
    for span in played.spans:
        assert not re.search("hello.py|/home/dev|sleep 1.2|oops", span.to_json() or "")


@pytest.mark.parametrize("agent", ["qwen", "copilot"])
@pytest.mark.parametrize("hears_client", [True, False])
class TestTwoPrompts:
    """A command that leave is asked for, then a second prompt in the same session."""

    def test_each_prompt_is_a_turn_and_between_them_it_is_idle(
        self, agent: str, *, hears_client: bool
    ) -> None:
        played = Played(agent, hears_client=hears_client)
        ends = [at for at, _, m in played.messages if "stopReason" in m.get("result", {})]
        turns = played.named("turn")
        assert [turn.end_time for turn in turns] == ends
        assert len(turns) == played.summary.turns == 2
        check_calls(played)

    def test_leave_is_a_wait_below_its_call(self, agent: str, *, hears_client: bool) -> None:
        played = Played(agent, hears_client=hears_client)
        (wait,) = played.named("untether.wait approval")
        (call,) = played.named("execute_tool")
        assert wait.parent is not None
        assert call.context is not None
        assert wait.parent.span_id == call.context.span_id
        if hears_client:
            assert attribute(wait, "untether.wait.answer") == "allow_once"

    def test_tokens_are_those_of_three_requests(self, agent: str, *, hears_client: bool) -> None:
        """Qwen Code tells them answer by answer, Copilot CLI the session's so far."""
        used = Played(agent, hears_client=hears_client).summary.usage
        assert (used.input, used.output, used.cache_read) == (3000, 60, 600)

    def test_its_chats_are_as_many(self, agent: str, *, hears_client: bool) -> None:
        played = Played(agent, hears_client=hears_client)
        assert len(played.named("chat")) == 3
        model = played.summary.model
        assert model is None or model == "fake-model"
