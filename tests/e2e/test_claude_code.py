"""The real Claude Code, through `otel-untether run`, against a scripted model."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from .conftest import Agents, Session, attribute

pytestmark = pytest.mark.timeout(180)


def bash(command: str) -> list[Any]:
    return ["Bash", {"command": command, "description": "a command"}]


def agent(prompt: str, *, background: bool) -> list[Any]:
    arguments = {"description": "delegate", "prompt": prompt, "subagent_type": "general-purpose"}
    return ["Agent", {**arguments, "run_in_background": background}]


@pytest.fixture
def worked(agents: Agents) -> Session:
    agents.script(
        MAINWORK=[
            {"text": "First a failure.", "tools": [bash("echo oops >&2; exit 3")]},
            {"tools": [agent("SUBONE go", background=False), agent("SUBTWO go", background=False)]},
            {"tools": [agent("SUBLATE go", background=True)]},
            {"text": "All done."},
        ],
        SUBONE=[{"text": "Counting.", "tools": [bash("sleep 1; wc -l hello.py")]}, {"text": "1"}],
        SUBTWO=[{"tools": [bash("echo two; sleep 1")]}, {"text": "2"}],
        SUBLATE=[{"tools": [bash("sleep 2; echo late")]}, {"text": "3"}],
    )
    return agents.claude("MAINWORK please")


def test_a_session_with_subagents_becomes_the_trace_its_stream_describes(worked: Session) -> None:
    assert worked.returncode == 0
    calls = {
        block["id"]: (block["name"], line["parent_tool_use_id"])
        for line in worked.lines
        if line["type"] == "assistant"
        for block in line["message"]["content"]
        if block["type"] == "tool_use"
    }
    tools = {attribute(s, "gen_ai.tool.call.id"): s for s in worked.spans if is_tool(s)}
    assert len(calls) == 7
    assert {key: attribute(span, "gen_ai.tool.name") for key, span in tools.items()} == {
        key: name for key, (name, _) in calls.items()
    }
    for key, (_, caller) in calls.items():
        above = worked.parent(tools[key])
        assert above is not None
        assert above is worked.root if caller is None else worked.parent(above) is tools[caller]


@pytest.fixture(params=["stream-json", "text"])
def nested(agents: Agents, request: pytest.FixtureRequest) -> Session:
    agents.script(
        MAINNEST=[{"tools": [agent("SUBONE go", background=False)]}, {"text": "All done."}],
        SUBONE=[
            {"text": "In.", "tools": [agent("SUBTWO go", background=False)]},
            {"text": "1"},
        ],
        SUBTWO=[{"text": "Here.", "tools": [bash("echo deep; exit 4")]}, {"text": "2"}],
    )
    return agents.claude("MAINNEST please", "--output-format", request.param, "--verbose")


def test_what_a_subagents_subagent_does_is_told_by_its_file(nested: Session) -> None:
    """Of the second level its stream tells only that it is there."""
    assert nested.returncode == 0
    (deep,) = nested.named("execute_tool Bash")
    names, span = [], nested.parent(deep)
    while span is not None:
        names.append(span["name"].partition(" ")[0])
        span = nested.parent(span)
    assert names == ["invoke_agent", "execute_tool", "invoke_agent", "execute_tool", "invoke_agent"]
    assert attribute(deep, "error.type") == "4"
    answers = [span for span in nested.spans if span["name"].startswith("chat ")]
    ids = [attribute(span, "gen_ai.response.id") for span in answers]
    assert len(ids) == len(set(ids)) == 6
    below = [span for span in answers if nested.parent(span) is not nested.root]
    shown = [span for span in below if nested.parent(span) is not nested.parent(deep)]
    hidden = [span for span in below if span not in shown]
    assert [attribute(span, "gen_ai.usage.output_tokens") for span in hidden] == [20] * 2
    told = [attribute(span, "gen_ai.usage.output_tokens") for span in shown]
    assert len(told) == 2
    # An answer that the stream shows may be over before the file is read that says what it took.
    assert set(told) <= ({20, None} if nested.stdout.startswith(b"{") else {20})
    assert attribute(nested.root, "untether.session.oddities") is None


def test_parallel_subagents_overlap_and_a_background_one_lasts(worked: Session) -> None:
    first, second, late = sorted(
        worked.named("invoke_agent general-purpose"), key=lambda s: int(s["startTimeUnixNano"])
    )
    assert int(second["startTimeUnixNano"]) < int(first["endTimeUnixNano"])
    assert seconds(late) > 2.0
    call = worked.parent(late)
    assert call is not None
    assert attribute(call, "untether.tool.background") is True
    assert int(call["endTimeUnixNano"]) >= int(late["endTimeUnixNano"])


def test_a_failing_command_is_an_error_with_its_exit_code(worked: Session) -> None:
    (failed,) = (s for s in worked.spans if is_tool(s) and s["status"].get("code") == 2)
    assert attribute(failed, "process.exit.code") == 3
    assert attribute(failed, "error.type") == "3"


@pytest.mark.parametrize(
    ("number", "outcome", "status"),
    [(signal.SIGINT, "interrupted", 0), (signal.SIGTERM, "terminated", 143)],
)
def test_a_signal_reaches_the_agent_and_the_trace_says_how_it_ended(
    agents: Agents, number: signal.Signals, outcome: str, status: int
) -> None:
    """Claude exits 0 after SIGINT, with a result that says it was aborted."""
    command = "python3 -c 'import time; time.sleep(60)'"
    agents.script(MAINSLEEP=[{"text": "Sleeping.", "tools": [bash(command)]}, {"text": "done"}])
    session = agents.claude("MAINSLEEP please", signal_after=(number, 6.0))
    assert session.returncode == status
    assert attribute(session.root, "untether.session.outcome") == outcome
    assert session.root["status"]["code"] == 2
    (tool,) = filter(is_tool, session.spans)
    assert seconds(tool) > 1.0
    assert attribute(tool, "error.type") is not None
    if number == signal.SIGTERM:  # without a result, only its transcript has what that took
        (said,) = (span for span in session.spans if attribute(span, "gen_ai.response.id"))
        assert attribute(said, "gen_ai.usage.output_tokens") == 20
        assert attribute(session.root, "gen_ai.usage.output_tokens") == 20


def is_tool(span: dict[str, Any]) -> bool:
    return bool(attribute(span, "gen_ai.operation.name") == "execute_tool")


def seconds(span: dict[str, Any]) -> float:
    return (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
