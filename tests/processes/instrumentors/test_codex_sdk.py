"""The real Codex SDK for Python with the real Codex, against a scripted model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ISOLATED, find_cli, namespace

from .environments import environment, site
from .told import Told, decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
HOST = Path(__file__).with_name("codex_host.py")
SDK = "openai-codex==0.163.0"


def shell(command: str) -> list[Any]:
    return ["exec_command", {"cmd": command}]


SCRIPT = {
    # Asked with the first prompt before it, whose two calls are counted, too.
    "CANCEL": [*[{"tools": [shell("touch begun; sleep 60")]}] * 3, {"text": "Done."}],
    "WORK": [
        {"text": "First.", "tools": [shell("touch one; sleep 1")]},
        {"tools": [shell("exit 3")]},
        {"text": "Done."},
    ],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Two turns: one whose commands need leave, and one that is interrupted at its command."""
    return run(tmp_path_factory.mktemp("codex"))


def run(home: Path, **environ: str) -> Told:
    (home / "project").mkdir()
    (home / "script.json").write_text(json.dumps(SCRIPT))
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(site(home / "site")),
        "CODEX_BIN": str(find_cli("codex")),
        "MODEL_URL": "{url}",
        "FAKE_KEY": "x",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **environ,
    }
    python = environment(SDK)
    command = [*namespace(), sys.executable, str(ISOLATED), str(home / "script.json")]
    command += ["env", "-i", *(f"{key}={value}" for key, value in env.items())]
    command += [str(python.with_name("opentelemetry-instrument")), str(python), str(HOST)]
    done = subprocess.run(
        [*command, "WORK", "CANCEL"],
        cwd=home / "project",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Told(decoded(done.stdout), done.stderr)


def test_its_server_is_a_session_of_two_turns(ran: Told) -> None:
    (root,) = ran.named("invoke_agent codex")
    for turn, request in (("turn 1", "request WORK"), ("turn 2", "request CANCEL")):
        (span,), (asked,) = ran.named(turn), ran.named(request)
        assert ran.above(span) is root
        (link,) = span["links"]
        assert link["context"]["span_id"] == asked["context"]["span_id"]
    assert root["attributes"]["gen_ai.usage.output_tokens"] >= 60


def test_its_commands_are_tools_with_their_ends(ran: Told) -> None:
    worked, failed, cut = ran.named("execute_tool command_execution")
    assert [ran.above(span)["name"] for span in (worked, failed, cut)] == [
        "turn 1",
        "turn 1",
        "turn 2",
    ]
    assert "error.type" not in worked["attributes"]
    assert failed["attributes"]["error.type"] == "3"


def test_the_program_gives_leave_under_the_span_that_waits_for_it(ran: Told) -> None:
    leave = ran.named("the program's leave")
    assert leave
    for span in leave:
        wait = ran.above(span)
        assert wait["name"] == "untether.wait approval"
        assert wait["attributes"]["untether.wait.answer"] == "accept"
        assert ran.above(wait)["name"] == "execute_tool command_execution"


def test_an_interruption_is_noted(ran: Told) -> None:
    assert "CANCEL interrupted" in ran.said
    (root,) = ran.named("invoke_agent codex")
    assert "untether.host.interrupt" in [event["name"] for event in root["events"]]
    (turn,) = ran.named("turn 2")
    assert turn["attributes"]["error.type"] == "interrupted"


BROKEN = "callbacks:_span,codex_sdk:_request,claims:opened"


def test_mistakes_of_ours_change_nothing_for_the_program(tmp_path: Path) -> None:
    ran = run(tmp_path, BROKEN=BROKEN)
    assert [line for line in ran.lines if line.startswith(("WORK", "CANCEL"))] == [
        "WORK completed",
        "CANCEL interrupted",
    ]
    assert "a mistake of otel-untether" in ran.said
