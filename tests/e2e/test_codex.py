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
