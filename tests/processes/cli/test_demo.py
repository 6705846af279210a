"""`otel-untether demo`: the scripted agent under the real `run`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def demo(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a state directory of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    environ = kept | {"OTEL_UNTETHER_STATE_DIR": str(tmp_path), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "otel_untether", "demo", *arguments]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_healthy_demo_shows_its_report(tmp_path: Path) -> None:
    """Two subagents, a failed tool, and status 0."""
    done = demo(tmp_path)
    assert done.returncode == 0
    assert done.stdout.lstrip().startswith("claude 0.0.0-scripted-demo  completed")
    assert "agent Explore" in done.stdout
    assert "agent Plan" in done.stdout
    assert "Bash ✗ exit 3" in done.stdout
    assert "claude completed" in done.stderr


def test_the_agents_output_can_be_seen(tmp_path: Path) -> None:
    """Then its lines come before the report, untouched."""
    done = demo(tmp_path, "--show-output")
    assert done.stdout.startswith('{"type":"system","subtype":"init"')


def test_a_kill_needs_a_stall(tmp_path: Path) -> None:
    """Status 2, saying what was expected."""
    done = demo(tmp_path, "--kill")
    assert done.returncode == 2
    assert "expected --stall" in done.stderr


def test_a_frozen_agent_is_explained_and_killed(tmp_path: Path) -> None:
    """The warning, the decision, and the report with both."""
    done = demo(tmp_path, "--stall", "wedged", "--kill")
    assert done.returncode == 0
    assert "otel-untether: silent for" in done.stderr
    assert "killed (wedged)" in done.stdout
    assert "stall wedged" in done.stdout
    assert "kill.decided" in done.stdout


def test_a_frozen_agent_that_nobody_kills_is_ended(tmp_path: Path) -> None:
    """Waiting for a person is no stall; nobody waits for ever for a demo."""
    done = demo(tmp_path, "--stall", "approval", "--kill")
    assert done.returncode == 0
    assert "ending it" in done.stderr
    assert "wait approval" in done.stdout
    assert "Stalls" not in done.stdout
