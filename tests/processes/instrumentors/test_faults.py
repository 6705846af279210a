"""A mistake of ours in any hook costs the program nothing but what we would have seen."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from otel_untether.engines import argv
from otel_untether.instrumentors import (
    AsyncioAgentInstrumentor,
    SubprocessAgentInstrumentor,
    communicating,
    harmless,
    recognising,
    seams,
)
from otel_untether.instrumentors.agent import HostedAgent
from otel_untether.instrumentors.asyncio_agent import AsyncioAgent
from otel_untether.instrumentors.guest import Guest
from otel_untether.instrumentors.loop_pulse import LoopPulse
from otel_untether.instrumentors.overheard import Overheard, Written
from otel_untether.instrumentors.popen_agent import PopenAgent
from otel_untether.sources import leaving
from otel_untether.watching.attendant import attendant
from otel_untether.watching.session import WatchedSession
from otel_untether.watching.subject import End
from tests.support.program import Program

from .conftest import MakeAgent

SCRIPT = 'echo out; echo err >&2; read line; echo "$line"; exit 7'
HOSTED = [
    "__init__", "environment", "command", "attend", "took", "complained", "given", "finish", "_end",
]  # fmt: skip
ASYNCIO = [
    "__init__", "_prepare", "_listen", "_listen_to_input", "_leave", "_hooks", "_begun",
    "_received", "_lost", "_exited", "_finish", "_look_after", "_look_unread",
]  # fmt: skip
POPEN = [
    "__init__", "with_environment", "attend", "finish", "_took", "_complained", "_gave", "_waits",
    "_at_end", "_communicating", "_communicated", "_status", "_waiting", "_finish_if_over",
    "_look_after",
]  # fmt: skip
COMMUNICATING: list[tuple[Any, str]] = [
    (communicating, "_overheard_kind"),
    (communicating, "_Outputs"),
    (communicating, "_Waiting"),
    (communicating._Waiting, "begin"),
    (communicating._Waiting, "end"),
]
PULSE = [(LoopPulse, "__init__"), (LoopPulse, "held_up")]
SHARED: list[tuple[Any, str]] = [
    *((HostedAgent, name) for name in HOSTED),
    *((WatchedSession, name) for name in ("spawned", "feed", "stdin", "stderr", "finish", "tick")),
    (recognising, "_programs"),
    (argv, "program"),
    (Guest, "host"),
]


def named(place: tuple[Any, str]) -> str:
    return f"{place[0].__name__}.{place[1]}".removeprefix("otel_untether.")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget mistakes before, and sessions that a mistake has left open after."""
    harmless._failed.clear()
    yield
    for left in tuple(attendant()._beats):
        if isinstance(left, WatchedSession):
            left.finish(End())
        attendant().release(left)
    for agent in tuple(leaving._open):  # else the end of this process ends them once more
        agent._cease()


def broken(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a mistake")


async def under_asyncio(command: list[str]) -> tuple[bytes, bytes, int | None]:
    process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, stderr=-1)
    stdout, stderr = await process.communicate(b"hello\n")
    return stdout, stderr, process.returncode


@pytest.mark.parametrize(
    "place", [*SHARED, *((AsyncioAgent, n) for n in ASYNCIO), *PULSE], ids=named
)
def test_an_asyncio_program_notices_nothing(
    place: tuple[Any, str],
    program: Program,
    make_agent: MakeAgent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problems: list[Any] = []

    async def main() -> tuple[bytes, bytes, int | None]:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: problems.append(what))
        return await under_asyncio(make_agent(SCRIPT))

    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    monkeypatch.setattr(*place, broken)
    try:
        assert asyncio.run(main()) == (b"out\nhello\n", b"err\n", 7)
    finally:
        instrumentor.uninstrument()
    assert not problems


@pytest.mark.parametrize(
    "place",
    [
        *SHARED,
        *((PopenAgent, n) for n in POPEN),
        *COMMUNICATING,
        (Overheard, "__init__"),
        (Written, "__init__"),
    ],
    ids=named,
)
def test_a_popen_program_notices_nothing(
    place: tuple[Any, str],
    program: Program,
    make_agent: MakeAgent,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    monkeypatch.setattr(*place, broken)
    try:
        done = subprocess.run(
            make_agent(SCRIPT), input=b"hello\n", capture_output=True, check=False
        )
        with subprocess.Popen(make_agent(SCRIPT), stdin=-1, stdout=-1) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(b"hello\n")
            process.stdin.flush()
            lines = list(process.stdout)
    finally:
        instrumentor.uninstrument()
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nhello\n", b"err\n", 7)
    assert (lines, process.returncode) == ([b"out\n", b"hello\n"], 7)


def test_a_mistake_is_said_once_with_its_traceback(
    program: Program,
    make_agent: MakeAgent,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    monkeypatch.setattr(WatchedSession, "feed", broken)
    try:
        for _ in range(3):
            asyncio.run(under_asyncio(make_agent(SCRIPT)))
    finally:
        instrumentor.uninstrument()
    (said,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert "standard output" in said.getMessage()
    assert said.exc_info is not None


def test_a_seam_that_is_missing_is_off_and_named(caplog: pytest.LogCaptureFixture) -> None:
    absent = seams.Seam("frobnication", "asyncio", "Loop.frobnicate", "anyio")
    assert seams.wrap({absent: broken}) == []
    assert "frobnication: off, as anyio 4" in caplog.text
    assert "has no asyncio.Loop.frobnicate" in caplog.text
