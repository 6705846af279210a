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

from .environments import EXAMPLES, environment, site
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


def run(name: str, ours: Path, home: Path, host: Path = HOST, **environ: str) -> Told:
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
    command += [str(python.with_name("opentelemetry-instrument")), str(python), str(host)]
    command += ["WORK", "CANCEL", "--"] if host == HOST else ["WORK"]
    command += [str(install_node())] if cli.node else []
    done = subprocess.run(
        [*command, str(install_cli(name)), *cli.acp],
        cwd=home / "project",
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Told(decoded(done.stdout), done.stderr, done.stdout)


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


def test_the_example_shows_the_leave_it_gives(ours: Path, tmp_path: Path) -> None:
    ran = run("opencode", ours, tmp_path, EXAMPLES / "acp_host.py")
    assert "(end_turn)" in ran.printed
    (wait,) = ran.named("untether.wait approval")
    assert ran.above(wait)["name"].startswith("execute_tool ")


BROKEN = "callbacks:_span,acp:_with_client,acp:_serves_acp,acp:_call,asyncio_agent:agent_of"


def test_mistakes_of_ours_change_nothing_for_the_program(ours: Path, tmp_path: Path) -> None:
    ran = run("opencode", ours, tmp_path, BROKEN=BROKEN)
    ended = [line for line in ran.lines if line.startswith(("WORK", "CANCEL"))]
    assert ended == ["WORK end_turn", "CANCEL cancelled"]
    assert "a mistake of otel-untether" in ran.said


def test_a_cancelled_prompt_is_noted(ran: Told) -> None:
    ended = [line for line in ran.lines if line.startswith(("WORK", "CANCEL"))]
    assert ended == ["WORK end_turn", "CANCEL cancelled"]
    (root,) = (s for s in ran.spans if "untether.session.outcome" in s["attributes"])
    assert "untether.host.interrupt" in [event["name"] for event in root["events"]]
    (turn,) = ran.named("turn 2")
    assert turn["attributes"]["error.type"] == "interrupted"
