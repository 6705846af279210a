"""Who outlives the agent is named, and ended where that was asked for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_untether import Config, WatchdogConfig, semconv, watch
from tests.support.otlp_receiver import wait_until

LEAVING = ["sh", "-c", "sleep 61.5 >/dev/null 2>&1 & echo $!; sleep 0.5"]


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@contextlib.contextmanager
def ended_after(pids: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def left_by(config: Config) -> tuple[int, object]:
    with watch(LEAVING, config=config) as agent:
        (line,) = list(agent)
    assert agent.summary is not None
    return int(line), agent.summary.extra.get(semconv.LEFT_BEHIND)


def test_who_outlives_the_agent_is_named_and_let_be(caplog: pytest.LogCaptureFixture) -> None:
    pid, left = left_by(Config(watchdog=WatchdogConfig(sample_interval=0.1)))
    with ended_after([pid]):
        assert left == (f"{pid} sleep",)
        assert alive(pid)
    assert f"left behind by the agent: {pid} sleep" in caplog.text


def test_who_outlives_the_agent_is_ended_on_request() -> None:
    watchdog = WatchdogConfig(sample_interval=0.1, reap_orphans=True)
    pid, left = left_by(Config(watchdog=watchdog))
    with ended_after([pid]):
        assert left == (f"{pid} sleep",)
        assert wait_until(lambda: not alive(pid))


LEAVES = (
    "sleep 61.7 >/dev/null 2>&1 & "
    'while read name < /proc/$!/comm && test "$name" != sleep; do :; done; echo $!'
)
# Started and left behind at once: no look has seen it below the agent, nor below who started it.
AT_THE_LAST_MOMENT = {
    "in the agent's own group": LEAVES,
    "in a session that nobody saw": f"setsid sh -c '{LEAVES}'; true",
}


@pytest.mark.parametrize("how", AT_THE_LAST_MOMENT)
def test_who_is_started_at_the_last_moment_is_named_and_ended_on_request(how: str) -> None:
    watchdog = WatchdogConfig(sample_interval=60.0, reap_orphans=True)
    provider = TracerProvider(shutdown_on_exit=False)
    command = ["setsid", "sh", "-c", AT_THE_LAST_MOMENT[how]]
    with watch(command, config=Config(watchdog=watchdog), tracer_provider=provider) as agent:
        (line,) = list(agent)
        stranger = subprocess.Popen(["sleep", "61.8"], start_new_session=True)
    with stranger, ended_after([stranger.pid]):
        assert alive(stranger.pid)
    assert agent.summary is not None
    pid = int(line)
    with ended_after([pid]):
        assert agent.summary.extra.get(semconv.LEFT_BEHIND) == (f"{pid} sleep",)
        assert wait_until(lambda: not alive(pid))


def test_nobody_is_left_by_an_agent_that_ends_alone() -> None:
    with watch(["true"]) as agent:
        agent.wait()
    assert agent.summary is not None
    assert semconv.LEFT_BEHIND not in agent.summary.extra
