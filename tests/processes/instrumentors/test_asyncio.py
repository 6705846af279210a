"""Agents that a program starts under asyncio, whatever it uses to do so."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import os
import signal
import subprocess
from asyncio import create_subprocess_exec  # taken by name, before anything is instrumented
from typing import Any

import anyio
import pytest
import uvloop
from opentelemetry.instrumentation.utils import suppress_instrumentation

import otel_untether
from otel_untether.instrumentors import AsyncioAgentInstrumentor
from tests.support.otlp_receiver import wait_until
from tests.support.program import Program, attributes

from .conftest import HEADLESS, MakeAgent, Run, spawned, the_root

pytestmark = pytest.mark.usefixtures("instrumented")
SAY_TRACEPARENT = 'echo "$TRACEPARENT"'


def test_an_agent_becomes_a_trace(run: Run, program: Program, scripted: list[str]) -> None:
    stdout, status = run(spawned(scripted))
    assert status == 0
    assert stdout.count(b"\n") > 10
    assert len(program.named("execute_tool Bash")) == 4
    assert attributes(the_root(program))["untether.session.outcome"] == "completed"


def test_a_name_that_was_taken_before_is_seen_too(program: Program, scripted: list[str]) -> None:
    async def main() -> None:
        process = await create_subprocess_exec(*scripted, stdout=subprocess.PIPE)
        await process.communicate()

    asyncio.run(main())
    assert the_root(program).name == "invoke_agent claude"


def test_a_shell_command_is_looked_through(
    run: Run, program: Program, make_agent: MakeAgent
) -> None:
    (path, *_) = make_agent("exit 3")

    async def main() -> int:
        process = await asyncio.create_subprocess_shell(f"{path} -p hello")
        return await process.wait()

    assert run(main()) == 3
    assert attributes(the_root(program))["process.exit.code"] == 3


def test_anyio_programs_are_seen(run: Run, program: Program, scripted: list[str]) -> None:
    async def main() -> bytes:
        return (await anyio.run_process(scripted)).stdout

    assert run(main()).count(b"\n") > 10
    assert len(program.named("execute_tool Bash")) == 4


def test_the_agent_is_told_its_span_which_lies_under_the_current_one(
    run: Run, program: Program, make_agent: MakeAgent
) -> None:
    async def main() -> bytes:
        with program.tracer_provider.get_tracer("host").start_as_current_span("job"):
            stdout, _ = await spawned(make_agent(SAY_TRACEPARENT))
            return stdout

    told = run(main()).decode().strip()
    root = the_root(program)
    (job,) = program.named("job")
    assert root.parent.span_id == job.context.span_id
    assert told == f"00-{root.context.trace_id:032x}-{root.context.span_id:016x}-01"


def test_the_programs_own_environment_reaches_the_agent(run: Run, make_agent: MakeAgent) -> None:
    command = make_agent('echo "$MINE"')
    assert run(spawned(command, env={"MINE": "yes"})) == (b"yes\n", 0)


def test_what_is_no_agent_is_not_touched(run: Run, program: Program) -> None:
    async def main() -> tuple[set[str], bytes]:
        process: Any = await asyncio.create_subprocess_exec(
            "sh", "-c", SAY_TRACEPARENT, stdout=subprocess.PIPE
        )
        return set(vars(process._protocol)), (await process.communicate())[0]

    own, printed = run(main())
    assert not {"connection_made", "pipe_data_received"} & own
    assert printed == b"\n"
    assert not program.spans


@pytest.mark.parametrize("arguments", [["--version"], ["mcp", "list"]])
def test_a_question_to_an_agent_is_no_session(
    program: Program, make_agent: MakeAgent, arguments: list[str]
) -> None:
    assert asyncio.run(spawned(make_agent(SAY_TRACEPARENT, *arguments))) == (b"\n", 0)
    assert not program.spans


def test_what_watch_spawns_is_one_session(program: Program, scripted: list[str]) -> None:
    async def main() -> None:
        async with otel_untether.watch(scripted, **program.providers):
            pass

    anyio.run(main)
    assert len(program.roots) == 1


def test_nothing_is_reported_where_instrumentation_is_suppressed(
    program: Program, scripted: list[str]
) -> None:
    with suppress_instrumentation():
        asyncio.run(spawned(scripted))
    assert not program.spans


def test_a_command_that_cannot_be_started_raises_as_ever_and_leaves_a_failed_root(
    run: Run, program: Program
) -> None:
    with pytest.raises(FileNotFoundError):
        run(spawned(["/nowhere/claude", *HEADLESS]))
    assert attributes(the_root(program))["untether.session.outcome"] == "failed"


def test_instrumenting_twice_makes_one_session(
    instrumented: AsyncioAgentInstrumentor, program: Program, scripted: list[str]
) -> None:
    instrumented.instrument(**program.providers)
    AsyncioAgentInstrumentor().instrument(**program.providers)
    asyncio.run(spawned(scripted))
    assert len(program.roots) == 1


def test_uninstrument_gives_back_what_was_there(
    instrumented: AsyncioAgentInstrumentor, program: Program, scripted: list[str]
) -> None:
    instrumented.uninstrument()
    for name in ("subprocess_exec", "subprocess_shell"):
        assert type(vars(asyncio.base_events.BaseEventLoop)[name]).__name__ == "function"
        assert name not in vars(uvloop.Loop)
    asyncio.run(spawned(scripted))
    assert not program.spans


def test_what_runs_while_uninstrumented_is_watched_to_its_end(
    instrumented: AsyncioAgentInstrumentor, program: Program, scripted: list[str]
) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*scripted, stdout=subprocess.PIPE)
        instrumented.uninstrument()
        await process.communicate()

    asyncio.run(main())
    assert attributes(the_root(program))["untether.session.outcome"] == "completed"


@pytest.mark.filterwarnings("ignore:unclosed resource:ResourceWarning")
def test_of_an_agent_that_ended_right_before_its_loop_the_status_is_known(
    program: Program, make_agent: MakeAgent
) -> None:
    """A descendant holds its output open, for which the loop is not there long enough to wait."""

    async def main() -> int:
        process = await asyncio.create_subprocess_exec(
            *make_agent("sleep 60 & echo $!; exit 5"), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        descendant = int(await process.stdout.readline())
        assert await process.wait() == 5
        return descendant

    descendant = uvloop.run(main())  # where `wait` does not wait for the end of the output
    try:
        wait_until(lambda: program.roots)
        assert attributes(the_root(program))["process.exit.code"] == 5
    finally:
        os.kill(descendant, signal.SIGKILL)


def test_a_descendant_that_holds_the_output_open_holds_up_nobody(
    program: Program, make_agent: MakeAgent
) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *make_agent("sleep 60 & echo $!"), stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        left = int(await process.stdout.readline())
        assert await asyncio.to_thread(wait_until, lambda: bool(program.roots), 60)
        os.kill(left, signal.SIGKILL)
        await process.stdout.read()

    asyncio.run(main())
    assert attributes(the_root(program))["process.exit.code"] == 0


def test_cancelling_the_program_ends_the_session_as_its_agent_ended(
    run: Run, program: Program, make_agent: MakeAgent
) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            *make_agent("exec sleep 600"), stdout=subprocess.PIPE
        )
        process.terminate()
        assert await process.wait() == -signal.SIGTERM

    run(main())
    assert attributes(the_root(program))["error.type"] == "SIGTERM"


@pytest.mark.parametrize("slots", [(), ("__dict__",)], ids=["slots", "a dict"])
def test_of_two_agents_of_one_protocol_one_is_watched(
    program: Program, make_agent: MakeAgent, slots: tuple[str, ...]
) -> None:
    """What the protocol is told names no agent; it is given back as it was."""

    class Protocol(asyncio.SubprocessProtocol):
        __slots__ = slots

        def process_exited(self) -> None:
            ended.release()

    ended = asyncio.Semaphore(0)
    first, second = (make_agent('sleep "$2"', "-p", seconds) for seconds in ("0.2", "0"))

    async def main() -> tuple[type, set[str]]:
        loop, protocol = asyncio.get_running_loop(), Protocol()
        transports = [
            (await loop.subprocess_exec(lambda: protocol, *command, stdin=None))[0]
            for command in (first, second)
        ]
        for _ in transports:
            await ended.acquire()
        for transport in transports:
            transport.close()
        assert await asyncio.to_thread(wait_until, lambda: len(program.roots) == 1)
        return type(protocol), set(getattr(protocol, "__dict__", ()))

    assert asyncio.run(main()) == (Protocol, set())
