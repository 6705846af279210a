"""Agents that a program starts with `subprocess`, in each of the ways to read from them."""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Callable
from subprocess import Popen  # taken by name, before anything is instrumented
from typing import Any

import pytest

import otel_untether
from otel_untether.instrumentors import SubprocessAgentInstrumentor
from tests.support.otlp_receiver import wait_until
from tests.support.program import Program, attributes

from .conftest import MakeAgent, the_root

pytestmark = pytest.mark.usefixtures("popen_instrumented")
PIPE = subprocess.PIPE


def by_lines(process: Popen[Any]) -> list[Any]:
    return list(process.stdout or ())


def by_readline(process: Popen[Any]) -> list[Any]:
    assert process.stdout is not None
    return list(iter(process.stdout.readline, process.stdout.read(0)))


def by_read(process: Popen[Any]) -> list[Any]:
    assert process.stdout is not None
    return [process.stdout.read()]


def by_readlines(process: Popen[Any]) -> list[Any]:
    assert process.stdout is not None
    return process.stdout.readlines()


def by_readinto(process: Popen[Any]) -> list[Any]:
    assert isinstance(process.stdout, io.BufferedReader)
    found, buffer = [], bytearray(1000)
    while count := process.stdout.readinto(buffer):
        found.append(bytes(buffer[:count]))
    return found


def by_communicate(process: Popen[Any]) -> list[Any]:
    return [process.communicate()[0]]


READS = [by_lines, by_readline, by_read, by_readlines, by_communicate]


@pytest.mark.parametrize("read", [*READS, by_readinto], ids=lambda read: read.__name__)
@pytest.mark.parametrize("stderr", [None, PIPE], ids=["", "stderr"])
def test_what_the_program_reads_becomes_a_trace(
    program: Program, scripted: list[str], read: Callable[[Popen[bytes]], Any], stderr: int | None
) -> None:
    with Popen(scripted, stdout=PIPE, stderr=stderr) as process:
        printed = b"".join(read(process))
    assert printed.count(b"\n") > 10
    assert process.returncode == 0
    assert len(program.named("execute_tool Bash")) == 4
    root = the_root(program)
    assert attributes(root)["untether.session.outcome"] == "completed"


@pytest.mark.parametrize("read", READS, ids=lambda read: read.__name__)
def test_text_is_seen_as_well(
    program: Program, scripted: list[str], read: Callable[[Popen[str]], Any]
) -> None:
    with Popen(scripted, stdout=PIPE, text=True) as process:
        printed = "".join(read(process))
    assert printed.count("\n") > 10
    assert len(program.named("execute_tool Bash")) == 4


@pytest.mark.parametrize("size", [-1, 0], ids=["buffered", "unbuffered"])
def test_who_reads_without_waiting_has_what_is_there(
    program: Program, make_agent: MakeAgent, size: int
) -> None:
    """None is for nothing yet, an empty one for the end, as without us."""
    command = make_agent("read x; echo one; read x; echo two")
    with Popen(command, size, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        assert process.stdout.read() is None
        process.stdin.write(b"go\ngo\n")
        process.stdin.flush()
        process.wait()
        assert [process.stdout.read(), process.stdout.read()] == [b"one\ntwo\n", b""]
    assert attributes(the_root(program))["untether.session.outcome"] == "completed"


def test_run_is_seen(program: Program, scripted: list[str]) -> None:
    done = subprocess.run(scripted, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") > 10
    assert len(program.named("execute_tool Bash")) == 4
    assert the_root(program)


def test_where_the_output_goes_elsewhere_the_process_is_seen(
    program: Program, make_agent: MakeAgent
) -> None:
    with Popen(make_agent("exit 3"), stdout=subprocess.DEVNULL) as process:
        process.wait()
    root = the_root(program)
    assert attributes(root)["process.exit.code"] == 3
    assert attributes(root)["process.pid"] == process.pid


def test_a_program_that_never_asks_how_it_ended(program: Program, make_agent: MakeAgent) -> None:
    process = Popen(make_agent("exit 3"), stdout=PIPE)
    assert wait_until(lambda: bool(program.roots), 60)
    assert attributes(program.roots[0])["process.exit.code"] == 3
    assert process.wait() == 3
    assert process.stdout is not None
    process.stdout.close()


def test_the_agent_is_told_its_span_wherever_the_environment_is_given(
    program: Program, make_agent: MakeAgent
) -> None:
    command = make_agent('echo "$MINE $TRACEPARENT"')
    env = {"MINE": "yes"}
    with Popen(command, -1, None, None, PIPE, None, None, True, False, None, env) as process:  # noqa: FBT003
        (line,) = by_lines(process)
    root = the_root(program)
    assert line.decode().split()[0] == "yes"
    assert f"{root.context.span_id:016x}" in line.decode()


def test_what_is_no_agent_is_not_touched(program: Program) -> None:
    with Popen(["sh", "-c", 'echo "$TRACEPARENT"'], stdout=PIPE) as process:
        assert type(process.stdout) is io.BufferedReader
        assert "wait" not in vars(process)
        assert by_lines(process) == [b"\n"]
    assert not program.spans


def test_what_watch_spawns_is_one_session(program: Program, scripted: list[str]) -> None:
    with otel_untether.watch(scripted, **program.providers):
        pass
    assert the_root(program)


def test_a_command_that_cannot_be_started_raises_as_ever(program: Program) -> None:
    with pytest.raises(FileNotFoundError):
        Popen(["/nowhere/claude", "-p", "x"])
    assert attributes(the_root(program))["untether.session.outcome"] == "failed"


def test_uninstrument_gives_back_what_was_there(
    popen_instrumented: SubprocessAgentInstrumentor, program: Program, scripted: list[str]
) -> None:
    popen_instrumented.uninstrument()
    assert type(vars(Popen)["__init__"]).__name__ == "function"
    with Popen(scripted, stdout=PIPE) as process:
        by_lines(process)
    assert not program.spans


def test_a_command_that_cannot_be_is_for_python_to_refuse(
    program: Program, make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    command: list[Any] = [*make_agent("true"), object()]
    with pytest.raises(TypeError, match="not object"):
        subprocess.Popen(command)
    assert not program.spans
    assert not caplog.records


def test_an_environment_that_cannot_be_is_for_python_to_refuse(
    make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense: Any = 5
    with pytest.raises(AttributeError, match=r"keys|items"):
        subprocess.Popen(make_agent("true"), env=nonsense)
    assert not caplog.records
