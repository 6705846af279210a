"""Real CLIs fall silent: found, rightly named, and left alone by default."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from .conftest import Agents, Session, attribute

pytestmark = pytest.mark.timeout(180)

# Everything in seconds, so that what takes minutes in production is seen within a test.
QUICK = {
    "stall_timeout": 4,
    "stall_repeat_seconds": 2,
    "liveness_timeout": 7,
    "startup_timeout": 20,
    "tool_timeout": 4,
    "subagent_timeout": 4,
    "sample_interval": 1,
}
SLEEP = "python3 -c 'import time; time.sleep(60)'"


def bash(command: str) -> list[Any]:
    return ["Bash", {"command": command, "description": "a command"}]


def silent(agents: Agents, **script: list[dict[str, Any]]) -> Session:
    """Let a session freeze, watch it for a while, then end it."""
    agents.script(**script)
    return agents.claude("MAINFREEZE please", signal_after=(signal.SIGTERM, 16.0), **QUICK)


def test_a_model_that_stops_in_the_middle_of_its_answer(agents: Agents) -> None:
    """One ESTABLISHED connection, nothing on it: sleeping after Bash, as first reported."""
    session = silent(
        agents,
        MAINFREEZE=[
            {"text": "First.", "tools": [bash("echo before")]},
            {"text": "Now I think", "hang": "text"},
        ],
    )
    assert session.causes_in_the_end == {"model_silent"}
    assert "waiting for the model on 127.0.0.1:" in session.stderr


def test_a_model_that_never_answers(agents: Agents) -> None:
    session = silent(agents, MAINFREEZE=[{"hang": "headers"}])
    assert session.causes_in_the_end == {"model_silent"}


def test_a_tool_that_never_returns(agents: Agents) -> None:
    """Claude keeps an idle connection meanwhile: the open call with a live child decides."""
    session = silent(agents, MAINFREEZE=[{"tools": [bash(SLEEP)]}, {"text": "done"}])
    assert session.causes_in_the_end == {"tool_hung"}
    assert "Bash" in session.stderr


def test_a_subagent_whose_model_never_answers(agents: Agents) -> None:
    delegate = {"description": "d", "prompt": "SUBFREEZE go", "subagent_type": "general-purpose"}
    session = silent(
        agents,
        MAINFREEZE=[{"tools": [["Agent", {**delegate, "run_in_background": False}]]}],
        SUBFREEZE=[{"hang": "headers"}],
    )
    assert session.causes_in_the_end == {"subagent_hung"}


def test_codex_whose_model_never_answers(agents: Agents) -> None:
    agents.script(MAINFREEZE=[{"hang": "headers"}])
    session = agents.codex("MAINFREEZE please", signal_after=(signal.SIGTERM, 14.0), **QUICK)
    assert session.causes_in_the_end == {"model_silent"}


def test_nobody_is_killed_by_default(agents: Agents) -> None:
    session = silent(agents, MAINFREEZE=[{"hang": "headers"}])
    assert "liveness" in session.stderr
    assert "killing" not in session.stderr
    assert attribute(session.root, "untether.session.outcome") == "terminated"
    assert attribute(session.root, "error.type") == "SIGTERM"
    assert attribute(session.root, "untether.session.stalled") is True
