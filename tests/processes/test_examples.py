"""Every example runs, as its own docstring says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
AGENT = [sys.executable, "-m", "otel_untether.demo", "--pace", "0.01"]


def run(example: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / example], input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_watching_an_agent() -> None:
    printed = run("watch_agent.py")
    assert "span execute_tool Bash" in printed
    assert "claude completed" in printed


def test_a_program_that_spawns_agents() -> None:
    printed = run("asyncio_host.py")
    assert "span execute_tool Bash" in printed
    assert "span invoke_agent claude" in printed
    assert "status 0" in printed


def test_recording_a_stream() -> None:
    lines = subprocess.run(AGENT, capture_output=True, check=True).stdout
    printed = run("record_stream.py", lines)
    assert "span invoke_agent claude" in printed
    assert "claude completed" in printed


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_no_example_is_left_out(example: Path) -> None:
    hosts = Path(__file__).with_name("instrumentors").glob("test_*.py")
    assert any(f'"{example.name}"' in file.read_text() for file in [Path(__file__), *hosts])
