"""Agents that `run` knows by their command line, whatever they were asked to print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def started(
    tmp_path: Path, script: str, *arguments: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a script that calls itself claude."""
    agent = tmp_path / "claude"
    agent.write_text(f"#!/bin/sh\n{script}\n")
    agent.chmod(0o700)
    state = str(tmp_path / "state")
    environ = {**os.environ, "OTEL_UNTETHER_STATE_DIR": state, **environ}
    command = [sys.executable, "-m", "otel_untether", "run", "--exit-timeout", "60", "--"]
    command += [str(agent), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def runs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state").glob("**/run.json"))


def test_a_text_has_no_counts_and_says_which_flags_would_show_more(tmp_path: Path) -> None:
    done = started(tmp_path, "echo hello", "-p", "hi")
    assert done.stdout == "hello\n"
    assert "`-p --output-format stream-json --verbose`" in done.stderr
    assert "claude completed, in " in done.stderr
    assert "turn" not in done.stderr
    assert "tool" not in done.stderr


def test_events_need_no_advice(tmp_path: Path) -> None:
    done = started(tmp_path, "exit 0", "-p", "hi", "--output-format", "stream-json")
    assert "only with" not in done.stderr


@pytest.mark.parametrize("words", [["--version"], ["mcp", "list"]])
def test_a_command_that_is_no_session_leaves_no_run(tmp_path: Path, words: list[str]) -> None:
    done = started(tmp_path, "echo 1.2.3; exit 3", *words)
    assert (done.stdout, done.stderr, done.returncode) == ("1.2.3\n", "", 3)
    assert runs(tmp_path) == []


def test_a_session_leaves_a_run(tmp_path: Path) -> None:
    started(tmp_path, "exit 0", "-p", "hi")
    (kept,) = runs(tmp_path)
    assert json.loads(kept.read_text())["engine"] == "claude"


def test_a_text_that_takes_its_time_is_not_called_stalled(tmp_path: Path) -> None:
    """It works: its tool is a process of its own, in a session of its own."""
    (tmp_path / "quick.toml").write_text(
        "[watchdog]\nstall_timeout = 1\nstartup_timeout = 1\nsample_interval = 0.2\n"
        "liveness_timeout = 2\n"
    )
    environ = {"OTEL_UNTETHER_CONFIG": str(tmp_path / "quick.toml")}
    done = started(tmp_path, "setsid --wait sleep 6; echo done", "-p", "hi", **environ)
    assert done.stdout == "done\n"
    assert "stall" not in done.stderr
    assert "silent" not in done.stderr
