"""The real SDK of the Agent Client Protocol with the real Gemini CLI and OpenCode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ISOLATED, namespace
from tests.e2e.open_clis import CLIS, files_written, install_cli, install_node

from .environments import environment, site
from .told import Told, decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
HOST = Path(__file__).with_name("acp_host.py")
SDK = "agent-client-protocol==0.12.1"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module", params=["gemini", "opencode"])
def ran(
    request: pytest.FixtureRequest, ours: Path, tmp_path_factory: pytest.TempPathFactory
) -> Told:
    """Two prompts: one whose command needs leave, and one that is cancelled at its command."""
    return run(request.param, ours, tmp_path_factory.mktemp(request.param))


def run(name: str, ours: Path, home: Path, **environ: str) -> Told:
    cli = CLIS[name]
    (home / "project").mkdir()
    shell, more = cli.shell
    works = [{"tools": [[shell, {"command": "echo one > one", **more}]]}, {"text": "Done."}]
    # Asked with the first prompt before it, whose call is counted, too.
    begins = {"tools": [[shell, {"command": "touch begun; sleep 60", **more}]]}
    script = {"CANCEL": [begins, begins, {"text": "Done."}], "WORK": works}
    (home / "script.json").write_text(json.dumps(script))
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ours),
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **cli.settings,
        **cli.acp_settings,
        **environ,
    }
    python = environment(SDK)
    command = [*namespace(), sys.executable, str(ISOLATED), str(home / "script.json")]
    command += files_written(cli, home)
    command += ["env", "-i", *(f"{key}={value}" for key, value in env.items())]
    command += [str(python.with_name("opentelemetry-instrument")), str(python), str(HOST)]
    command += ["WORK", "CANCEL", "--", *([str(install_node())] if cli.node else [])]
    done = subprocess.run(
        [*command, str(install_cli(name)), *cli.acp],
        cwd=home / "project",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Told(decoded(done.stdout), done.stderr)


def test_each_prompt_is_a_turn_linked_to_the_span_in_which_it_was_given(ran: Told) -> None:
    for turn, request in (("turn 1", "request WORK"), ("turn 2", "request CANCEL")):
        (span,), (asked,) = ran.named(turn), ran.named(request)
        (link,) = span["links"]
        assert link["context"]["span_id"] == asked["context"]["span_id"]
        assert ran.above(span)["name"].startswith("invoke_agent ")


def test_the_program_gives_leave_under_the_span_that_waits_for_it(ran: Told) -> None:
    leave = ran.named("the program's leave")
    assert leave
    for span in leave:
        wait = ran.above(span)
        assert wait["name"] == "untether.wait approval"
        assert ran.above(wait)["name"].startswith("execute_tool ")


def test_a_cancelled_prompt_is_noted(ran: Told) -> None:
    ended = [line for line in ran.lines if line.startswith(("WORK", "CANCEL"))]
    assert ended == ["WORK end_turn", "CANCEL cancelled"]
    (root,) = (s for s in ran.spans if "untether.session.outcome" in s["attributes"])
    assert "untether.host.interrupt" in [event["name"] for event in root["events"]]
    (turn,) = ran.named("turn 2")
    assert turn["attributes"]["error.type"] == "interrupted"
