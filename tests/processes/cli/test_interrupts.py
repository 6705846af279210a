"""Interrupts: what came of them, whatever the agent makes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_untether.cli import COMMANDS
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


_INTERRUPTED_BY_AN_IMPORT = """\
import os, signal, sys

imported = sys.argv[1]

class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == imported:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from otel_untether import cli
sys.argv = sys.argv[1:]
sys.exit(cli.main())
"""


def interrupted(home: Path, imported: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that gets a Ctrl-C just as it imports a module."""
    return subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_BY_AN_IMPORT, imported, *words],
        cwd=home,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", [*COMMANDS, "--help"])
def test_an_interrupt_while_a_command_starts_ends_it_without_a_word(
    command: str, tmp_path: Path
) -> None:
    """Raised in an import it would print a traceback, and of msgspec's it had Python crash."""
    imported = "engines" if command == "--help" else command
    ended = interrupted(tmp_path, f"otel_untether.cli.{imported}", command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupt_while_resend_gets_ready_to_send(tmp_path: Path) -> None:
    """What it imports only then is no other case."""
    ended = interrupted(
        tmp_path, "otel_untether.export.resend", "resend", "--config", str(tmp_path / "no")
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupted_replay_is_ended_by_itself(tmp_path: Path) -> None:
    """Its run is, too: KeyboardInterrupt is what has it end that."""
    recording = tmp_path / "session.jsonl"
    recording.write_text('{"type": "system", "subtype": "init", "session_id": "1"}\n')
    ended = interrupted(tmp_path, "otel_untether.sources.replay", "replay", str(recording))
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
