"""What it costs to look at process trees, against psutil on the same trees in the same run.

    python benchmarks/sampling.py [--sessions N]

A tree of ten processes, each with two TCP sockets, twenty descriptors and four threads: all of
them asleep, as agents mostly are, and all of them awake between any two looks. A deep look at it
(with a thread more each). Then the same tree among a thousand strangers, and a fleet of sessions
of three processes and one TCP socket each. Times are CPU time, the best of several looks, so that
a busy machine blurs little. The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from otel_untether import proc_diag
from otel_untether.proc_diag.linux import sock_diag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZE = 10
FASTER = 50  # times faster than psutil, asleep
PER_PROCESS = 60e-6
PER_NAMESPACE = 0.5e-3
PER_FLEET = 0.120  # a tick of 1,000 sessions
STRANGERS = 1000
DEEP = 5e-3
SLOWER = 1.25  # times, for so many processes more on the host, at most

# argv: port, number of processes, seconds between two of a process's wakings.
TREE = """
import os, socket, sys, threading, time
port, size, nap = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
leader = os.getpid()
for _ in range(size - 1):
    if os.fork() == 0:
        break
held = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
while len(os.listdir("/proc/self/fd")) - 1 < 20:
    held.append(open("/dev/null"))
for _ in range(3):
    threading.Thread(target=time.sleep, args=(900,), daemon=True).start()
print("ready", flush=True)
while True:
    time.sleep(nap)
"""

# argv: port, number of sessions. Prints the pid of each session's leader.
FLEET = """
import os, signal, socket, sys
for _ in range(int(sys.argv[2])):
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        held = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        for _ in range(2):
            if os.fork() == 0:
                signal.pause()
        os.write(writing, b".")
        signal.pause()
    os.read(reading, 1)
    os.close(reading), os.close(writing)
    print(pid, flush=True)
signal.pause()
"""


STRANGERS_SOURCE = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
signal.pause()
"""


class Row(NamedTuple):
    """One line of the table; `ok` is None where there is no target."""

    name: str
    measured: str
    target: str = ""
    ok: bool | None = None


@contextlib.contextmanager
def running(source: str, *args: object, lines: int) -> Iterator[list[str]]:
    """Run Python source in a process group of its own until it has said `lines` lines."""
    command = [sys.executable, "-W", "ignore", "-c", source, *map(str, args)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            if process.stdout is None:
                raise RuntimeError("there is no pipe")
            yield [process.stdout.readline().strip() for _ in range(lines)] + [str(process.pid)]
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def best(look: Callable[[], object], *, times: int = 15, pause: float = 0.0) -> float:
    """Return the CPU time of the shortest of several looks, in seconds; none of them waits."""
    took = []
    for _ in range(times):
        time.sleep(pause)
        began = time.thread_time()
        look()
        took.append(time.thread_time() - began)
    return min(took)


def by_psutil(pid: int) -> Callable[[], object]:
    """Return a look at the same facts as psutil has them."""
    leader = psutil.Process(pid)

    def look() -> object:
        facts = []
        for process in [leader, *leader.children(recursive=True)]:
            with process.oneshot():
                facts.append((
                    process.status(), process.cpu_times(), process.memory_info(),
                    process.num_threads(), process.num_fds(), process.num_ctx_switches(),
                    process.io_counters(), process.net_connections(kind="tcp"),
                ))  # fmt: skip
        return facts

    return look


def tree_of_ten(port: int) -> Iterator[Row]:
    """Measure a tree of ten asleep, by psutil and by us; then awake."""
    with running(TREE, port, SIZE, 900, lines=SIZE) as (*_, leader):
        tree = proc_diag.Tree(int(leader))
        asleep = best(lambda: proc_diag.sample([tree]), times=50)
        theirs = best(by_psutil(int(leader)), times=5)
        (diag,) = proc_diag.sample([tree])
        if len(diag.processes) != SIZE or len(diag.sockets or ()) != 2 * SIZE:
            raise RuntimeError(f"this is not the tree meant: {diag}")
        dump = best(lambda: sock_diag.dump(()), times=50)
    with running(TREE, port, SIZE, 0.01, lines=SIZE) as (*_, leader):
        tree = proc_diag.Tree(int(leader))
        awake = best(lambda: proc_diag.sample([tree]), times=30, pause=0.05)
    ratio = theirs / asleep
    yield Row("tree of 10, psutil", milliseconds(theirs))
    yield Row("tree of 10, asleep", milliseconds(asleep))
    yield Row("  times faster", f"{ratio:.0f}", f">= {FASTER}", ratio >= FASTER)
    each = max(0.0, asleep - dump) / SIZE
    yield Row("  per process", microseconds(each), "<= 60 µs", each <= PER_PROCESS)
    yield Row("  per namespace", microseconds(dump), "<= 500 µs", dump <= PER_NAMESPACE)
    yield Row("tree of 10, awake", milliseconds(awake))
    yield Row("  times faster", f"{theirs / awake:.0f}")


def deep_look(port: int) -> Iterator[Row]:
    """Measure a deep look at a tree of ten with five threads each."""
    source = TREE.replace("range(3)", "range(4)")
    with running(source, port, SIZE, 900, lines=SIZE) as (*_, leader):
        tree = proc_diag.Tree(int(leader))
        took = best(lambda: proc_diag.look_deeper(tree), times=100)
        threads = len(proc_diag.look_deeper(tree).threads or ())
    name = f"deep look at {SIZE} processes, {threads} threads"
    yield Row(name, milliseconds(took), f"<= {DEEP * 1e3:.0f} ms", took <= DEEP)


def fleet(port: int, sessions: int) -> Iterator[Row]:
    """Measure a tick of many sessions, and a tree of ten among so many strangers."""
    with running(FLEET, port, sessions, lines=sessions) as (*leaders, _):
        trees = [proc_diag.Tree(int(pid)) for pid in leaders]
        first = best(lambda: proc_diag.sample(trees), times=1)
        proc_diag.sample(trees)
        tick = best(lambda: proc_diag.sample(trees), times=10)
        found = sum(len(diag.processes) for diag in proc_diag.sample(trees))
        for each in trees:
            each.close()
    target = PER_FLEET * sessions / 1000
    yield Row(f"{sessions} sessions, {found} processes, first tick", milliseconds(first))
    yield Row("  every tick", milliseconds(tick), f"<= {target * 1e3:.0f} ms", tick <= target)


def busy_host(port: int) -> Iterator[Row]:
    """Measure a tree of ten among a thousand strangers."""
    with running(TREE, port, SIZE, 900, lines=SIZE) as (*_, leader):
        tree = proc_diag.Tree(int(leader))
        alone = best(lambda: proc_diag.sample([tree]), times=200)
        with running(STRANGERS_SOURCE, STRANGERS, lines=1):
            among = best(lambda: proc_diag.sample([tree]), times=200)
    slower = among / alone
    yield Row(f"tree of 10 among {STRANGERS} strangers", milliseconds(among))
    yield Row("  times slower", f"{slower:.2f}", f"<= {SLOWER}", slower <= SLOWER)


def milliseconds(seconds: float) -> str:
    """Format a time."""
    return f"{seconds * 1e3:.2f} ms"


def microseconds(seconds: float) -> str:
    """Format a short time."""
    return f"{seconds * 1e6:.1f} µs"


def main() -> int:
    """Measure, print the table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=1000)
    arguments = parser.parse_args()
    missed = 0
    with socket.create_server(("127.0.0.1", 0), backlog=5000) as server:
        port = server.getsockname()[1]
        parts = (tree_of_ten, deep_look, busy_host)
        for rows in (*(part(port) for part in parts), fleet(port, arguments.sessions)):
            for row in rows:
                verdict = {None: "", True: "ok", False: "MISSED"}[row.ok]
                print(f"{row.name:44} {row.measured:>12}  {row.target:>10}  {verdict}", flush=True)
                missed += row.ok is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
