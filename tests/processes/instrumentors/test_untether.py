"""The real Untether, unchanged, under `opentelemetry-instrument`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .environments import EXAMPLES, environment, site
from .told import decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
BRIDGE = Path(__file__).with_name("untether_bridge.py")
VERSIONS = ["0.34.1", "0.36.0"]
QUICK: dict[str, Any] = {
    "OTEL_UNTETHER_STALL_TIMEOUT": "0.4",
    "OTEL_UNTETHER_SAMPLE_INTERVAL": "0.1",
    "OTEL_UNTETHER_LIVENESS_TIMEOUT": "1",
    "OTEL_UNTETHER_KILL_CONFIRMATIONS": "1",
}
# Untether drops the environment, so what is to be done is said in the prompt.
CLAUDE = """#!{python}
import json, os, sys, time

def say(what):
    print(json.dumps(what), flush=True)

def assistant(*content, parent=None):
    message = {{"id": "m1", "type": "message", "role": "assistant", "model": "claude-fake",
               "content": list(content), "usage": {{"input_tokens": 10, "output_tokens": 5}}}}
    say({{"type": "assistant", "session_id": "s", "parent_tool_use_id": parent,
         "message": message}})

def result(of, *, parent=None):
    content = [{{"type": "tool_result", "tool_use_id": of, "content": "done", "is_error": False}}]
    say({{"type": "user", "session_id": "s", "parent_tool_use_id": parent,
         "message": {{"role": "user", "content": content}}}})

if "--help" in sys.argv:
    sys.exit("claude")
prompt = sys.argv[-1]
if "MUTE" in prompt:
    sys.exit(0)
say({{"type": "system", "subtype": "init", "session_id": "s", "cwd": "/", "tools": ["Bash"],
     "mcp_servers": [], "model": "claude-fake", "permissionMode": "default",
     "claude_code_version": "2.1.330"}})
assistant({{"type": "tool_use", "id": "t1", "name": "Bash", "input": {{"command": "ls"}}}})
time.sleep(0.3)
result("t1")
if "CRASH" in prompt:
    sys.exit("a secret of the agent's")
if "HANG" in prompt or "FREEZE" in prompt:
    time.sleep(900)
told = "told " + str(os.environ.get("TRACEPARENT"))
assistant({{"type": "text", "text": told}})
say({{"type": "result", "subtype": "success", "is_error": False, "num_turns": 2,
     "total_cost_usd": 0.01, "duration_ms": 900, "duration_api_ms": 600, "session_id": "s",
     "result": told, "usage": {{"input_tokens": 20, "output_tokens": 10}}}})
"""


class Bridge(NamedTuple):
    """What was seen of a bridge: spans as the console shows them, messages of the chat."""

    spans: list[dict[str, Any]]
    messages: list[str]
    said: str

    @property
    def root(self) -> dict[str, Any]:
        """The first run's; newer versions go on by themselves where one was lost."""
        roots = [span for span in self.spans if span["name"] == "invoke_agent claude"]
        return min(roots, key=lambda root: str(root["start_time"]))

    def verdicts(self) -> list[dict[str, Any]]:
        """What Untether said, as attributes of the events."""
        return self.told("untether.host.verdict")

    def told(self, event: str) -> list[dict[str, Any]]:
        """The attributes of the root's events of a name."""
        return [it["attributes"] for it in self.root["events"] if it["name"] == event]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module", params=VERSIONS)
def untether(request: pytest.FixtureRequest) -> Path:
    """A Python with a real Untether."""
    return environment(f"untether=={request.param}", python=(3, 12))


def run(
    python: Path, ours: Path, home: Path, prompt: str, *, bridge: Path = BRIDGE, **environ: str
) -> Bridge:
    binaries = home / "bin"
    binaries.mkdir(parents=True, exist_ok=True)
    (binaries / "claude").write_text(CLAUDE.format(python=os.path.realpath(sys.executable)))
    (binaries / "claude").chmod(0o755)
    env = {
        "HOME": str(home),
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(ours),
        "TAKOPI_LOG_LEVEL": "error",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **environ,
    }
    command = [*map(str, (python.with_name("opentelemetry-instrument"), python, bridge)), prompt]
    ran = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    last = json.loads(ran.stderr.strip().splitlines()[-1]) if bridge == BRIDGE else {}
    return Bridge(decoded(ran.stdout), last.get("messages", [ran.stdout]), ran.stderr)


@pytest.fixture(scope="module")
def worked(untether: Path, ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Bridge:
    return run(untether, ours, tmp_path_factory.mktemp("worked"), "hello")


@pytest.fixture(scope="module")
def hung(untether: Path, ours: Path, tmp_path_factory: pytest.TempPathFactory) -> Bridge:
    """A run that freezes; Untether's own settings, which are the base of ours, say to kill."""
    home = tmp_path_factory.mktemp("hung")
    (home / ".untether").mkdir()
    (home / ".untether" / "untether.toml").write_text("[watchdog]\nstall_auto_kill = true\n")
    return run(untether, ours, home, "HANG", **QUICK)


def test_a_run_is_a_trace(worked: Bridge) -> None:
    names = [span["name"] for span in worked.spans]
    assert names.count("execute_tool Bash") == 1
    attributes = worked.root["attributes"]
    assert attributes["untether.session.outcome"] == "completed"
    assert attributes["untether.host.project"] == "my project"


def test_the_example_shows_its_run(untether: Path, ours: Path, tmp_path: Path) -> None:
    example = run(untether, ours, tmp_path, "hello", bridge=EXAMPLES / "untether_run.py")
    assert "told 00-" in example.messages[-1]
    assert example.root["attributes"]["untether.session.outcome"] == "completed"


def steady(message: str) -> str:
    """Return a message without its times."""
    return re.sub(r"told .*|[0-9.]+ ?m?s", "", message)


def test_nothing_of_the_chat_leaves(worked: Bridge) -> None:
    assert "471108154711" not in json.dumps(worked.spans)


def test_the_chat_is_as_it_would_be(
    worked: Bridge, untether: Path, ours: Path, tmp_path: Path
) -> None:
    bare = run(untether, ours, tmp_path, "hello", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="*")
    assert not bare.spans
    assert "told None" in bare.messages[-1]
    assert "told 00-" in worked.messages[-1]


def test_the_trace_goes_on_in_an_agent_whose_environment_is_clean(worked: Bridge) -> None:
    span = worked.root["context"]["span_id"].removeprefix("0x")
    assert f"-{span}-01" in worked.messages[-1]


ERRORS = {
    "CRASH": ("process_error", "1"),
    "MUTE": ("stream_end", "stream_end"),
}


@pytest.mark.parametrize("prompt", ERRORS)
def test_an_error_that_it_adds_after_its_agent_has_ended_is_the_runs(
    untether: Path, ours: Path, tmp_path: Path, prompt: str
) -> None:
    source, error = ERRORS[prompt]
    broken = run(untether, ours, tmp_path, prompt)
    (told,) = broken.told("untether.host.error")
    assert told["untether.host.error.source"] == source
    assert broken.root["attributes"]["untether.session.outcome"] == "failed"
    assert broken.root["attributes"]["error.type"] == error
    assert broken.root["status"]["status_code"] == "ERROR"
    assert "a secret" not in json.dumps(broken.spans)


BROKEN = [
    "untether:_project",
    "untether:broken_off",
    "untether_verdicts:_failed",
    *(f"untether_verdicts:Verdicts.{name}" for name in ("completed", "follow", "tap", "_said")),
    *(f"agent:HostedAgent.{name}" for name in ("_hear_out", "note", "command")),
]


def test_mistakes_of_ours_change_nothing_of_the_chat(
    untether: Path, ours: Path, tmp_path: Path
) -> None:
    disabled, mistakes = "*", ",".join(BROKEN)
    bare = run(
        untether,
        ours,
        tmp_path / "bare",
        "CRASH",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled,
    )
    broken = run(untether, ours, tmp_path / "broken", "CRASH", BROKEN=mistakes)
    assert "a mistake of otel-untether" in broken.said
    assert steady(broken.messages[-1]) == steady(bare.messages[-1])


def test_ours_ends_a_wedged_agent_where_a_setting_of_ours_says_so_and_untether_is_told(
    untether: Path, ours: Path, tmp_path: Path
) -> None:
    frozen = run(untether, ours, tmp_path, "FREEZE", OTEL_UNTETHER_STALL_AUTO_KILL="true", **QUICK)
    assert frozen.root["attributes"]["untether.session.outcome"] == "killed"
    assert frozen.root["attributes"]["error.type"] == "wedged"
    (told,) = frozen.told("untether.host.error")
    assert told["untether.host.error.source"] == "process_error"
    assert "Claude Code failed" in frozen.messages[-1]


def test_a_run_that_it_breaks_off_says_so(hung: Bridge) -> None:
    assert hung.told("untether.host.interrupt")
    assert hung.root["attributes"]["error.type"] == "SIGTERM"


def test_what_its_watchdog_says_stands_beside_what_ours_finds(hung: Bridge) -> None:
    said = {verdict["untether.host.verdict.name"] for verdict in hung.verdicts()}
    assert {"progress_edits.stall_detected", "subprocess.liveness_stall"} <= said
    assert True in {verdict.get("untether.host.verdict.agrees") for verdict in hung.verdicts()}
    assert any(span["name"] == "untether.stall" for span in hung.spans)


def test_ours_does_not_kill_by_its_word(hung: Bridge) -> None:
    assert "untether.kill.decided" not in {event["name"] for event in hung.root["events"]}
