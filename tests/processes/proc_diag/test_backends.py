"""Both backends say the same of the same live trees."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from otel_untether import proc_diag
from otel_untether.proc_diag.linux.backend import LinuxBackend
from otel_untether.proc_diag.portable import PortableBackend
from tests.support import processes

BY_BOTH = (
    "ppid", "pgid", "sid", "state", "cpu_user", "cpu_system", "cpu_waited", "threads", "fds",
    "voluntary_switches", "involuntary_switches", "io_read", "io_written", "detached",
)  # fmt: skip


def both(pid: int) -> tuple[proc_diag.TreeSnapshot, proc_diag.TreeSnapshot]:
    """Look at a tree through procfs and through psutil."""
    trees = [
        proc_diag.Tree(pid, backend=backend) for backend in (LinuxBackend(), PortableBackend())
    ]
    linux, portable = proc_diag.sample(trees)
    return linux, portable


@pytest.mark.parametrize(
    "state",
    [
        processes.sleeper,
        processes.stopped,
        processes.zombie,
        processes.setsid_child,
        processes.blocked_on_full_pipe,
        processes.blocked_on_lock,
    ],
)
def test_backends_agree(state: processes.State) -> None:
    with state() as pid:
        time.sleep(0.05)
        linux, portable = both(pid)
    assert linux.alive is portable.alive is True
    assert (linux.threads, linux.fds, linux.zombies) == (
        portable.threads,
        portable.fds,
        portable.zombies,
    )
    theirs = {process.identity.pid: process for process in portable.processes}
    assert theirs.keys() == {process.identity.pid for process in linux.processes}
    for process in linux.processes:
        other = theirs[process.identity.pid]
        assert process.name == other.name
        if process.state != "Z":
            names = [name for name in BY_BOTH if getattr(process, name) != getattr(other, name)]
            assert names == []
            assert process.rss is not None
            assert process.rss == pytest.approx(other.rss, abs=1 << 20)


def test_backends_agree_on_sockets() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        processes.holding_sockets(server.getsockname()[1], 3) as pid,
    ):
        linux, portable = both(pid)
    assert linux.sockets is not None
    assert portable.sockets is not None
    assert [(tcp.state, tcp.remote_port) for tcp in linux.sockets] == [
        (tcp.state, tcp.remote_port) for tcp in portable.sockets
    ]


def test_backends_agree_on_a_burning_child() -> None:
    with processes.burning_child() as pid:
        trees = [proc_diag.Tree(pid, backend=b) for b in (LinuxBackend(), PortableBackend())]
        proc_diag.sample(trees)
        time.sleep(1)
        linux, portable = proc_diag.sample(trees)
    assert linux.cpu_rate is not None
    assert linux.cpu_rate == pytest.approx(portable.cpu_rate, abs=0.15)


@pytest.mark.parametrize("backend", [LinuxBackend(), PortableBackend()])
def test_backends_agree_on_the_dead(backend: LinuxBackend | PortableBackend) -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid, backend=backend)
        (before,) = proc_diag.sample([tree])
    (after,) = proc_diag.sample([tree])
    (absent,) = proc_diag.sample([proc_diag.Tree(2**22 + 1, backend=backend)])
    assert before.alive is True
    assert after.alive is absent.alive is False
    assert after.processes == ()


def test_inherited_children_belong_to_a_subreaper_s_tree() -> None:
    """Even those that were born and orphaned between two looks."""
    source = """
        import ctypes, os, subprocess, sys, time
        from otel_untether import proc_diag
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
        run = "00-" + 32 * "a" + "-" + 16 * "b" + "-01"
        bystander = subprocess.Popen(["sleep", "60"])
        agent = subprocess.Popen(
            ["sh", "-c", "read x; (setsid sleep 60 >/dev/null & ); echo done; read x"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TRACEPARENT": run},
        )
        tree = proc_diag.Tree(agent.pid, subreaper=True, traceparent=run)
        (before,) = proc_diag.sample([tree])
        agent.stdin.write(b"\\n"); agent.stdin.flush()
        agent.stdout.readline()
        for _ in range(500):  # while it becomes `sleep` it has no environment to be known by
            tree.walk(tree.backend.begin(), patience=5)
            (after,) = proc_diag.sample([tree])
            orphans = [member for member in after.children if member.detached]
            if orphans:
                break
            time.sleep(0.01)
        print(len(before.children), len(after.children), len(orphans))
        for pid in (bystander.pid, *[orphan.identity.pid for orphan in orphans]):
            os.kill(pid, 9)
        agent.kill()
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["0", "1", "1"]


def test_an_orphan_inherited_before_the_first_look_belongs_too() -> None:
    """An agent may leave one at once, long before all that watches it has been imported."""
    source = """
        import ctypes, os, subprocess, time
        from otel_untether import proc_diag
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
        run = "00-" + 32 * "a" + "-" + 16 * "b" + "-01"
        bystander = subprocess.Popen(["sleep", "60"])
        time.sleep(0.1)
        agent = subprocess.Popen(
            ["sh", "-c", "sleep 0.1; (setsid sleep 60 >/dev/null & ); echo done; read x"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TRACEPARENT": run},
        )
        agent.stdout.readline()
        tree = proc_diag.Tree(agent.pid, subreaper=True, traceparent=run)
        tree.walk(tree.backend.begin(), patience=5)
        (diag,) = proc_diag.sample([tree])
        orphans = [child.identity.pid for child in diag.children]
        print(len(orphans), bystander.pid in orphans)
        for pid in {bystander.pid, *orphans}:
            os.kill(pid, 9)
        agent.kill()
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["1", "False"]


def test_own_process_is_a_tree_too() -> None:
    linux, portable = both(os.getpid())
    assert linux.alive is portable.alive is True
