"""Watched agents as their program sees them: under an event loop, and without one."""

from __future__ import annotations

import contextlib
import select
from typing import TYPE_CHECKING

import anyio
from anyio import EndOfStream

from otel_untether.engines.lines import LineSplitter
from otel_untether.sources.event_loop import current_loop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Iterator
    from signal import Signals
    from typing import IO

    from anyio.abc import ByteSendStream, Process

    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary
    from otel_untether.sources.spawned_agent import SpawnedAgent


class _Watched:
    """What can be asked of both kinds."""

    def __init__(self, agent: SpawnedAgent, process: Process | subprocess.Popen[bytes]) -> None:
        self._agent = agent
        self._lines = LineSplitter()
        self.pid: int = process.pid
        """The agent's process id."""

    @property
    def state(self) -> SessionState:
        """What is known of the session: open tools, waits, tokens, the last sign of life."""
        return self._agent.session.state

    @property
    def summary(self) -> Summary | None:
        """How the session went; None until the block has been left."""
        return self._agent.session.summary


class WatchedProcess(_Watched):
    """An agent that runs, and what it did so far.

    Iterate it for lines of its standard output, without their newline. What you do not read
    stays in the pipe and slows the agent, as it would without us. Its standard error is
    drained; the tail is in `state.stderr_tail`. `summary` is there once the ``async with`` ends.
    """

    def __init__(self, agent: SpawnedAgent, process: Process) -> None:
        super().__init__(agent, process)
        self._process = process
        self._loop = current_loop()
        self._waiting: anyio.CancelScope | None = None
        agent.returncode = lambda: process.returncode
        agent.on_left = lambda: self._loop.soon(self._be_patient)

    @property
    def stdin(self) -> ByteSendStream | None:
        """The agent's standard input, where `watch` was told to open one."""
        return self._process.stdin

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def send_signal(self, signal: Signals) -> None:
        """Send the agent a signal.

        :param signal: its number, one of `signal.Signals`.
        """
        self._process.send_signal(signal)

    async def receive(self) -> bytes:
        """Return the next bytes of standard output.

        Raises `anyio.EndOfStream` after the last, or two seconds after the agent's end where a
        descendant holds its output open.
        """
        self._agent.unread_since = None
        try:
            while (chunk := self._agent.read()) is None:
                await self._until_readable()
        finally:
            self._agent.unread_since = self._agent.clock.now()
        if not chunk:
            raise EndOfStream
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield lines of standard output as they come."""
        while True:
            try:
                chunk = await self.receive()
            except EndOfStream:
                break
            for line in self._lines.feed(chunk):
                yield line or b""
        for line in self._lines.rest():
            yield line or b""

    async def wait(self) -> int:
        """Read what is left, wait for the agent's end and return its status."""
        async for _ in self:
            pass
        return await self._process.wait()

    async def exited(self) -> None:
        """Wait for the agent's end, reading nothing."""
        await self._process.wait()

    async def release(self) -> None:
        """Let go of the process, once it has ended, and of its standard input."""
        with anyio.CancelScope(shield=True):
            if self.returncode is not None:
                await self._process.aclose()
            elif self.stdin is not None:
                await self.stdin.aclose()

    async def _until_readable(self) -> None:
        with anyio.CancelScope() as self._waiting:
            self._be_patient()
            await anyio.wait_readable(self._agent.stdout.source)
        self._waiting = None

    def _be_patient(self) -> None:
        """Once the agent has ended, wait no longer than that."""
        seconds = self._agent.patience()
        if self._waiting is not None and seconds is not None:
            self._waiting.deadline = self._loop.time() + seconds


class BlockingWatchedProcess(_Watched):
    """An agent that runs, for a program without an event loop; else like `WatchedProcess`."""

    def __init__(self, agent: SpawnedAgent, process: subprocess.Popen[bytes]) -> None:
        super().__init__(agent, process)
        self._process = process
        agent.returncode = process.poll

    @property
    def stdin(self) -> IO[bytes] | None:
        """The agent's standard input, where `watch` was told to open one."""
        return self._process.stdin

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def send_signal(self, signal: Signals) -> None:
        """Send the agent a signal.

        :param signal: its number, one of `signal.Signals`.
        """
        self._process.send_signal(signal)

    def read(self) -> bytes:
        """Return the next bytes of standard output, none after the last."""
        self._agent.unread_since = None
        try:
            while (chunk := self._agent.read()) is None:
                self._until_readable()
        finally:
            self._agent.unread_since = self._agent.clock.now()
        return chunk

    def __iter__(self) -> Iterator[bytes]:
        """Yield lines of standard output as they come."""
        while chunk := self.read():
            for line in self._lines.feed(chunk):
                yield line or b""
        for line in self._lines.rest():
            yield line or b""

    def wait(self) -> int:
        """Read what is left, wait for the agent's end and return its status."""
        for _ in self:
            pass
        return self._process.wait()

    def exited(self, timeout: float | None = None) -> None:
        """Wait for the agent's end, reading nothing.

        :param timeout: how long, in seconds; for ever if None.
        :raises subprocess.TimeoutExpired: past it.
        """
        self._process.wait(timeout)

    def release(self) -> None:
        """Let go of the agent's standard input."""
        if self.stdin is not None:
            with contextlib.suppress(OSError):
                self.stdin.close()

    def _until_readable(self) -> None:
        poll = select.poll()
        poll.register(self._agent.stdout.source, select.POLLIN)
        seconds = self._agent.patience()
        # Where the agent lives, long enough to cost nothing, short enough to notice its end.
        poll.poll(500 if seconds is None else seconds * 1000)
