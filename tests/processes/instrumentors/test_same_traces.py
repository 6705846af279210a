"""Whichever way a session comes in, the same trace comes out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_untether.instrumentors import AsyncioAgentInstrumentor, SubprocessAgentInstrumentor
from tests.processes.watching.test_four_ways import Shown, commanded, of_provider
from tests.support.program import Program

from .conftest import Run, spawned

RECORDINGS = Path(__file__).parents[2] / "conformance" / "recordings"
# An agent that says what a recording says, each line once it was given what came before it.
PLAYER = f"""#!{sys.executable}
import json, sys
with open(sys.argv[-1]) as recording:
    steps = [json.loads(line) for line in recording]
for step in steps:
    if "line" not in step:
        continue
    if step["dir"] == "in":
        sys.stdin.readline()
    else:
        print(json.dumps(step["line"]), flush=True)
"""


OK = ["claude/claude_ok", "codex/codex_ok", "gemini/gemini_ok.timed", "pi/pi_ok.timed"]


@pytest.fixture(params=OK)
def played(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """An agent of its name that prints a recording."""
    engine, _, _ = request.param.partition("/")
    agent = tmp_path / engine
    printed = tmp_path / "printed"
    printed.write_text("".join(raw(RECORDINGS / f"{request.param}.jsonl")))
    agent.write_text(f"#!/bin/sh\ncat {printed}\n")
    agent.chmod(0o755)
    headless = {
        "claude": ["-p", "hello", "--output-format", "stream-json", "--verbose"],
        "codex": ["exec", "--json", "hello"],
        "gemini": ["-p", "hello", "--output-format", "stream-json"],
        "pi": ["-p", "--mode", "json", "hello"],
    }
    return [str(agent), *headless[engine]]


def raw(recording: Path) -> Iterator[str]:
    for line in recording.read_text().splitlines():
        step = json.loads(line)
        said = step.get("line") if "t" in step else line
        if said is not None:
            yield f"{said}\n"


def differences(one: Counter[Shown], other: Counter[Shown]) -> list[set[object]]:
    """Return what is told here and not there of spans, and the other way round."""
    assert sum(other.values()) > 2
    return [parts(one - other) - parts(other - one), parts(other - one) - parts(one - other)]


def parts(spans: Counter[Shown]) -> set[object]:
    return {
        (span.name, *told)
        for span in spans
        for told in (*span.attributes, (span.parent,))
        if not str(told[0]).endswith(".peak")  # it may have ended before anybody looked
    }


def test_an_asyncio_program_sees_what_run_sees(
    played: list[str], tmp_path: Path, run: Run, program: Program
) -> None:
    expected = commanded(tmp_path / "state", "run", "--", *played)
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        run(spawned(played))
    finally:
        instrumentor.uninstrument()
    assert differences(of_provider(program.spans), expected) == [set(), set()]


def test_a_popen_program_sees_what_run_sees(
    played: list[str], tmp_path: Path, program: Program
) -> None:
    expected = commanded(tmp_path / "state", "run", "--", *played)
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        with subprocess.Popen(played, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            list(process.stdout)
    finally:
        instrumentor.uninstrument()
    assert differences(of_provider(program.spans), expected) == [set(), set()]


ACP = ["gemini_ok", "opencode_ok"]
SERVING = {"gemini": "--acp", "opencode": "acp"}


@pytest.fixture(params=ACP)
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], Path]:
    """An agent that serves ACP as a recording of both directions says."""
    engine = request.param.partition("_")[0]
    agent = tmp_path / engine
    agent.write_text(PLAYER)
    agent.chmod(0o755)
    recording = RECORDINGS / "acp" / f"{request.param}.both.jsonl"
    return [str(agent), SERVING[engine], str(recording)], recording


def steps(recording: Path) -> list[dict[str, object]]:
    lines = recording.read_text().splitlines()
    return [step for line in lines if "line" in (step := json.loads(line))]


async def talked(command: list[str], recording: Path) -> None:
    """Be the host of a recording: say what it said, once the agent said what came before."""
    process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, limit=1 << 24)
    assert process.stdin is not None
    assert process.stdout is not None
    for step in steps(recording):
        if step["dir"] == "in":
            process.stdin.write(json.dumps(step["line"]).encode() + b"\n")
            await process.stdin.drain()
        else:
            await process.stdout.readline()
    process.stdin.close()
    await process.wait()


def test_both_directions_are_seen_under_asyncio(
    serving: tuple[list[str], Path], tmp_path: Path, run: Run, program: Program
) -> None:
    """As a replay of the recording has them, which has both directions, too."""
    command, recording = serving
    expected = commanded(tmp_path / "state", "replay", str(recording))
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        run(talked(command, recording))
    finally:
        instrumentor.uninstrument()
    shown = of_provider(program.spans)
    assert names(shown) == names(expected)
    assert any(name.startswith("execute_tool") for name, _ in names(shown))


def test_both_directions_are_seen_with_popen(
    serving: tuple[list[str], Path], tmp_path: Path, program: Program
) -> None:
    command, recording = serving
    expected = commanded(tmp_path / "state", "replay", str(recording))
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for step in steps(recording):
                if step["dir"] == "in":
                    process.stdin.write(json.dumps(step["line"]) + "\n")
                    process.stdin.flush()
                else:
                    process.stdout.readline()
            process.stdin.close()
            process.stdout.read()
    finally:
        instrumentor.uninstrument()
    assert names(of_provider(program.spans)) == names(expected)


def names(spans: Counter[Shown]) -> Counter[tuple[str, str]]:
    """Return spans by their names and their parents', but for chats.

    An ACP recording does not name its engine; where one model call ends and the next begins is
    told by times, and those of the player are its own.
    """
    return Counter(
        (generic(span.name), generic(span.parent or ""))
        for span in spans.elements()
        if not span.name.startswith("chat")
    )


def generic(name: str) -> str:
    return "invoke_agent" if name.startswith("invoke_agent") else name
