"""A detailed look at a tree, once, when it has stalled: what the operator reads at 3 a.m.

It is a deep look and more: command lines, which a hung mount can block for ever, and where in
the kernel each thread stands. So it reads on a thread of its own and waits for it only so long;
what came by then is the dump. Names and addresses in it pass through redaction.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from otel_untether.proc_diag.gather import look_deeper
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.redaction import option_names
from otel_untether.proc_diag.tree import sample
from otel_untether.session.redaction import redact as hide_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_untether.proc_diag.deep_look import (
        CgroupLook,
        DeepLook,
        DescriptorLook,
        ProcessLook,
        SocketLook,
        StdinLook,
        ThreadLook,
    )
    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot, TreeSnapshot
    from otel_untether.proc_diag.tree import Tree

    Redact: TypeAlias = Callable[[Sequence[str]], Sequence[str]]

# Threads that never came back from a read. Past this many, no more are risked.
_MAX_STUCK: Final = 4
_MAX_DESCRIPTORS: Final = 200
_RECORDS: Final = (".jsonl", ".log", ".txt", ".ndjson")
_stuck = threading.BoundedSemaphore(_MAX_STUCK)


class ThreadDump(Struct, frozen=True):
    """One thread: its name, state letter, and the kernel function it waits in.

    `cpu` is the CPU time it has used, in seconds; `waits_on` what the descriptor is that its
    system call is about; `stack` the kernel's functions it stands in, innermost first, None where
    they may not be read (only root may).
    """

    tid: int
    name: str | None
    state: str | None
    wchan: str | None = None
    cpu: float | None = None
    waits_on: str | None = None
    stack: tuple[str, ...] | None = None


class FileDump(Struct, frozen=True):
    """A file that a process has open and writes down what it does in: transcript, debug log.

    `size` is bytes, `modified` when it was last written, in seconds since the epoch.
    """

    number: int
    target: str
    size: int
    modified: float


class ProcessDump(Struct, frozen=True):
    """One process. `command` is None when it could not be read in time.

    `descriptors` are what its first descriptors point to, None where they may not be read;
    `files` those of them that are transcripts or logs.
    """

    process: ProcessSnapshot
    threads: tuple[ThreadDump, ...] = ()
    command: tuple[str, ...] | None = None
    stdin: StdinLook | None = None
    descriptors: tuple[DescriptorLook, ...] | None = None
    frozen: bool | None = None
    files: tuple[FileDump, ...] = ()


class Dump(Struct, frozen=True):
    """A tree in detail; `complete` is False when reading it took too long.

    `agent`, `launchers`, `remote_client`, `sockets` and `cgroup` are those of `DeepLook`.
    """

    diag: TreeSnapshot
    processes: tuple[ProcessDump, ...] = ()
    complete: bool = True
    agent: Identity | None = None
    launchers: tuple[Identity, ...] = ()
    remote_client: str | None = None
    sockets: tuple[SocketLook, ...] | None = None
    cgroup: CgroupLook | None = None


def dump(
    tree: Tree,
    *,
    timeout: float = 2.0,
    redact: Redact = option_names,
) -> Dump:
    """Look at a tree in detail.

    :param timeout: seconds to wait for what a hung process may never tell.
    :param redact: what command lines pass through; by default it leaves the names of programs
        and options.
    """
    (diag,) = sample([tree])
    look = look_deeper(tree)
    looks = {one.identity: one for one in look.processes}
    found = {
        process.identity.pid: _process(process, looks.get(process.identity))
        for process in diag.processes
    }
    done = threading.Event()
    if not _stuck.acquire(blocking=False):
        return _dump(diag, look, found, complete=False)

    def read() -> None:
        try:
            _read(tree, found, redact)
        finally:
            _stuck.release()
            done.set()

    threading.Thread(target=read, name="untether-dump", daemon=True).start()
    complete = done.wait(timeout)
    return _dump(diag, look, found.copy(), complete=complete)


def _dump(
    diag: TreeSnapshot, look: DeepLook, found: dict[int, ProcessDump], *, complete: bool
) -> Dump:
    sockets = None if look.sockets is None else tuple(map(_shown, look.sockets))
    return Dump(
        diag,
        tuple(found.values()),
        complete=complete,
        agent=look.agent,
        launchers=look.launchers,
        remote_client=look.remote_client,
        sockets=sockets,
        cgroup=look.cgroup,
    )


def _shown(socket: SocketLook) -> SocketLook:
    """Redact the names of a socket's ends; a path may hold anything."""
    return replace(socket, local=_hidden(socket.local), remote=_hidden(socket.remote))


def _hidden(text: str | None) -> str | None:
    return None if text is None else hide_secrets(text)


def _process(process: ProcessSnapshot, look: ProcessLook | None) -> ProcessDump:
    if look is None:
        return ProcessDump(process)
    targets = look.descriptors
    return ProcessDump(
        process,
        tuple(map(_thread, look.threads or ())),
        stdin=replace(look.stdin, target=_hidden(look.stdin.target)),
        descriptors=None if targets is None else tuple(map(_target, targets[:_MAX_DESCRIPTORS])),
        frozen=look.frozen,
    )


def _target(descriptor: DescriptorLook) -> DescriptorLook:
    return replace(descriptor, target=hide_secrets(descriptor.target))


def _thread(thread: ThreadLook) -> ThreadDump:
    ticks = thread.cpu_ticks
    cpu = None if ticks is None else ticks / procfs.TICKS_PER_SECOND
    waits_on = _hidden(thread.waits_on)
    return ThreadDump(thread.tid, thread.name, thread.state, thread.wchan, cpu, waits_on)


def _read(tree: Tree, found: dict[int, ProcessDump], redact: Redact) -> None:
    """Fill `found` in: for all of them what cannot block first, then what can."""
    for pid, process in tuple(found.items()):
        threads = tuple(replace(one, stack=_stack(pid, one.tid)) for one in process.threads)
        found[pid] = replace(process, threads=threads)
    for pid, process in tuple(found.items()):
        # A process in disk sleep is the one whose command line may never come.
        if process.process.state not in ("D", "Z", "X"):
            argv, records = _argv(pid), tuple(_records(process))
            if argv and tree.backend.identify(pid) == process.process.identity:
                found[pid] = replace(process, command=tuple(redact(argv)), files=records)


def _records(process: ProcessDump) -> Iterator[FileDump]:
    """Yield the files among its descriptors that tell what it does, by their names."""
    for number, target in ((d.number, d.target) for d in process.descriptors or ()):
        if target.startswith("/") and target.endswith(_RECORDS):
            with contextlib.suppress(OSError):
                stat = os.stat(f"/proc/{process.process.identity.pid}/fd/{number}")  # noqa: PTH116  a link of the kernel's
                yield FileDump(number, target, stat.st_size, stat.st_mtime)


def _stack(pid: int, tid: int) -> tuple[str, ...] | None:
    return procfs.parse_stack(files.read(f"/proc/{pid}/task/{tid}/stack"))


def _argv(pid: int) -> list[str]:
    raw = files.read(f"/proc/{pid}/cmdline")
    return os.fsdecode(raw).rstrip("\0").split("\0") if raw else []
