"""`opentelemetry-instrument python bridge.py`: no change to the program."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from otel_untether import instrumentors

from .conftest import MakeAgent
from .told import decoded

LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")
BRIDGE = """\
import asyncio, subprocess, sys
from asyncio import create_subprocess_exec

async def main():
    process = await create_subprocess_exec(*sys.argv[1:], stdout=subprocess.PIPE)
    stdout, _ = await process.communicate()
    print(stdout.count(b"\\n"), process.returncode, file=sys.stderr)

asyncio.run(main())
"""
BLOCKING_BRIDGE = """\
import subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
print(done.stdout.count(b"\\n"), done.returncode, file=sys.stderr)
"""
HASTY_BRIDGE = """\
import asyncio, sys

async def main():
    process = await asyncio.create_subprocess_exec(*sys.argv[1:], stdout=-1)
    await process.stdout.readline()
    print("0 0", file=sys.stderr)
    sys.exit(0)

asyncio.run(main())
"""

# Its reading thread is at the end of the session, slowly, as on a busy machine, when it leaves.
READING_BRIDGE = """\
import subprocess, sys, threading, time
from opentelemetry.sdk.trace import Span

at_its_end, end = threading.Event(), Span.end

def end_slowly(span, *when, **named):
    if span.name.startswith("invoke_agent"):
        at_its_end.set()
        time.sleep(1)
    end(span, *when, **named)

Span.end = end_slowly
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)

def read():
    process.stdout.read()
    process.wait()

threading.Thread(target=read, daemon=True).start()
at_its_end.wait()
"""


def launch(source: str, command: list[str], **environ: str) -> tuple[list[dict[str, Any]], str]:
    """Run a program under the launcher; return the spans it reported, and its stderr."""
    env = {
        "PATH": os.environ["PATH"],
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **environ,
    }
    ran = subprocess.run(
        [LAUNCHER, sys.executable, "-c", source, *command],
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return decoded(ran.stdout), ran.stderr


def names(spans: list[dict[str, Any]]) -> list[str]:
    return [span["name"] for span in spans]


@pytest.mark.parametrize("source", [BRIDGE, BLOCKING_BRIDGE], ids=["asyncio", "subprocess"])
def test_a_program_is_seen_without_a_change_to_it(source: str, scripted: list[str]) -> None:
    spans, said = launch(source, scripted)
    assert names(spans).count("execute_tool Bash") == 4
    assert names(spans).count("invoke_agent claude") == 1
    assert said.strip().splitlines()[-1].endswith(" 0")


@pytest.mark.parametrize(
    ("source", "name"), [(BRIDGE, "untether_asyncio"), (BLOCKING_BRIDGE, "untether_subprocess")]
)
def test_what_is_disabled_by_name_stays_away(source: str, name: str, scripted: list[str]) -> None:
    disabled = f"{name}, untether_subprocess"
    spans, said = launch(source, scripted, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)
    assert spans == []
    assert said.strip().endswith(" 0")


def test_a_program_that_leaves_while_its_agent_works_loses_no_trace(
    make_agent: MakeAgent,
) -> None:
    spans, _ = launch(HASTY_BRIDGE, make_agent("echo '{}'; exec sleep 30"))
    assert names(spans).count("invoke_agent claude") == 1


def test_a_program_that_leaves_while_a_thread_ends_the_session_loses_no_trace(
    make_agent: MakeAgent,
) -> None:
    """It waits for no daemon thread, in which SDKs read what their agents say."""
    spans, _ = launch(READING_BRIDGE, make_agent("echo '{}'"))
    assert names(spans).count("invoke_agent claude") == 1


def test_settings_that_cannot_be_stop_neither_the_program_nor_the_watching(
    scripted: list[str],
) -> None:
    spans, said = launch(BRIDGE, scripted, OTEL_UNTETHER_STALL_TIMEOUT="soon")
    assert "invoke_agent claude" in names(spans)
    assert "OTEL_UNTETHER_STALL_TIMEOUT" in said


def test_there_is_an_entry_point_for_each_instrumentor() -> None:
    ours = [
        point
        for point in entry_points(group="opentelemetry_instrumentor")
        if point.name.startswith("untether")
    ]
    assert sorted(point.load().__name__ for point in ours) == instrumentors.__all__
