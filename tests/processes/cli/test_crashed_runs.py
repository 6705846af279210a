"""A watcher that dies loses nothing: the next run ends what it left open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.store import json_lines
from otel_untether.store.recovery import recover
from otel_untether.store.run_lock import is_held

if TYPE_CHECKING:
    from collections.abc import Callable

OTEL_UNTETHER = [sys.executable, "-m", "otel_untether"]
RECORDINGS = Path(__file__).parents[2] / "conformance" / "recordings" / "claude"


def spans(run: Path) -> dict[str, dict[str, Any]]:
    """Return the last span of each name; a line may be torn, or not be written to its end yet."""
    return {
        span["name"]: span
        for request, _ in json_lines.entries(run / "traces.jsonl")
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }


def test_a_killed_watchers_open_spans_are_ended_by_the_next_run(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
    opened = f"head -5 {RECORDINGS / 'claude_ok.jsonl'}; exec sleep 30"
    watcher = subprocess.Popen(
        [*OTEL_UNTETHER, "run", "--engine", "claude", "--", "sh", "-c", opened],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: '"execute_tool Bash"' in journals(tmp_path))
    (run,) = tmp_path.glob("runs/*")
    record = json.loads((run / "run.json").read_text())
    os.kill(record["watcher"]["pid"], signal.SIGKILL)
    watcher.kill()
    watcher.wait()
    os.kill(record["process"]["pid"], signal.SIGKILL)
    assert "execute_tool Bash" not in spans(run)

    subprocess.run([*OTEL_UNTETHER, "run", "--", "sleep", "2"], env=environment, check=True)

    # Its observer goes on where the machine is too busy for it to be done within the exit timeout.
    wait_until(lambda: "execute_tool Bash" in spans(run))
    ended = spans(run)
    for name in ("execute_tool Bash", "invoke_agent claude"):
        assert ended[name]["status"]["code"] == 2
        attributes = {item["key"]: item["value"] for item in ended[name]["attributes"]}
        assert attributes["error.type"] == {"stringValue": "orphaned"}


def test_a_killed_relay_is_survived_by_its_observer(tmp_path: Path) -> None:
    """It says so, keeps what was heard, and ends the session when the agent ends."""
    environment = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
    opened = f"head -5 {RECORDINGS / 'claude_ok.jsonl'}; exec sleep 30"
    relay = subprocess.Popen(
        [*OTEL_UNTETHER, "run", "--engine", "claude", "--", "sh", "-c", opened],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: '"execute_tool Bash"' in journals(tmp_path))
    (run,) = tmp_path.glob("runs/*")
    relay.kill()
    relay.wait()
    agent = json.loads((run / "run.json").read_text())["process"]["pid"]
    assert is_held(run)
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not is_held(run))
    ended = spans(run)
    attributes = {item["key"]: item["value"] for item in ended["invoke_agent claude"]["attributes"]}
    assert attributes["error.type"] == {"stringValue": "watcher_lost"}
    assert json.loads((run / "run.json").read_text())["outcome"] == "orphaned"
    assert "execute_tool Bash" in ended


@pytest.mark.parametrize(
    "variable",
    [
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_SDK_DISABLED": "true"},
        {"TRACEPARENT": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
    ],
    ids="".join,
)
def test_a_run_whose_spans_nobody_wants_is_no_crashed_one(
    variable: dict[str, str], tmp_path: Path
) -> None:
    """Whoever comes next ends no root of it, and so sends none."""
    environment = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
    agent = ["cat", str(RECORDINGS / "claude_ok.jsonl")]
    subprocess.run(
        [*OTEL_UNTETHER, "run", "--engine", "claude", "--", *agent],
        env=environment | variable,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (run,) = tmp_path.glob("runs/*")
    wait_until(lambda: not is_held(run))
    assert recover(run) == 0
    assert not (run / "traces.jsonl").exists() or not spans(run)
    assert json.loads((run / "run.json").read_text())["outcome"] == "completed"


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def journals(state: Path) -> str:
    return "".join(path.read_text() for path in state.glob("runs/*/journal.jsonl"))
