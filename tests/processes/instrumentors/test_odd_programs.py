"""What a program does with its agent's pipes, however odd, comes out as it does without us."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import shlex
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, TypeAlias

import pytest

from otel_untether.instrumentors import AsyncioAgentInstrumentor, SubprocessAgentInstrumentor
from tests.support.program import Program

from .conftest import MakeAgent

Odd: TypeAlias = Callable[[list[str]], Any]
SCRIPT = r"""echo one; echo err >&2
printf 'two\r\nthr\351\350e\n'
read line && echo "$line"
exit 7"""


def words_one_by_one(command: list[str]) -> Any:
    words: Any = iter(command)
    with Popen(words, stdin=PIPE, stdout=PIPE) as process:
        return process.communicate(b"x\n")[0], process.returncode


def a_pipe_that_it_lets_go_of(command: list[str]) -> Any:
    """It is closed at once, and not when somebody collects garbage."""
    gc.disable()
    try:
        process = Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE)
        assert process.stdout is not None
        number, _ = process.stdout.fileno(), process.stdout.read()
        status = process.wait()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            del process
        assert [warning.category for warning in told] == [ResourceWarning]
        return status, Path(f"/proc/self/fd/{number}").exists()
    finally:
        gc.enable()


def lines_then_communicate(command: list[str]) -> Any:
    with Popen(command, bufsize=0, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        return process.stdout.readline(), process.communicate(b"x\n"), process.returncode


def communicate_twice(command: list[str]) -> Any:
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        first = process.communicate(b"x\n")
        with pytest.raises(ValueError, match="communication") as raised:
            process.communicate(b"y\n")
        return first, str(raised.value), type(process)


def communicate_after_a_close(command: list[str]) -> Any:
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        return process.communicate(b"x\n")[0]


def text_that_cannot_be_decoded(command: list[str]) -> Any:
    with pytest.raises(UnicodeDecodeError) as raised:
        subprocess.run(command, input="x\n", stdout=PIPE, encoding="utf-8", check=False)
    return raised.value.reason


def text_with_other_newlines(command: list[str]) -> Any:
    with Popen(command, stdin=PIPE, stdout=PIPE, encoding="latin-1") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        return process.stdout.read(), process.wait()


def a_wrapper_of_its_own(command: list[str]) -> Any:
    with Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE) as process:
        assert process.stdout is not None
        with io.TextIOWrapper(process.stdout, encoding="latin-1") as wrapper:
            return list(wrapper)


def so_many_bytes_at_a_time(command: list[str]) -> Any:
    with Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE, bufsize=0) as process:
        assert process.stdout is not None
        return [process.stdout.read(1) for _ in range(30)], process.wait()


def some_lines_and_the_rest(command: list[str]) -> Any:
    with Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE) as process:
        assert process.stdout is not None
        return process.stdout.readlines(1), process.stdout.readlines(), process.wait()


def by_its_descriptor(command: list[str]) -> Any:
    with Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE) as process:
        assert process.stdout is not None
        found = b""
        while chunk := os.read(process.stdout.fileno(), 3):
            found += chunk
        return found, process.wait()


def both_in_one(command: list[str]) -> Any:
    done = subprocess.run(command, input=b"x\n", stdout=PIPE, stderr=subprocess.STDOUT, check=False)
    return done.stdout, done.stderr, done.returncode


def a_class_of_its_own(command: list[str]) -> Any:
    class Own(Popen[bytes]):
        def communicate(self, *args: Any, **kwargs: Any) -> Any:
            return "own", super().communicate(*args, **kwargs)

    with Own(command, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE) as process:
        return process.communicate(), type(process).__name__


async def lines_longer_than_the_limit(command: list[str]) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=PIPE, limit=2
    )
    assert process.stdout is not None
    overrun = 0
    while not process.stdout.at_eof():
        try:
            await process.stdout.readline()
        except ValueError:
            overrun += 1
    return overrun > 0, await process.wait()


async def a_read_that_is_cancelled(command: list[str]) -> Any:
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdout is not None
    first = await process.stdout.readline()
    waiting = asyncio.create_task(process.stdout.readuntil(b"\0"))
    await asyncio.sleep(0)
    waiting.cancel()
    stdout, _ = await process.communicate(b"x\n")
    return first, stdout, process.returncode


async def a_protocol_with_slots(command: list[str]) -> Any:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    lost: asyncio.Future[None] = loop.create_future()
    found: list[bytes] = []

    class Protocol(asyncio.SubprocessProtocol):
        __slots__ = ()

        def pipe_data_received(self, fd: int, data: bytes) -> None:
            if fd == 1:
                found.append(data)

        def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
            del exc
            if fd == 1:
                lost.set_result(None)

        def process_exited(self) -> None:
            over.set_result(None)

    transport, _ = await loop.subprocess_exec(Protocol, *command, stdin=None)
    await asyncio.gather(over, lost)
    transport.close()
    return b"".join(found), transport.get_returncode()


async def a_protocol_that_raises(command: list[str]) -> Any:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    told: set[str] = set()
    loop.set_exception_handler(lambda _, about: told.add(about["message"].partition("(")[0]))

    class Protocol(asyncio.SubprocessProtocol):
        def pipe_data_received(self, fd: int, data: bytes) -> None:
            del data
            raise ValueError(fd)

        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            over.set_result(None)

    transport, _ = await loop.subprocess_exec(Protocol, *command, stdin=None)
    await over
    transport.close()
    return told, transport.get_returncode()


async def a_protocol_with_methods_of_its_own(command: list[str]) -> Any:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    found: list[bytes] = []

    class Protocol(asyncio.SubprocessProtocol):
        def __init__(self) -> None:
            self.pipe_data_received: Any = lambda _fd, data: found.append(data)
            self.connection_lost: Any = lambda _error: over.set_result(None)

    transport, protocol = await loop.subprocess_exec(Protocol, *command, stdin=None)
    await over
    transport.close()
    return b"".join(sorted(found)), sorted(vars(protocol)), transport.get_returncode()


async def a_command_by_its_name(command: list[str]) -> Any:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    class Protocol(asyncio.SubprocessProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            del exc
            over.set_result(None)

    words: Any = {"protocol_factory": Protocol, "cmd": shlex.join(command)}
    transport, protocol = await loop.subprocess_shell(**words, stdin=None)
    await over
    transport.close()
    return type(protocol).__name__, transport.get_returncode()


async def text_into_a_pipe_of_bytes(command: list[str]) -> Any:
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    stdin: Any = process.stdin
    refused = []
    for write, text in ((stdin.write, "x"), (stdin.writelines, ["x"])):
        try:
            write(text)
        except (AssertionError, TypeError) as error:
            refused.append(repr(error))
    return refused, await process.communicate(b"x\n"), process.returncode


BLOCKING: list[Odd] = [
    words_one_by_one,
    a_pipe_that_it_lets_go_of,
    lines_then_communicate,
    communicate_twice,
    communicate_after_a_close,
    text_that_cannot_be_decoded,
    text_with_other_newlines,
    a_wrapper_of_its_own,
    so_many_bytes_at_a_time,
    some_lines_and_the_rest,
    by_its_descriptor,
    both_in_one,
    a_class_of_its_own,
]
UNDER_ASYNCIO = [
    lines_longer_than_the_limit,
    a_read_that_is_cancelled,
    a_protocol_with_slots,
    a_protocol_that_raises,
    a_protocol_with_methods_of_its_own,
    a_command_by_its_name,
    text_into_a_pipe_of_bytes,
]


@pytest.fixture
def command(make_agent: MakeAgent) -> list[str]:
    return make_agent(SCRIPT)


@pytest.fixture
def watched(
    program: Program, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[Any, Odd, list[str]], Any]]:
    """Run an odd program under an instrumentor, which must see its agent to the end."""

    def run(instrumentor: Any, odd: Odd, command: list[str]) -> Any:
        instrumentor.instrument(**program.providers)
        try:
            return odd(command)
        finally:
            instrumentor.uninstrument()

    yield run
    assert len(program.named("untether.session.started")) == 1
    assert "a mistake of otel-untether" not in caplog.text


@pytest.mark.parametrize("odd", BLOCKING, ids=lambda odd: odd.__name__)
def test_a_popen_program(odd: Odd, command: list[str], watched: Callable[..., Any]) -> None:
    expected = odd(command)
    assert watched(SubprocessAgentInstrumentor(), odd, command) == expected


@pytest.mark.parametrize("odd", UNDER_ASYNCIO, ids=lambda odd: odd.__name__)
def test_an_asyncio_program(
    odd: Callable[[list[str]], Any], command: list[str], watched: Callable[..., Any]
) -> None:
    def run(words: list[str]) -> Any:
        return asyncio.run(odd(words))

    expected = run(command)
    assert watched(AsyncioAgentInstrumentor(), run, command) == expected
