"""A deep look at real processes: threads, bounds, frozen groups, hung mounts, namespaces."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_untether.proc_diag import DeepLook, ProcessLook, ThreadLook, Tree, look_deeper
from tests.support import processes
from tests.support.processes import eventually, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

READY = "print('ready', flush=True)"


def once(pid: int, holds: Callable[[DeepLook], object]) -> DeepLook:
    """Look until something holds: a process may not have come to rest yet."""
    tree, looks = Tree(pid), list[DeepLook]()

    def look() -> object:
        looks.append(look_deeper(tree))
        return holds(looks[-1])

    eventually(look)
    return looks[-1]


def agent_of(look: DeepLook) -> ProcessLook:
    assert look.agent_process is not None
    return look.agent_process


def threads_of(look: DeepLook) -> tuple[ThreadLook, ...]:
    assert look.threads is not None
    return look.threads


def waiting(look: DeepLook, *places: str) -> list[ThreadLook]:
    """The threads that wait in one of these kernel functions."""
    return [t for t in threads_of(look) if t.wchan is not None and t.wchan.startswith(places)]


# What a worker thread does, where that leaves it, and what it waits for.
THREADS: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "a pipe": (
        "reading, writing = os.pipe(); work = lambda: os.read(reading, 1)",
        ("anon_pipe_read", "pipe_read", "pipe_wait_readable"),
        "pipe:[",
    ),
    "a lock of a file": (
        """
        import tempfile
        name = tempfile.mkstemp(suffix=".lock")[1]
        held = open(name); fcntl.flock(held, fcntl.LOCK_EX)
        mine = open(name); os.unlink(name)
        work = lambda: fcntl.flock(mine, fcntl.LOCK_EX)
        """,
        ("locks_lock_inode_wait", "flock_lock_inode_wait"),
        ".lock (deleted)",
    ),
    "a futex": (
        "lock = threading.Lock(); lock.acquire(); work = lock.acquire",
        ("futex",),
        None,
    ),
    "a socket": (
        "import socket; one, two = socket.socketpair(); work = lambda: one.recv(1)",
        ("unix_stream_read_generic", "unix_stream_data_wait"),
        "socket:[",
    ),
    "a terminal": (
        "master, slave = os.openpty(); work = lambda: os.read(slave, 1)",
        ("wait_woken", "n_tty_read"),
        "/dev/pts/",
    ),
    "a timer": ("work = lambda: time.sleep(600)", ("hrtimer_nanosleep",), None),
}


@pytest.mark.parametrize("case", THREADS.values(), ids=THREADS)
def test_a_worker_thread_s_place_is_seen(case: tuple[str, tuple[str, ...], str | None]) -> None:
    """The main thread sleeps in its loop, as Node's, Bun's and Go's do: it tells nothing."""
    work, places, target = case
    source = f"""
import fcntl, os, select, threading, time
{_dedented(work)}
threading.Thread(target=work, daemon=True).start()
{READY}
select.epoll().poll()
"""
    with running(source) as process:
        loop = ("do_epoll_wait", "ep_poll")
        look = once(process.pid, lambda look: waiting(look, *places) and waiting(look, *loop))
        (thread,) = waiting(look, *places)
        assert thread.tid != process.pid
        assert (thread.state, thread.placed) == ("S", True)
        assert (target or "None") in str(thread.waits_on)
        assert [t.tid for t in waiting(look, *loop)] == [process.pid]
        assert look.complete


def _dedented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def test_a_thread_that_burns_cpu_is_told_by_its_ticks() -> None:
    source = f"""
import threading, time
def burn():
    while True: pass
threading.Thread(target=burn, daemon=True).start()
{READY}
time.sleep(600)
"""
    with running(source) as process:
        tree = Tree(process.pid)
        before = {t.tid: t.cpu_ticks or 0 for t in threads_of(look_deeper(tree))}

        def grown() -> list[int]:
            threads = threads_of(look_deeper(tree))
            return [t.tid for t in threads if (t.cpu_ticks or 0) > before.get(t.tid, 0) + 5]

        eventually(grown)
        assert process.pid not in grown()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_thread_in_disk_sleep_is_seen_though_the_main_thread_is_not(tmp_path: Path) -> None:
    """vfork leaves the thread that called it in D until its child has executed a program."""
    with vforking_thread(tmp_path / "vforks") as pid:
        look = once(pid, lambda look: {t.state for t in agent_of(look).threads or ()} == {"D", "S"})
        (stuck,) = [t for t in look.processes[0].threads or () if t.state == "D"]
        assert stuck.tid != pid
        assert stuck.placed


VFORK = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *work(void *nothing) {
    if (vfork() == 0) { pause(); _exit(0); }
    return nothing;
}
int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, work, NULL);
    puts("ready"); fflush(stdout);
    for (;;) pause();
}
"""


@contextmanager
def vforking_thread(program: Path) -> Iterator[int]:
    command = ["gcc", "-x", "c", "-", "-o", str(program), "-pthread"]
    subprocess.run(command, input=VFORK.encode(), check=True)
    process = subprocess.Popen([program], stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        processes.end_tree(process)


def test_threads_beyond_what_is_looked_at_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_untether.proc_diag.linux.deep.MAX_THREADS", 2)
    source = f"""
import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
{READY}
time.sleep(600)
"""
    with running(source) as process:
        look = look_deeper(Tree(process.pid))
    assert look.threads is None
    assert not look.complete
    assert look.problems == (f"process {process.pid} has threads that were not looked at",)
    assert look.sockets == ()
    assert len(agent_of(look).threads or ()) == 2


def test_processes_beyond_what_is_looked_at_leave_the_sockets_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("otel_untether.proc_diag.linux.deep.MAX_PROCESSES", 1)
    with processes.setsid_child() as pid:
        look = look_deeper(Tree(pid))
    assert len(look.processes) == 1
    assert look.sockets is look.outward is None
    assert look.problems == ("1 more processes were not looked at",)


def test_a_tree_that_is_gone_has_nothing_and_nothing_unknown() -> None:
    with processes.sleeper() as pid:
        tree = Tree(pid)
    look = look_deeper(tree)
    assert look.processes == ()
    assert look.sockets == ()
    assert look.agent_process is None


def test_what_passed_through_reads_and_writes_is_counted(tmp_path: Path) -> None:
    source = f"""
import os, sys, time
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(bytes(50_000))
    os.fsync(file.fileno())
{READY}
time.sleep(600)
"""
    with running(source, str(tmp_path / "file")) as process:
        look = agent_of(look_deeper(Tree(process.pid)))
    assert (look.io_written or 0) >= 50_000
    assert look.io_read is not None
    assert look.disk_written is not None


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_another_user_s_process_is_unknown_not_idle() -> None:
    """Looked at by nobody (65534), who may see that it is there and little more."""
    source = """
import os, sys
from otel_untether.proc_diag import Tree, look_deeper
from otel_untether.proc_diag.tree import default_backend
default_backend()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
look = look_deeper(Tree(int(sys.argv[1])))
(one,) = look.processes
print(look.sockets, look.outward, one.descriptors, one.stdin.kind, one.holds_terminal,
      [t.placed for t in one.threads], look.complete)
"""
    with processes.sleeper() as pid:
        command = [sys.executable, "-c", source, str(pid)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.split() == ["None"] * 5 + ["[False]", "False"]


def _freezers() -> list[tuple[Path, str, str, str]]:
    """Where a control group can be made and frozen here: folder, file, and what to write."""
    found = []
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = mount.partition(" - ")
        point = Path(fields.split()[4])
        if kind.startswith("cgroup2 "):
            found.append((point, "cgroup.freeze", "1", "0"))
        elif kind.startswith("cgroup ") and "freezer" in kind.split()[-1].split(","):
            found.append((point, "freezer.state", "FROZEN", "THAWED"))
    return [one for one in found if os.access(one[0], os.W_OK)]


@pytest.mark.parametrize("freezer", _freezers(), ids=lambda one: one[1])
def test_a_frozen_control_group_is_told(freezer: tuple[Path, str, str, str]) -> None:
    """`docker pause`, `systemctl freeze`: its processes look as if they only slept."""
    point, switch, frozen, thawed = freezer
    outer = point / f"untether-test-{os.getpid()}"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    try:
        with processes.sleeper() as pid:
            (inner / "cgroup.procs").write_text(str(pid))
            look = look_deeper(Tree(pid))
            assert agent_of(look).frozen is look.cgroup.frozen is False
            (outer / switch).write_text(frozen)  # a group above it, which freezes it as well
            look = once(pid, lambda look: agent_of(look).frozen)
            assert look.cgroup.frozen is True
            (outer / switch).write_text(thawed)
            once(pid, lambda look: agent_of(look).frozen is False)
    finally:
        for folder in (inner, outer):
            eventually(partial(_removed, folder))


def _removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def test_pressure_and_limit_are_those_of_the_agent_s_own_group() -> None:
    with processes.sleeper() as pid:
        cgroup = look_deeper(Tree(pid)).cgroup
    assert cgroup.path == Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip()
    assert cgroup.frozen is False


@pytest.mark.skipif(
    os.getuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="needs to mount"
)
def test_a_hung_file_system_holds_up_no_look(tmp_path: Path) -> None:
    """A FUSE mount whose server never answers: a thread stuck in it, and descriptors into it."""
    with hung_mount(tmp_path) as mount:
        source = f"""
import os, sys, threading, time
threading.Thread(target=lambda: os.stat(sys.argv[1] + "/x"), daemon=True).start()
{READY}
time.sleep(600)
"""
        with running(source, str(mount)) as process:
            places = ("request_wait_answer", "fuse_", "__fuse")
            look = once(process.pid, lambda look: waiting(look, *places))
            begun = time.monotonic()
            look_deeper(Tree(process.pid))
            assert time.monotonic() - begun < 10
            (stuck,) = waiting(look, *places)
            assert stuck.tid != process.pid


@contextmanager
def hung_mount(folder: Path) -> Iterator[Path]:
    """Mount a FUSE file system of which nobody serves more than the first request."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    assert libc.mount(b"untether-test", os.fsencode(folder), b"fuse", 0, options) == 0
    try:
        yield folder
    finally:
        os.close(device)  # the kernel now answers everybody: the connection is aborted
        eventually(lambda: libc.umount2(os.fsencode(folder), 2) == 0 or ctypes.get_errno() == 22)


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="needs namespaces")
def test_a_process_in_another_pid_and_network_namespace_is_looked_at_as_well() -> None:
    source = f"""
import socket, time
pair = socket.socketpair()
listening = socket.socket()
listening.bind(("0.0.0.0", 0)); listening.listen()
{READY}
time.sleep(600)
"""
    prefix = ("unshare", "-n", "-p", "-f")
    with running(source, prefix=prefix) as process:
        look = once(process.pid, lambda look: look.launchers)
        assert agent_of(look).threads
        states = [(s.family, s.state, s.reach) for s in look.sockets or ()]
    # Whose the other end of a UNIX socket is, only netlink tells, and only in our namespace.
    assert states == [
        ("unix", "ESTABLISHED", None), ("unix", "ESTABLISHED", None), ("tcp", "LISTEN", "outside"),
    ]  # fmt: skip
