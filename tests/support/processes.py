"""Real processes in known states: each a context manager that yields its pid.

A process says so when it has reached its state, and everything it started goes with it when
the context ends: by process id and start time, and by session, never by name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    State: TypeAlias = Callable[[], AbstractContextManager[int]]

_READY = "print('ready', flush=True)"


@contextmanager
def running(
    source: str,
    *args: str,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
    prefix: Sequence[str] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python source, which prints a line once its state is reached, in its own session."""
    command = [*prefix, sys.executable, "-c", textwrap.dedent(source), *args]
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        start_new_session=True,
        pass_fds=pass_fds,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline(), "it ended before its state was reached"
        yield process
    finally:
        end_tree(process)


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and all it started."""
    kill_tree(process)
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
    process.wait()


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all it started; `end_tree` is yet to wait for it."""
    for pid in (*_descendants(process.pid), process.pid):
        _kill(pid)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, and those whose session began with one of them."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                table[int(entry.name)] = int(fields[1]), int(fields[3])
    found = {pid}
    while more := {
        child
        for child, (parent, session) in table.items()
        if child not in found and (parent in found or session in found)
    }:
        found |= more
    return sorted(found - {pid})


def eventually(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until a condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


def open_in_proc() -> int:
    """Return how many files of other processes' /proc this process has open."""
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            targets.append(str(entry.readlink()))
    return sum(target.startswith("/proc/") for target in targets)


def state_of(pid: int) -> str:
    """Return the state letter the kernel shows for a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def asleep_in(pid: int, *places: str) -> None:
    """Wait until a process sleeps in one of these functions of the kernel, by their beginnings.

    The letter alone says too little: on a busy machine it may be asleep on its way there.
    """
    channel = Path(f"/proc/{pid}/wchan")
    eventually(lambda: state_of(pid) == "S" and channel.read_text().startswith(places))


@contextmanager
def sleeper() -> Iterator[int]:
    """Sleep."""
    with running(f"import time; {_READY}; time.sleep(600)") as process:
        asleep_in(process.pid, "hrtimer_nanosleep", "do_nanosleep", "common_nsleep")
        yield process.pid


@contextmanager
def busy() -> Iterator[int]:
    """Burn a core."""
    with running(f"{_READY}\nwhile True: pass") as process:
        yield process.pid


@contextmanager
def burning_child() -> Iterator[int]:
    """Sleep, while a child burns a core."""
    source = f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        {_READY}
        time.sleep(600)
    """
    with running(source) as process:
        yield process.pid


@contextmanager
def zombie() -> Iterator[int]:
    """Sleep, without ever waiting for a child that has ended."""
    source = f"""
        import os, time
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        while b") Z " not in open(f"/proc/{{pid}}/stat", "rb").read():
            time.sleep(0.001)
        {_READY}
        time.sleep(600)
    """
    with running(source) as process:
        yield process.pid


@contextmanager
def stopped() -> Iterator[int]:
    """Be stopped by SIGSTOP."""
    with running(f"import time; {_READY}; time.sleep(600)") as process:
        os.kill(process.pid, signal.SIGSTOP)
        eventually(lambda: state_of(process.pid) == "T")
        yield process.pid


@contextmanager
def blocked_on_full_pipe() -> Iterator[int]:
    """Write to a pipe that nobody reads."""
    source = f"""
        import os
        reading, writing = os.pipe()
        {_READY}
        while True:
            os.write(writing, bytes(65536))
    """
    with running(source) as process:
        asleep_in(process.pid, "pipe_write", "anon_pipe_write")
        yield process.pid


@contextmanager
def blocked_on_lock() -> Iterator[int]:
    """Wait for a file lock that a child holds."""
    source = f"""
        import fcntl, os, tempfile, time
        with tempfile.NamedTemporaryFile() as file:
            reading, writing = os.pipe()
            if os.fork() == 0:
                with open(file.name) as mine:
                    fcntl.flock(mine, fcntl.LOCK_EX)
                    os.write(writing, b"locked")
                    time.sleep(600)
            os.read(reading, 6)
            {_READY}
            fcntl.flock(file, fcntl.LOCK_EX)
    """
    with running(source) as process:
        asleep_in(process.pid, "locks_lock_inode_wait", "flock_lock_inode_wait")
        yield process.pid


@contextmanager
def blocked_on_terminal() -> Iterator[int]:
    """Read from a terminal at which nobody types."""
    master, slave = os.openpty()
    try:
        with running(f"import sys; {_READY}; sys.stdin.readline()", stdin=slave) as process:
            asleep_in(process.pid, "wait_woken", "n_tty_read")
            yield process.pid
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def holding_sockets(port: int, count: int) -> Iterator[int]:
    """Hold `count` connections to a port of this machine, twenty descriptors and four threads."""
    source = f"""
        import socket, sys, threading, time
        port, count = int(sys.argv[1]), int(sys.argv[2])
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        files = [open("/dev/null") for _ in range(17 - count)]
        for _ in range(3):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        {_READY}
        time.sleep(600)
    """
    with running(source, str(port), str(count)) as process:
        yield process.pid


@contextmanager
def setsid_child() -> Iterator[int]:
    """Sleep, with a child in a session of its own."""
    source = f"""
        import subprocess, sys, time
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        {_READY}
        time.sleep(600)
    """
    with running(source) as process:
        yield process.pid


@contextmanager
def daemonizing() -> Iterator[subprocess.Popen[bytes]]:
    """Sleep; a child waits for a byte on stdin, then leaves a grandchild behind and ends.

    The grandchild stays in the child's session. After the byte, a line says it has happened.
    """
    source = f"""
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(60)
            {_READY}
            os.read(0, 1)
            os._exit(0)
        os.wait()
        print("left", flush=True)
        time.sleep(600)
    """
    with running(source, stdin=subprocess.PIPE) as process:
        yield process


@contextmanager
def tree_of(size: int, port: int) -> Iterator[int]:
    """Be the first of `size` processes with two TCP sockets, 20 descriptors, 4 threads each."""
    source = f"""
        import os, socket, sys, threading, time
        port, size = int(sys.argv[1]), int(sys.argv[2])
        reading, writing = os.pipe()
        for _ in range(size - 1):
            if os.fork() == 0:
                break
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        while len(os.listdir("/proc/self/fd")) - 1 < 20:
            held.append(open("/dev/null"))
        for _ in range(3):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        os.write(writing, b".")
        if os.getppid() != int(sys.argv[3]):
            time.sleep(600)
        for _ in range(size):
            os.read(reading, 1)
        {_READY}
        time.sleep(600)
    """
    with running(source, str(port), str(size), str(os.getpid())) as process:
        yield process.pid
