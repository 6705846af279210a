"""Spans begin and end when the agent said so: after it wrote a line, before its program has it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import pytest

from otel_untether.instrumentors import AsyncioAgentInstrumentor, SubprocessAgentInstrumentor
from tests.support.otlp_receiver import wait_until
from tests.support.program import Program

from .conftest import HEADLESS, Run

# Says what begins and what ends a tool, notes when it said each line, and waits for leave between.
AGENT = """#!{python}
import json, os, sys, time

def say(moment, message):
    with open(moment, "w") as file:
        file.write(str(time.time_ns()))
    print(json.dumps(message), flush=True)

call = {{"type": "tool_use", "id": "t", "name": "Bash", "input": {{}}}}
result = {{"type": "tool_result", "tool_use_id": "t", "content": "done"}}
say("init", {{"type": "system", "subtype": "init", "session_id": "s",
              "claude_code_version": "2.1.330"}})
say("begin", {{"type": "assistant", "session_id": "s", "message": {{
    "id": "m", "role": "assistant", "model": "m", "content": [call]}}}})
say("end", {{"type": "user", "session_id": "s", "message": {{
    "role": "user", "content": [result]}}}})
while not os.path.exists("go"):
    time.sleep(0.02)
say("over", {{"type": "result", "subtype": "success", "is_error": False, "session_id": "s",
              "result": "done"}})
"""
Received: TypeAlias = list[int]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An agent that works in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    claude = tmp_path / "claude"
    claude.write_text(AGENT.format(python=sys.executable))
    claude.chmod(0o755)
    return [str(claude), *HEADLESS]


def leave() -> None:
    """Let the agent go on."""
    Path("go").touch()


async def under_asyncio(command: list[str]) -> Received:
    process = await asyncio.create_subprocess_exec(*command, stdout=-1)
    assert process.stdout is not None
    received = []
    async for _ in process.stdout:
        received.append(time.time_ns())
        leave()
    await process.wait()
    return received


def with_popen(command: list[str]) -> Received:
    received = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            received.append(time.time_ns())
            leave()
    return received


def check(program: Program, received: Received) -> None:
    (tool,) = program.named("execute_tool Bash")
    edges = (tool.start_time, tool.end_time)
    for moment, edge, seen in zip(("begin", "end"), edges, received[1:3], strict=True):
        assert edge is not None
        assert int(Path(moment).read_text()) <= edge <= seen


def test_under_asyncio(agent: list[str], run: Run, program: Program) -> None:
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        check(program, run(under_asyncio(agent)))
    finally:
        instrumentor.uninstrument()


def test_with_popen(agent: list[str], program: Program) -> None:
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        check(program, with_popen(agent))
    finally:
        instrumentor.uninstrument()


def run_to_its_end(command: list[str]) -> Any:
    return subprocess.run(command, capture_output=True, check=True)


def run_one_pipe(command: list[str]) -> Any:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)


@pytest.mark.parametrize("ask", [run_to_its_end, run_one_pipe], ids=lambda ask: ask.__name__)
def test_where_a_program_wants_all_at_once_spans_end_while_it_waits(
    ask: Callable[[list[str]], Any], agent: list[str], program: Program
) -> None:
    """The agent goes on once its tool's span has ended, and not before."""

    def leave_later() -> None:
        wait_until(lambda: bool(program.named("execute_tool Bash")), 60)
        leave()

    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    leaving = Thread(target=leave_later)
    leaving.start()
    try:
        done = ask(agent)
    finally:
        leaving.join()
        instrumentor.uninstrument()
    assert len(done.stdout.splitlines()) == 4
    (tool,) = program.named("execute_tool Bash")
    assert tool.end_time is not None
    assert tool.end_time <= int(Path("over").read_text())
