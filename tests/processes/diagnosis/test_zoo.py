"""Real processes put into each state: the detector names it, with thresholds shortened."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from otel_untether.clock import Clock
from otel_untether.config.settings import WatchdogConfig
from otel_untether.engines import registry
from otel_untether.proc_diag import Tree, sample
from otel_untether.proc_diag.gather import look_deeper
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.stall import Finding, StallDetector, describe
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_untether.proc_diag import TreeSnapshot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

CLAUDE = registry.get("claude").traits
CONFIG = (
    WatchdogConfig(stall_auto_kill="dry-run")
    .scaled(0.002)
    ._replace(sample_interval=0.1, tool_timeout=0.8, cpu_idle_bound=0.15)
)


def watch(
    pid: int, tell: Callable[[SessionState, int], object] | None = None, seconds: float = 2.2
) -> list[Finding]:
    """Watch a process that has just printed a line, and will print no other."""
    clock, tree, detector = Clock(), Tree(pid), StallDetector(CONFIG)
    state = SessionState(run_id="r", started=clock.now(), engine="claude", traits=CLAUDE)
    state.line(clock.now())
    apply(state, ev.TurnStarted(at=clock.now()))
    if tell is not None:
        tell(state, clock.now())
    window: list[TreeSnapshot] = []
    found: list[Finding] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        window = [*window[-20:], *sample([tree])]
        finding = detector.tick(state, window, clock.now(), look=lambda: look_deeper(tree))
        found += [finding] if finding else []
        time.sleep(CONFIG.sample_interval)
    tree.close()
    return found


def open_tool(state: SessionState, now: int) -> None:
    apply(state, ev.ToolStarted(at=now, id="1", name="Bash"))


def first(found: list[Finding]) -> tuple[str, str]:
    return found[0].kind, found[0].cause


def killed(found: list[Finding]) -> bool:
    return any(finding.kind == "kill" for finding in found)


@contextlib.contextmanager
def peer(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Accept connections on a port of this machine, and do `talk` on each in turn."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    talk(held[-1])

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()
        thread.join()


def drip(connection: socket.socket) -> None:
    """Send a byte now and then, until nobody listens."""
    with contextlib.suppress(OSError):
        while True:
            connection.send(b".")
            time.sleep(0.03)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (processes.stopped, "stopped"),
        (processes.blocked_on_full_pipe, "output_blocked"),
        (processes.blocked_on_lock, "lock_wait"),
        (processes.blocked_on_terminal, "awaiting_terminal"),
    ],
)
def test_a_process_in_this_state_is_named_and_spared(state: processes.State, cause: str) -> None:
    with state() as pid:
        found = watch(pid)
    assert first(found) == ("stall", cause)
    assert not killed(found)


def test_a_busy_loop_is_named_and_spared() -> None:
    """On a crowded machine it takes a while until it gets its half core in each sample."""
    with processes.busy() as pid:
        found = watch(pid, seconds=8)
    assert found[0].kind == "stall"
    assert "spinning" in {finding.cause for finding in found}
    assert not killed(found)


def test_a_true_wedge_is_found_and_would_be_killed() -> None:
    with processes.sleeper() as pid:
        found = watch(pid)
    assert first(found) == ("stall", "wedged")
    assert killed(found)
    assert "nothing can wake it" in describe(found[0])


def test_a_silent_peer_is_a_silent_model() -> None:
    with peer(lambda _connection: None) as port, processes.holding_sockets(port, 1) as pid:
        found = watch(pid)
    assert first(found) == ("stall", "model_silent")
    assert f"waiting for the model on 127.0.0.1:{port}, silent for" in describe(found[0])
    assert not killed(found)


def test_a_dripping_peer_is_no_stall_before_the_liveness_check() -> None:
    with peer(drip) as port, processes.holding_sockets(port, 1) as pid:
        found = watch(pid)
    stalls = [finding for finding in found if finding.kind == "stall"]
    assert stalls[0].idle_s >= CONFIG.liveness_timeout
    assert not killed(found)


def test_a_sleeping_tool_is_hung_and_never_killed_by_default() -> None:
    with processes.setsid_child() as pid:
        found = watch(pid, open_tool)
    assert first(found) == ("stall", "tool_hung")
    assert not killed(found)


def test_a_working_tool_is_slow_not_hung() -> None:
    with processes.burning_child() as pid:
        found = watch(pid, open_tool, seconds=1.3)
    assert first(found) == ("waiting", "tool_running")


def test_an_agent_that_waits_for_its_input_is_told_so() -> None:
    source = "import sys; print('ready', flush=True); sys.stdin.buffer.raw.read(1)"
    with processes.running(source, stdin=subprocess.PIPE) as process:
        found = watch(process.pid)
    assert first(found) == ("stall", "awaiting_stdin")


def test_an_agent_that_has_ended_unnoticed_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    processes.eventually(lambda: processes.state_of(process.pid) == "Z")
    found = watch(process.pid, seconds=0.6)
    process.wait()
    assert first(found) == ("stall", "dead")
