"""A freeze in a program's agent is found while it lasts, and ended where that was asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_untether.config.settings import WatchdogConfig
from otel_untether.instrumentors import (
    AsyncioAgentInstrumentor,
    SubprocessAgentInstrumentor,
    communicating,
)
from tests.support.otlp_receiver import wait_until
from tests.support.processes import eventually
from tests.support.program import Program, attributes

from .conftest import MakeAgent, Run, spawned

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
KILLING = QUICK._replace(stall_auto_kill=True)
INIT = '{"type":"system","subtype":"init","session_id":"s","claude_code_version":"2.1.330"}'
# Of a child that sleeps for a time the end might wake it, and it would be spared.
PAUSED = f"'{sys.executable}' -SEc 'import signal; signal.pause()'"
FROZEN = f"echo '{INIT}'; {PAUSED} & echo $! > \"$CHILD\"; wait"


@contextmanager
def instrumented(instrumentor: Any, program: Program, watchdog: WatchdogConfig) -> Iterator[None]:
    instrumentor.instrument(**program.providers, watchdog=watchdog)
    try:
        yield
    finally:
        instrumentor.uninstrument()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_wedged_agent_is_ended_with_its_tree_and_the_program_is_told(
    run: Run,
    program: Program,
    make_agent: MakeAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = tmp_path / "child"
    monkeypatch.setenv("CHILD", str(child))
    with instrumented(AsyncioAgentInstrumentor(), program, KILLING):
        _, status = run(spawned(make_agent(FROZEN)))
    assert status == -signal.SIGTERM
    assert wait_until(lambda: bool(program.roots))
    (root,) = program.roots
    assert attributes(root)["untether.session.outcome"] == "killed"
    assert attributes(root)["error.type"] == "wedged"
    eventually(lambda: gone(int(child.read_text())))


def test_a_popen_program_is_told_too(
    program: Program, make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    monkeypatch.setenv("CHILD", str(child))
    with instrumented(SubprocessAgentInstrumentor(), program, KILLING):
        process = subprocess.Popen(make_agent(FROZEN), stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert len(list(process.stdout)) == 1
        assert process.wait() == -signal.SIGTERM
        process.stdout.close()
    assert wait_until(lambda: bool(program.roots))
    assert attributes(program.roots[0])["untether.session.outcome"] == "killed"
    eventually(lambda: gone(int(child.read_text())))


def test_without_being_asked_nothing_is_ended_and_the_stall_is_told_while_it_lasts(
    run: Run,
    program: Program,
    make_agent: MakeAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(*make_agent(FROZEN), stdout=subprocess.PIPE)
        stalled = await asyncio.to_thread(
            wait_until, lambda: len(program.named("untether.stall")) > 2, 60
        )
        assert stalled
        assert process.returncode is None
        os.kill(int((tmp_path / "child").read_text()), signal.SIGTERM)  # which its parent awaits
        await process.communicate()

    with instrumented(AsyncioAgentInstrumentor(), program, QUICK):
        run(main())
    causes = {attributes(s)["untether.stall.cause"] for s in program.named("untether.stall")}
    assert "wedged" in causes


def test_a_program_that_reads_nothing_is_to_blame_and_not_its_agent(
    program: Program, make_agent: MakeAgent
) -> None:
    """Its event loop is held up: what the agent printed waits, and no one is killed for it."""
    command = make_agent(f"echo '{INIT}'; exec sleep 600")

    async def main() -> int:
        process = await asyncio.create_subprocess_exec(*command, stdout=-1)
        blamed = wait_until(  # in the loop's own thread, which is the point
            lambda: any(
                attributes(s)["untether.stall.cause"] == "output_blocked"
                for s in program.named("untether.stall")
            ),
            60,
        )
        assert blamed
        process.kill()
        await process.communicate()
        return await process.wait()

    with instrumented(AsyncioAgentInstrumentor(), program, KILLING):
        assert asyncio.run(main()) == -signal.SIGKILL
    (root,) = program.roots
    assert attributes(root)["untether.session.outcome"] == "terminated"


def run_to_its_end(command: list[str]) -> tuple[Any, int]:
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout, done.returncode


def run_as_text(command: list[str]) -> tuple[Any, int]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout, done.returncode


def run_one_pipe(command: list[str]) -> tuple[Any, int]:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return done.stdout, done.returncode


def communicate_again(command: list[str]) -> tuple[Any, int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        while True:
            try:
                stdout, _ = process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            return stdout, process.returncode


def read_all(command: list[str]) -> tuple[Any, int]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        return process.stdout.read(), process.wait()


@pytest.mark.parametrize(
    "ask",
    [run_to_its_end, run_as_text, run_one_pipe, communicate_again, read_all],
    ids=lambda ask: ask.__name__,
)
def test_a_program_that_wants_all_at_once_has_its_agent_judged_like_any(
    ask: Callable[[list[str]], tuple[Any, int]],
    program: Program,
    make_agent: MakeAgent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHILD", str(tmp_path / "child"))
    with instrumented(SubprocessAgentInstrumentor(), program, KILLING):
        printed, status = ask(make_agent(FROZEN))
    assert status == -signal.SIGTERM
    assert printed in (f"{INIT}\n", f"{INIT}\n".encode())
    assert wait_until(lambda: bool(program.roots))
    assert attributes(program.roots[0])["error.type"] == "wedged"
    eventually(lambda: gone(int((tmp_path / "child").read_text())))


def test_an_agent_that_nobody_hears_is_never_called_silent(
    program: Program, make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a Python whose `communicate` keeps elsewhere what it reads."""
    monkeypatch.setattr(communicating, "_KEPT", "_elsewhere")
    command = make_agent(f"echo '{INIT}'; sleep 3")
    with instrumented(SubprocessAgentInstrumentor(), program, KILLING):
        done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0
    assert not program.named("untether.stall")
    assert attributes(program.roots[0])["gen_ai.conversation.id"] == "s"


def test_what_a_popen_program_has_not_read_yet_is_no_silence(
    program: Program, make_agent: MakeAgent
) -> None:
    """The second line is in the file's buffer: the agent has ended its turn, and waits."""
    result = '{"type":"result","subtype":"success","session_id":"s"}'
    command = make_agent(f"printf '%s\\n' '{INIT}' '{result}'; read x; exit 0")
    with instrumented(SubprocessAgentInstrumentor(), program, KILLING):
        with subprocess.Popen(command, stdin=-1, stdout=-1) as process:
            assert process.stdout is not None
            assert INIT in process.stdout.readline().decode()
            time.sleep(KILLING.liveness_timeout * 4)  # long enough for a kill of who is silent
            assert result in process.stdout.readline().decode()
            process.communicate(b"go\n")
        assert process.returncode == 0
    assert not program.named("untether.stall")


def test_the_loop_goes_on_while_an_agent_is_ended(program: Program, make_agent: MakeAgent) -> None:
    """One that is deaf to SIGTERM takes the whole grace; no event loop may wait for that."""
    command = make_agent(f"trap '' TERM; echo '{INIT}'; while :; do sleep 600; done")
    gaps: list[float] = []

    async def beat() -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            gaps.append(now - last)
            last = now

    async def main() -> int | None:
        beating = asyncio.create_task(beat())
        _, status = await spawned(command)
        assert await asyncio.to_thread(wait_until, lambda: bool(program.roots), 60)
        beating.cancel()
        return status

    grace = 3.0
    with instrumented(AsyncioAgentInstrumentor(), program, KILLING._replace(kill_grace=grace)):
        assert asyncio.run(main()) == -signal.SIGKILL
    assert max(gaps) < grace
    assert threading.active_count() < 10
