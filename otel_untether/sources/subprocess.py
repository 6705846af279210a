"""The library's way in: spawn an agent from your own Python, and have it watched.

    async with otel_untether.watch(["claude", "-p", prompt, ...]) as agent:
        async for line in agent:
            ...
    print(agent.summary.text())

It works under asyncio and under trio. A program without an event loop says ``with`` and ``for``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
from msgspec.structs import replace

from otel_untether.clock import Clock
from otel_untether.config.settings import Config, WatchdogConfig, load
from otel_untether.sources.spawned_agent import SpawnedAgent
from otel_untether.sources.spawning import environment, spawning, unstarted
from otel_untether.sources.watched_process import BlockingWatchedProcess, WatchedProcess
from otel_untether.store.runs import RunIdentity, new_run_id, store_at
from otel_untether.watching.guest_host import GuestHost
from otel_untether.watching.subject import RunInfo, Subject
from otel_untether.watching.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_untether.session.content import Capture
    from otel_untether.store.runs import Run, Store

    StrPath: TypeAlias = str | os.PathLike[str]

# Beyond the grace of a kill (s): for SIGKILL to work, and to look who is left.
_AFTER_KILL: Final = 2.0


class watch:  # noqa: N801  used as a function is, like `contextlib.suppress`
    """Run an agent and watch it: a trace of its session, its gauges, its silence explained.

    Enter it: ``async with`` under asyncio or trio, ``with`` where there is no
    event loop. Leaving the block waits for the agent. Where an exception or a cancellation leads
    out of it, the whole process tree is ended first (SIGTERM, `kill_grace`, SIGKILL), which
    takes the grace and two seconds at most, and the exception goes on as it came.

    The agent gets a ``TRACEPARENT`` of its session's span, which lies under the current one, if
    there is any. Findings are warnings of the logger ``otel_untether``, too.

    :param command: the agent and its arguments; looked up in ``PATH``, run without a shell.
    :param engine: which CLI's output it prints (``otel-untether run --help`` lists them); by
        default the command tells, or the first lines.
    :param cwd: its working directory, by default this process's.
    :param env: its whole environment, by default this process's.
    :param stdin: its standard input, as in `subprocess.Popen`: nothing (the default),
        ``subprocess.PIPE`` for `WatchedProcess.stdin`, a descriptor, a file.
    :param config: settings, or the path of an ``otel-untether.toml``; by default what
        `load_config` finds (the environment, the user's file).
    :param watchdog: when silence is a stall and what may be done about it, in place of the
        ``[watchdog]`` of `config`. Nothing is killed unless ``stall_auto_kill`` says so.
    :param capture: whether content is captured, in place of the ``[capture]`` of `config` and of
        ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT``.
    :param keep_run: keep a folder of the run, with its samples and the dumps of stalls, where
        `config` has its ``state_dir``; ``otel-untether report`` reads it.
    :param tracer_provider: where spans go; the program's global provider by default, as for
    :param meter_provider: metrics (real observable gauges, so your Views and readers apply), and
    :param logger_provider: log records.
    :raises ConfigError: for a setting that cannot be, before anything is started.
    :raises ValueError: for an unknown engine, or a command without words.
    :raises OSError: on entering, where the command cannot be started.
    :raises RuntimeError: on entering, where no more threads are to be had.
    """

    def __init__(  # noqa: PLR0913  keywords, each of a use of its own
        self,
        command: Sequence[str],
        *,
        engine: str | None = None,
        cwd: StrPath | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        config: Config | StrPath | None = None,
        watchdog: WatchdogConfig | None = None,
        capture: Capture | None = None,
        keep_run: bool = False,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
    ) -> None:
        if not command:
            raise ValueError("watch: the command is empty; expected a program and its arguments")
        settings = _settings(config, watchdog)
        self._store = store_at(settings.telemetry.state_dir, os.environ) if keep_run else None
        self._host = GuestHost(
            settings,
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            capture=capture,
            store=self._store,
        )
        self._command = list(command)
        self._clock = Clock()
        self._info = RunInfo.of_command(new_run_id(), self._clock.now(), command, engine=engine)
        self._spawning: dict[str, Any] = {"cwd": cwd, "env": env, "stdin": stdin}
        self._agent: SpawnedAgent
        self._watched: WatchedProcess | BlockingWatchedProcess

    async def __aenter__(self) -> WatchedProcess:
        """Start the agent, and watch it."""
        agent, options = self._open()
        try:
            with spawning():
                process = await anyio.open_process(self._command, **options)
        except BaseException as error:
            agent.finish(unstarted(error))
            raise
        agent.attend(process.pid)
        self._watched = WatchedProcess(agent, process)
        return self._watched

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the agent; where an exception leads out of the block, end it first."""
        watched = self._watched
        assert isinstance(watched, WatchedProcess)  # noqa: S101  entered by `async with`
        clean = False
        try:
            if error is None:
                await watched.wait()
                clean = True
        finally:
            try:
                if not clean:
                    await self._end(watched)
            finally:  # also where somebody presses Ctrl-C once more
                self._agent.finish(watched.returncode)
                await watched.release()

    def __enter__(self) -> BlockingWatchedProcess:
        """Start the agent, and watch it."""
        agent, options = self._open()
        try:
            with spawning():
                process = subprocess.Popen(self._command, **options)  # noqa: S603  the caller's own
        except BaseException as error:
            agent.finish(unstarted(error))
            raise
        agent.attend(process.pid)
        self._watched = BlockingWatchedProcess(agent, process)
        return self._watched

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the agent; where an exception leads out of the block, end it first."""
        watched = self._watched
        assert isinstance(watched, BlockingWatchedProcess)  # noqa: S101  entered by `with`
        clean = False
        try:
            if error is None:
                watched.wait()
                clean = True
        finally:
            try:
                if not clean:
                    self._end_blocking(watched)
            finally:  # also where somebody presses Ctrl-C once more
                self._agent.finish(watched.returncode)
                watched.release()

    def _open(self) -> tuple[SpawnedAgent, dict[str, Any]]:
        """Open the session; return the agent to be, and how to spawn it."""
        agent = self._agent = SpawnedAgent(self._clock, self._host.settings.watchdog.kill_grace)
        info = replace(self._info, started=self._clock.now())
        subject = Subject(
            info,
            self._clock,
            sampled=True,
            heard=True,
            blocked_since=lambda: agent.unread_since,
            surroundings=Surroundings.given(
                self._spawning["env"] or os.environ, self._spawning["cwd"] or os.curdir
            ),
        )
        run = _run(self._store, info) if self._store is not None else None
        agent.open(self._host.open(subject, run))
        context = agent.session.tracer.root.get_span_context()
        env: Any = self._spawning["env"]
        options = {
            **self._spawning,
            "stdout": agent.stdout.sink,
            "stderr": agent.stderr.sink,
            "env": environment(
                os.environ if env is None else env,
                context,
                native=self._host.settings.telemetry.native,
            ),
        }
        return agent, options

    async def _end(self, watched: WatchedProcess) -> None:
        """End the tree, whatever asks us to hurry; within the grace and two seconds."""
        with anyio.CancelScope(shield=True):
            limiter = anyio.CapacityLimiter(1)  # not to queue behind other threads' work
            await anyio.to_thread.run_sync(self._agent.end_tree, limiter=limiter)
            with anyio.move_on_after(_AFTER_KILL):
                await watched.exited()

    def _end_blocking(self, watched: BlockingWatchedProcess) -> None:
        self._agent.end_tree()
        with contextlib.suppress(subprocess.TimeoutExpired):
            watched.exited(_AFTER_KILL)


def _settings(config: Config | StrPath | None, watchdog: WatchdogConfig | None) -> Config:
    if isinstance(config, Config):
        settings = config
    else:
        settings = load(None if config is None else os.fspath(config))
    if watchdog is not None:
        settings = settings._replace(watchdog=watchdog)
    settings.watchdog.check()  # before there is a process that it would leave behind
    return settings


def _run(store: Store, info: RunInfo) -> Run:
    identity = RunIdentity(info.run_id, info.engine or "unknown")
    return store.create_run(identity, started=info.started, command=info.executable)
