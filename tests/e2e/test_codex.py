"""The real Codex, through `otel-untether run`, against a scripted model."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Agents, attribute

pytestmark = pytest.mark.timeout(180)


def command(cmd: str) -> list[Any]:
    return ["exec_command", {"cmd": cmd, "yield_time_ms": 5000}]


def test_a_session_becomes_the_trace_its_stream_describes(agents: Agents) -> None:
    agents.script(
        MAINWORK=[
            {"text": "Listing.", "tools": [command("ls; sleep 1")]},
            {"tools": [command("echo oops >&2; exit 3")]},
            {"text": "Done."},
        ]
    )
    session = agents.codex("MAINWORK please")
    assert session.returncode == 0, session.stderr
    items = [line["item"] for line in session.lines if line["type"] == "item.completed"]
    ran = {item["id"]: item["exit_code"] for item in items if item["type"] == "command_execution"}
    spans = session.named("execute_tool command_execution")
    assert {attribute(s, "gen_ai.tool.call.id"): exit_code(s) for s in spans} == ran
    assert sorted(ran.values()) == [0, 3]
    assert attribute(session.root, "gen_ai.conversation.id") == session.lines[0]["thread_id"]
    assert attribute(session.root, "untether.session.outcome") == "completed"


@pytest.mark.parametrize("flags", [["--json"], ["--color", "never"]], ids=["events", "text"])
def test_what_a_subagent_does_is_told_by_its_rollout(agents: Agents, flags: list[str]) -> None:
    agents.script(
        MAINWORK=[
            {"tools": [["multi_agent_v1::spawn_agent", {"message": "SUBONE go"}]]},
            {
                "tools": [
                    ["multi_agent_v1::wait_agent", {"targets": ["$AGENT_ID"], "timeout_ms": 60000}]
                ]
            },
            {"text": "Done."},
        ],
        SUBONE=[{"text": "Counting.", "tools": [command("echo below; exit 4")]}, {"text": "1"}],
    )
    session = agents.codex("MAINWORK please", *flags)
    assert session.returncode == 0, session.stderr
    (below,) = session.named("execute_tool command_execution")
    subagent = session.parent(below)
    assert subagent is not None
    assert subagent["name"].startswith("invoke_agent ")
    assert (session.parent(subagent) or {}).get("name") == "execute_tool spawn_agent"
    assert exit_code(below) == 4
    chats = [s for s in session.spans if s["name"].startswith("chat")]
    assert len([s for s in chats if session.parent(s) is subagent]) == 2
    assert attribute(session.root, "untether.session.oddities") is None


def test_codex_accepts_the_trace_context_it_is_given(agents: Agents) -> None:
    """It ignores a TRACEPARENT whose flags it does not know, and says so."""
    agents.script(MAINHI=[{"text": "Hi."}])
    session = agents.codex("MAINHI please")
    assert "TRACEPARENT" not in session.stderr
    (said,) = (s for s in session.spans if s["name"].startswith("chat"))
    assert session.parent(said) is session.root


def exit_code(span: dict[str, Any]) -> int | None:
    code = attribute(span, "process.exit.code")
    return code if isinstance(code, int) else None
