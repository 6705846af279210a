"""Interrupts: what came of them, whatever the agent makes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from otel_untether.cli import run as run_command

ROOT = Path(run_command.__file__).parents[2]


def test_an_interrupt_passed_on_is_the_outcome_whatever_the_agent_exits_with(
    tmp_path: Path,
) -> None:
    """Some agents catch SIGINT, say nothing, and exit as if all were well."""
    script = "trap 'kill $!; exit 0' INT; sleep 60 & echo ready; wait"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    started = subprocess.Popen(
        [sys.executable, "-m", "otel_untether", "run", "--", "sh", "-c", script],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    started.send_signal(signal.SIGINT)
    _, told = started.communicate()
    assert started.returncode == 0
    assert "sh interrupted (SIGINT)" in told
