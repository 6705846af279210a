"""Agents spawned from somebody's own Python."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import ConfigError, WatchdogConfig
from otel_untether.sources.subprocess import watch
from tests.support.otlp_receiver import wait_until

pytestmark = pytest.mark.anyio
AGENT = [sys.executable, "-m", "otel_untether.demo", "--pace", "0.01"]


@pytest.fixture(
    params=[("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def root_of(spans: InMemorySpanExporter) -> ReadableSpan:
    (root,) = (span for span in spans.get_finished_spans() if span.parent is None)
    return root


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_lines_come_through_and_a_trace_is_made(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    async with watch(AGENT, engine="claude", tracer_provider=provider) as agent:
        lines = [json.loads(line) async for line in agent]
    assert lines[0]["type"] == "system"
    assert agent.summary is not None
    assert agent.summary.outcome.word == "completed"
    names = [span.name for span in spans.get_finished_spans()]
    assert "execute_tool Bash" in names
    assert root_of(spans).name == "invoke_agent claude"


async def test_an_agent_nobody_reads_is_read_to_its_end(provider: TracerProvider) -> None:
    async with watch(AGENT, engine="claude", tracer_provider=provider) as agent:
        pass
    assert agent.returncode == 0
    assert agent.state.tools > 0


async def test_the_agent_is_told_its_trace_in_flags_that_all_accept(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """Codex rejects the SDK's flags 03."""
    code = "import os; print(os.environ['TRACEPARENT'])"
    async with watch(python(code), tracer_provider=provider) as agent:
        (line,) = [line async for line in agent]
    context = root_of(spans).context
    assert context is not None
    assert line.decode() == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


async def test_a_session_lies_under_the_current_span(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with provider.get_tracer("host").start_as_current_span("job"):
        async with watch(python("print(1)"), tracer_provider=provider):
            pass
    assert root_of(spans).name == "job"


async def test_an_exception_is_the_callers_own_and_ends_the_agent(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with watch(python("import time; time.sleep(60)"), tracer_provider=provider):
            raise LookupError("mine")
    assert (root_of(spans).attributes or {})["error.type"] == "SIGTERM"


async def test_cancellation_ends_the_agent(provider: TracerProvider) -> None:
    with anyio.CancelScope() as scope:
        async with watch(python("import time; time.sleep(60)"), tracer_provider=provider) as agent:
            scope.deadline = anyio.current_time() + 0.3
            await anyio.sleep(60)
    assert scope.cancelled_caught
    assert agent.returncode == -15


async def test_a_command_that_does_not_exist_raises_and_leaves_a_failed_root(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(FileNotFoundError):
        async with watch(["no-such-agent"], tracer_provider=provider):
            pass
    assert (root_of(spans).attributes or {})["untether.session.outcome"] == "failed"


async def test_stderr_is_drained_and_its_tail_kept(provider: TracerProvider) -> None:
    code = "import sys; sys.stderr.write('x' * 200_000 + '\\nlast words\\n')"
    async with watch(python(code), tracer_provider=provider) as agent:
        pass
    assert agent.state.stderr_tail[-1] == "last words"


QUICK = WatchdogConfig(
    stall_timeout=0.3,
    stall_repeat_seconds=0.3,
    liveness_timeout=0.6,
    startup_timeout=0.3,
    resume_startup_timeout=0.2,
    kill_grace=0.5,
    kill_confirmations=2,
    sample_interval=0.1,
)
INIT = '{"type":"system","subtype":"init","session_id":"s","claude_code_version":"2.1.330"}'
SILENT = f"import threading; print({INIT!r}, flush=True); threading.Event().wait()"


async def test_silence_is_explained(
    provider: TracerProvider, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    def stalls() -> list[str]:
        return [s.name for s in spans.get_finished_spans() if s.name == "untether.stall"]

    with anyio.CancelScope() as scope:
        async with watch(python(SILENT), tracer_provider=provider, watchdog=QUICK) as agent:
            await to_thread.run_sync(wait_until, stalls, 60)
            scope.cancel()
            await agent.wait()
    assert stalls()
    assert re.search(r"python3?[.0-9]* \(run [0-9a-f]{8}\): silent for", caplog.text), caplog.text


async def test_a_wedged_agent_is_killed_on_request(provider: TracerProvider) -> None:
    watchdog = QUICK._replace(stall_auto_kill=True)
    with anyio.fail_after(10):
        async with watch(
            python(SILENT), engine="claude", tracer_provider=provider, watchdog=watchdog
        ) as agent:
            await agent.wait()
    assert agent.summary is not None
    assert agent.summary.outcome == ("killed", "wedged")


async def test_an_agent_whose_output_nobody_reads_is_not_to_blame(
    provider: TracerProvider,
) -> None:
    watchdog = QUICK._replace(stall_auto_kill=True)
    code = "print('x' * 1_000_000)"
    async with watch(python(code), tracer_provider=provider, watchdog=watchdog) as agent:
        await anyio.sleep(2.5)
    assert agent.returncode == 0


async def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(ValueError, match="stall_timeout"):
        async with watch(["touch", str(started)], watchdog=QUICK._replace(stall_timeout=-1.0)):
            pass
    assert not started.exists()


async def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown engine 'clod'.*claude"):
        async with watch(["x"], engine="clod"):
            pass


HOLDING = ["sh", "-c", "sleep 60.5 & echo '{}'; exit 0"]
FAMILY = "sleep 60.5 & sleep 60.5"


@contextlib.contextmanager
def nobody_is_left(mark: str = "sleep\x0060.5") -> Iterator[None]:
    """Make sure that nobody of the agent's family outlives the block."""
    before = set(running(mark))
    yield
    assert wait_until(lambda: not set(running(mark)) - before)


def running(mark: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "cmdline").read_text():
                yield int(folder.name)


async def test_leaving_does_not_wait_for_whoever_else_holds_the_output_open() -> None:
    with anyio.fail_after(30):
        async with watch(HOLDING) as agent:
            lines = [line async for line in agent]
    assert lines == [b"{}"]
    assert agent.returncode == 0
    for pid in running("sleep\x0060.5"):
        os.kill(pid, signal.SIGKILL)


async def test_cancellation_ends_the_whole_tree_and_comes_out_as_it_went_in() -> None:
    with nobody_is_left():
        with anyio.CancelScope() as scope:
            async with watch(["sh", "-c", FAMILY]) as agent:
                scope.deadline = anyio.current_time() + 0.3
                await agent.wait()
        assert scope.cancelled_caught
    assert agent.returncode == -signal.SIGTERM


async def test_a_deaf_tree_is_killed_within_the_grace_and_two_seconds() -> None:
    code = "trap '' TERM; echo ready; (trap '' TERM; sleep 60.5; sleep 60.5) & sleep 60.5; wait"
    grace = 0.5
    with nobody_is_left():
        with anyio.CancelScope() as scope:
            watchdog = WatchdogConfig(kill_grace=grace)
            async with watch(["sh", "-c", code], watchdog=watchdog) as agent:
                assert await agent.receive()
                began = time.monotonic()
                scope.cancel()
                await agent.wait()
        took = time.monotonic() - began
    assert agent.returncode == -signal.SIGKILL
    assert took >= grace
    assert agent.summary is not None


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_what_is_raised_inside_comes_out_as_it_is(kind: type[BaseException]) -> None:
    """Not as a group, whatever runs the loop."""

    async def raising() -> None:
        async with watch(["sh", "-c", FAMILY]):
            raise kind("mine")

    for backend in ("asyncio", "trio"):
        with nobody_is_left(), pytest.raises(kind, match="mine"):
            anyio.run(raising, backend=backend)


def test_asyncios_own_timeout_and_cancellation_end_the_tree() -> None:
    async def timed_out() -> None:
        async with asyncio.timeout(0.3), watch(["sh", "-c", FAMILY]) as agent:
            await agent.wait()

    async def waited_for() -> None:
        async def block() -> None:
            async with watch(["sh", "-c", FAMILY]) as agent:
                await agent.wait()

        await asyncio.wait_for(block(), 0.3)

    async def cancelled() -> None:
        began = asyncio.Event()

        async def block() -> None:
            async with watch(["sh", "-c", FAMILY]) as agent:
                began.set()
                await agent.wait()

        task = asyncio.create_task(block())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        raise TimeoutError

    for way in (timed_out, waited_for, cancelled):
        with nobody_is_left(), pytest.raises(TimeoutError):
            asyncio.run(way())


def test_without_a_loop_it_is_the_same(provider: TracerProvider) -> None:
    with watch(AGENT, engine="claude", tracer_provider=provider) as agent:
        lines = [json.loads(line) for line in agent]
    assert lines[0]["type"] == "system"
    assert agent.summary is not None
    assert agent.summary.outcome.word == "completed"


def test_without_a_loop_an_exception_ends_the_tree() -> None:
    def raising() -> None:
        with watch(["sh", "-c", FAMILY]):
            raise ZeroDivisionError

    with nobody_is_left(), pytest.raises(ZeroDivisionError):
        raising()


async def test_a_foreign_tracestate_is_not_handed_on(provider: TracerProvider) -> None:
    code = "import os; print(os.environ.get('TRACESTATE'))"
    env = {**os.environ, "TRACESTATE": "vendor=1"}
    async with watch(python(code), env=env, tracer_provider=provider) as agent:
        assert [line async for line in agent] == [b"None"]


def test_settings_come_from_a_file_too(tmp_path: Path) -> None:
    settings = tmp_path / "otel-untether.toml"
    settings.write_text("[watchdog]\nstall_timeout = -1\n")
    with pytest.raises(ConfigError, match=r"stall_timeout.*otel-untether.toml|otel-untether.toml"):
        watch(["true"], config=settings)


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(ValueError, match="the command is empty"):
        watch([])


async def test_nothing_of_a_process_is_left_open(provider: TracerProvider) -> None:
    """Python warns of pipes and transports that are collected while they are open."""
    code = "import sys; print(sys.stdin.readline())"
    async with watch(python(code), stdin=subprocess.PIPE, tracer_provider=provider) as agent:
        assert agent.stdin is not None
        await agent.stdin.send(b"hello\n")
        assert [line async for line in agent] == [b"hello", b""]
    del agent
    gc.collect()
    with watch(python(code), stdin=subprocess.PIPE, tracer_provider=provider) as other:
        assert other.stdin is not None
        other.stdin.write(b"hello\n")
        other.stdin.flush()
        assert list(other) == [b"hello", b""]
    del other
    gc.collect()
