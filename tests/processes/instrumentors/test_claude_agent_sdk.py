"""The real Claude Agent SDK with the real Claude Code, against a scripted model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ISOLATED, namespace

from .claude_sdk_host import HOOK_SECONDS
from .environments import environment, site
from .test_launcher import decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
HOST = Path(__file__).with_name("claude_sdk_host.py")
SDK = "claude-agent-sdk==0.2.189"


def bash(command: str) -> list[Any]:
    return ["Bash", {"command": command, "description": "a command"}]


SCRIPTS = {
    "work": [
        {"text": "First.", "tools": [bash("touch x; sleep 1")]},
        {"tools": [["mcp__own__add", {"a": 1, "b": 2}]]},
        {"text": "done"},
    ],
    "interrupt": [{"text": "First.", "tools": [bash("touch x; sleep 60")]}, {"text": "done"}],
}


class Ran:
    """What a program on the SDK left: its spans, and the kinds of messages it received."""

    def __init__(self, ran: subprocess.CompletedProcess[str]) -> None:
        assert ran.returncode == 0, ran.stderr
        self.spans = decoded(ran.stdout)
        lines = (line for line in ran.stderr.splitlines() if line.startswith("{"))
        self.messages = [json.loads(line)["message"] for line in lines]
        self.by_id = {span["context"]["span_id"]: span for span in self.spans}

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]

    def above(self, span: dict[str, Any]) -> str:
        return str(self.by_id[span["parent_id"]]["name"])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


def run(home: Path, ours: Path, scenario: str, **environ: str) -> Ran:
    (home / "project").mkdir()
    script = home / "script.json"
    script.write_text(json.dumps({"MAINWORK": SCRIPTS[scenario]}))
    python = environment(SDK)
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ours),
        "PROJECT": str(home / "project"),
        "IS_SANDBOX": "1",
        "ANTHROPIC_BASE_URL": "{url}",
        "ANTHROPIC_API_KEY": "sk-fake-0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **environ,
    }
    launcher = python.with_name("opentelemetry-instrument")
    command = [*namespace(), sys.executable, str(ISOLATED), str(script), "env", "-i"]
    command += [f"{key}={value}" for key, value in env.items()]
    command += [str(launcher), str(python), str(HOST), scenario]
    return Ran(
        subprocess.run(
            command,
            cwd=home / "project",
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    )


@pytest.fixture(scope="module")
def worked(ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("worked"), ours, "work")


def test_both_prompts_are_turns_of_one_session(worked: Ran) -> None:
    (root,) = worked.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "completed"
    assert [worked.above(worked.named(f"turn {n}")[0]) for n in (1, 2)] == [root["name"]] * 2
    assert len(worked.named("execute_tool Bash")) == 1


def test_what_the_host_is_asked_are_waits_until_it_answers(worked: Ran) -> None:
    hooks = [
        span
        for span in worked.named("untether.wait host")
        if span["attributes"]["untether.wait.about"] == "PreToolUse"
    ]
    assert {worked.above(span) for span in hooks} == {
        "execute_tool Bash",
        "execute_tool mcp__own__add",
    }
    assert all(seconds(span) > HOOK_SECONDS * 0.9 for span in hooks)
    (approval, _) = worked.named("untether.wait approval")
    assert approval["attributes"]["untether.wait.answer"] == "allow"


def test_the_programs_own_tools_are_tools(worked: Ran) -> None:
    (tool,) = worked.named("execute_tool mcp__own__add")
    waits = [
        span["attributes"]["untether.wait.about"] for span in worked.named("untether.wait host")
    ]
    assert "mcp:own" in waits
    assert seconds(tool) > HOOK_SECONDS * 0.9


def test_the_program_receives_what_it_would_without_us(
    worked: Ran, ours: Path, tmp_path: Path
) -> None:
    bare = run(tmp_path, ours, "work", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*")
    assert not bare.named("invoke_agent claude")
    assert bare.messages == worked.messages


def test_an_interrupted_run_says_so(ours: Path, tmp_path: Path) -> None:
    ran = run(tmp_path, ours, "interrupt")
    (root,) = ran.named("invoke_agent claude")
    assert root["attributes"]["untether.session.outcome"] == "interrupted"
    (tool,) = ran.named("execute_tool Bash")
    assert tool["attributes"]["error.type"] == "interrupted"


def seconds(span: dict[str, Any]) -> float:
    began, over = (datetime.fromisoformat(span[key]) for key in ("start_time", "end_time"))
    return (over - began).total_seconds()
