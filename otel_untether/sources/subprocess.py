"""The library's way in: spawn an agent from your own Python, and have it watched.

    async with otel_untether.watch(["claude", "-p", prompt, ...]) as agent:
        async for line in agent:
            ...
    print(agent.summary.text())

With `watchdog=WatchdogConfig()` its silence is watched, too. Spans go through the OpenTelemetry
providers of the program, or through those it passes.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import EndOfStream

from otel_untether.clock import Clock
from otel_untether.engines import registry
from otel_untether.engines.lines import LineSplitter
from otel_untether.export.propagation import TRACEPARENT
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.session.content import from_environ
from otel_untether.store.runs import new_run_id
from otel_untether.supervisor.observer import Child
from otel_untether.watching.desk import LogDesk
from otel_untether.watching.monitor import Monitor
from otel_untether.watching.recorder import Recorder, RunInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from signal import Signals

    from anyio.abc import ByteSendStream, Process
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.trace import Span, TracerProvider

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.session.content import Capture
    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary


class WatchedProcess:
    """An agent that runs, and what it did so far.

    Iterate it for lines of its standard output, without their newline. What you do not read
    stays in the pipe and slows the agent, as it would without us. Its standard error is
    drained; the tail is in `state.stderr_tail`. `summary` is there once the `async with` ends.
    """

    def __init__(self, process: Process, recorder: Recorder, clock: Clock) -> None:
        self._process = process
        self._recorder = recorder
        self._clock = clock
        self._lines = LineSplitter()
        # Since when nobody asks for the agent's output, None while somebody does.
        self._unread_since: int | None = clock.now()
        self.summary: Summary | None = None

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self._process.pid

    @property
    def state(self) -> SessionState:
        """What is known of the session: open tools, waits, tokens, the last sign of life."""
        return self._recorder.state

    @property
    def stdin(self) -> ByteSendStream | None:
        """The agent's standard input, where `watch` was told to open one."""
        return self._process.stdin

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def send_signal(self, signal: Signals) -> None:
        """Send the agent a signal."""
        self._process.send_signal(signal)

    async def receive(self) -> bytes:
        """Return the next bytes of standard output; `anyio.EndOfStream` after the last."""
        assert self._process.stdout is not None  # noqa: S101  it was opened as a pipe
        self._unread_since = None
        try:
            chunk = await self._process.stdout.receive()
            self._recorder.feed(chunk, self._clock.now())
        finally:
            self._unread_since = self._clock.now()
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

    async def _drain_stderr(self) -> None:
        if self._process.stderr is not None:
            async for chunk in self._process.stderr:
                self._recorder.feed_stderr(chunk, self._clock.now())

    def _monitored(self, command: Sequence[str], watchdog: WatchdogConfig) -> Monitor:
        child = Child(
            pid=self.pid,
            argv=tuple(command),
            started=self.state.started,
            clock=self._clock,
            relayed=frozenset({"stdout"}),
            blocked_since=lambda: self._unread_since,
        )
        sampler = Sampler(watchdog.sample_interval)
        return Monitor(self._recorder, child, watchdog, sampler, LogDesk())

    async def _watch_silence(self, monitor: Monitor, interval: float) -> None:
        while True:
            await anyio.sleep(interval)
            monitor.tick(self._clock.now())

    def _finish(self, killed_for: str | None) -> None:
        code = self.returncode
        exit_code, signal = (code, None) if code is None or code >= 0 else (None, -code)
        self.summary = self._recorder.finish(exit_code, signal, self._clock.now(), killed_for)


@asynccontextmanager
async def watch(
    command: Sequence[str],
    *,
    engine: str | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    tracer_provider: TracerProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    capture: Capture | None = None,
    watchdog: WatchdogConfig | None = None,
) -> AsyncIterator[WatchedProcess]:
    """Run an agent and make a trace of its session.

    `engine` is found from the command, or from the first lines, where it is not given. The
    agent gets a `TRACEPARENT` of its session's span, which itself lies under the current one,
    if there is any. With a `watchdog` configuration its process tree is sampled and its silence
    explained, in spans, events and warnings of the logger `otel_untether`.

    Leaving the block waits for the agent; leaving it by an exception, or by cancellation, ends
    the agent first. Raises what `anyio.open_process` raises when the command cannot be started,
    `ValueError` for an unknown engine, `ConfigError` for a configuration that cannot be.
    """
    if watchdog is not None:
        watchdog.check()  # before there is a process that a wrong setting would leave behind
    clock = Clock()
    named = registry.get(engine) if engine else registry.detect_argv(command)
    run = RunInfo(
        run_id=new_run_id(),
        started=clock.now(),
        engine=named.name if named else None,
        executable=Path(command[0]).name,
        multi_prompt=named is not None and named.multi_prompt(command),
    )
    recorder = Recorder(
        run,
        tracer_provider=tracer_provider,
        logger_provider=logger_provider,
        capture=capture or from_environ(os.environ),
    )
    try:
        process = await anyio.open_process(
            list(command),
            stdin=stdin,
            cwd=cwd,
            env=_environment(os.environ if env is None else env, recorder.tracer.root),
        )
    except OSError:
        recorder.finish(127, at=clock.now())
        raise
    recorder.spawned(process.pid)
    watched = WatchedProcess(process, recorder, clock)
    monitor = watched._monitored(command, watchdog) if watchdog else None  # noqa: SLF001
    try:
        async with _attended(process, watched, monitor, watchdog):
            yield watched
    finally:
        if monitor is not None:
            monitor.close()
        watched._finish(monitor.killed_for if monitor else None)  # noqa: SLF001


@asynccontextmanager
async def _attended(
    process: Process,
    watched: WatchedProcess,
    monitor: Monitor | None,
    watchdog: WatchdogConfig | None,
) -> AsyncIterator[None]:
    """Drain standard error beside the caller, who gets its own exceptions as they are."""
    error: Exception | None = None
    async with process, anyio.create_task_group() as tasks:
        tasks.start_soon(watched._drain_stderr)  # noqa: SLF001
        if monitor is not None and watchdog is not None:
            interval = min(1.0, watchdog.sample_interval)
            tasks.start_soon(watched._watch_silence, monitor, interval)  # noqa: SLF001
        try:
            yield
            await watched.wait()
            tasks.cancel_scope.cancel()
        except Exception as raised:  # noqa: BLE001  raised again below, outside of the group
            error = raised
            # Cancellation has `process` kill it, once: to kill twice can lose the status.
            process.kill()
    if error is not None:
        raise error


def _environment(env: Mapping[str, str], root: Span) -> dict[str, str]:
    """Hand the session's span on, in the form that every CLI accepts (flags 00 or 01)."""
    context = root.get_span_context()
    if not context.is_valid:
        return dict(env)
    flags = context.trace_flags & 1
    return {**env, TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"}
