"""Programs that spawn agents, and agents to spawn."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from otel_untether.instrumentors import AsyncioAgentInstrumentor, SubprocessAgentInstrumentor
from tests.support.otlp_receiver import wait_until
from tests.support.program import Program

Run: TypeAlias = Callable[[Any], Any]
MakeAgent: TypeAlias = Callable[..., list[str]]
HEADLESS = ["-p", "hello", "--output-format", "stream-json", "--verbose"]


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture
def make_agent(tmp_path: Path) -> MakeAgent:
    """Return what makes a command line of a `claude` that does what a shell script says."""

    def make(script: str, *arguments: str) -> list[str]:
        claude = tmp_path / "claude"
        claude.write_text(f"#!/bin/sh\n{script}\n")
        claude.chmod(0o755)
        return [str(claude), *(arguments or HEADLESS)]

    return make


@pytest.fixture
def scripted(make_agent: MakeAgent) -> list[str]:
    """An agent that works for half a second, with tools and subagents."""
    return make_agent(f"exec {sys.executable} -m otel_untether.demo --pace 0.02")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine under each of the event loops."""
    if request.param == "asyncio":
        return asyncio.run
    import uvloop  # noqa: PLC0415  one of the two

    return uvloop.run


@pytest.fixture
def instrumented(program: Program) -> Iterator[AsyncioAgentInstrumentor]:
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
def popen_instrumented(program: Program) -> Iterator[SubprocessAgentInstrumentor]:
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def the_root(program: Program) -> Any:
    """Return the one root that there is; it may be there a moment after the program goes on.

    Somebody may be telling of the agent's end already who noticed it before the program did.
    """
    assert wait_until(lambda: program.roots)
    (found,) = program.roots
    return found


async def spawned(command: list[str], **options: Any) -> tuple[bytes, int | None]:
    """Spawn as a program would; return what it printed, and its status."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*command, **{**pipes, **options})
    stdout, _ = await process.communicate()
    return stdout, process.returncode
