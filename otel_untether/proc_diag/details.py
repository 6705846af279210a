"""A detailed look at a tree, once, when it has stalled.

Unlike a sample this reads command lines, which a hung mount can block for ever. So it reads on
a thread of its own and waits for it only so long; what came by then is the dump.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.redaction import option_names
from otel_untether.proc_diag.tree import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.proc_diag.snapshot import ProcDiag, ProcessDiag
    from otel_untether.proc_diag.tree import Tree

    Redact: TypeAlias = Callable[[Sequence[str]], Sequence[str]]

# Threads that never came back from a read. Past this many, no more are risked.
_MAX_STUCK: Final = 4
_MAX_THREADS: Final = 200
_stuck = threading.BoundedSemaphore(_MAX_STUCK)


@dataclass(frozen=True, slots=True)
class ThreadDump:
    """One thread: its name, state letter and the kernel function it waits in."""

    tid: int
    name: str
    state: str
    wchan: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessDump:
    """One process. `command` is None when it could not be read in time."""

    process: ProcessDiag
    threads: tuple[ThreadDump, ...] = ()
    command: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Dump:
    """A tree in detail; `complete` is False when reading it took too long."""

    diag: ProcDiag
    processes: tuple[ProcessDump, ...] = ()
    complete: bool = True


def dump(
    tree: Tree,
    *,
    timeout: float = 2.0,
    redact: Redact = option_names,
) -> Dump:
    """Look at a tree in detail, for at most `timeout` seconds.

    Command lines pass through `redact`, which by default leaves program and option names.
    """
    (diag,) = sample([tree])
    found = {process.identity.pid: ProcessDump(process) for process in diag.processes}
    done = threading.Event()
    if not _stuck.acquire(blocking=False):
        return Dump(diag, tuple(found.values()), complete=False)

    def read() -> None:
        try:
            _read(tree, found, redact)
        finally:
            _stuck.release()
            done.set()

    threading.Thread(target=read, name="untether-dump", daemon=True).start()
    complete = done.wait(timeout)
    return Dump(diag, tuple(found.copy().values()), complete=complete)


def _read(tree: Tree, found: dict[int, ProcessDump], redact: Redact) -> None:
    """Fill `found` in: for all of them what cannot block first, then what can."""
    for pid, process in tuple(found.items()):
        found[pid] = replace(process, threads=_threads(pid))
    for pid, process in tuple(found.items()):
        # A process in disk sleep is the one whose command line may never come.
        if process.process.state not in ("D", "Z", "X"):
            argv = _argv(pid)
            if argv and tree.backend.identify(pid) == process.process.identity:
                found[pid] = replace(process, command=tuple(redact(argv)))


def _threads(pid: int) -> tuple[ThreadDump, ...]:
    tids = sorted(map(int, files.listing(f"/proc/{pid}/task") or ()))[:_MAX_THREADS]
    return tuple(thread for tid in tids if (thread := _thread(f"/proc/{pid}/task/{tid}", tid)))


def _thread(base: str, tid: int) -> ThreadDump | None:
    if (raw := files.read(f"{base}/stat")) is None:
        return None
    stat = procfs.parse_stat(raw)
    return ThreadDump(tid, stat.name, stat.state, procfs.parse_wchan(files.read(f"{base}/wchan")))


def _argv(pid: int) -> list[str]:
    raw = files.read(f"/proc/{pid}/cmdline")
    return os.fsdecode(raw).rstrip("\0").split("\0") if raw else []
