"""One process by procfs.

A process none of whose threads has run since the last look, by the kernel's own count of their
time slices (schedstat), can have changed nothing but its memory: it opened no file, started
nobody, waits where it waited. Most agents sleep most of the time, so most looks read one file
and one more per thread, all of them kept open. Where the kernel does not count time slices,
everything is read at every look.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.linux.host import parse_membership
from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_untether.proc_diag.snapshot import ProcessState

# A process that leaks descriptors (650,000 were seen) must not hold up everybody else's look.
MAX_LINKS: Final = 10_000
_STDIO: Final = ("0", "1", "2")
_ENDED: Final = ("Z", "X")


class LinuxHandle:
    """A process and what the last look at it said."""

    def __init__(self, root: str, identity: Identity, budget: files.Budget) -> None:
        self._budget = budget
        self.identity = identity
        self.children: Sequence[int] | None = None
        self.inodes: frozenset[int] | None = None
        self.stdio: tuple[str | None, str | None, str | None] = (None, None, None)
        self._base = f"{root}/{identity.pid}"
        self._open_files = f"{self._base}/fd"
        self._stat = files.KeptFile(f"{self._base}/stat", budget)
        self._threads: dict[str, files.KeptFile] = {}
        self._threads_live = False
        self._others: dict[str, files.KeptFile] = {}
        self._stat_line: tuple[bytes, procfs.Stat] | None = None
        self._slices: tuple[bytes, ...] | None = None
        self._diag: ProcessSnapshot | None = None
        self._cgroup: str | None = None

    def look(self, *, afresh: bool = False) -> ProcessSnapshot | None:
        """Read it; None when it is gone."""
        try:
            raw = self._stat.read()
        except (ProcessLookupError, FileNotFoundError):
            return None
        except OSError:
            return self._unreadable()
        known = self._stat_line
        parsed = stat = known[1] if known and known[0] == raw else procfs.parse_stat(raw)
        if stat.start_time != self.identity.start_time:
            return None
        if stat.state in _ENDED and stat.threads > 1:  # only its main thread has ended
            stat = replace(stat, state=self._state_of_others())
            afresh = True
        slices = self._time_slices(stat)
        if afresh or self._diag is None or slices is None or slices != self._slices:
            if not self._read_all(stat):
                return None
        elif known is None or known[0] != raw:
            self._diag = with_stat(self._diag, stat)
        self._stat_line, self._slices = (raw, parsed), slices
        return self._diag

    @property
    def turns(self) -> dict[str, bytes] | None:
        """Each thread's schedstat at the last look, by its number; None where that was not read."""
        return None if self._slices is None else dict(zip(self._threads, self._slices, strict=True))

    def cgroup(self) -> str | None:
        """Return the path of its control group, read anew after it has run."""
        if self._cgroup is None:
            self._cgroup = parse_membership(files.read(f"{self._base}/cgroup") or b"")
        return self._cgroup

    def close(self) -> None:
        """Let go of whatever is kept open for it."""
        for kept in (self._stat, *self._threads.values(), *self._others.values()):
            kept.close()
        self._threads.clear()
        self._others.clear()

    def _unreadable(self) -> ProcessSnapshot | None:
        if not signalable(self.identity.pid):
            return None
        self._diag, self.inodes, self.children = None, None, ()
        return ProcessSnapshot(self.identity)

    def _time_slices(self, stat: procfs.Stat) -> tuple[bytes, ...] | None:
        """Return each thread's schedstat, which changes whenever it runs; None if not to be had."""
        self._threads_live = False
        if len(self._threads) != stat.threads:
            return None
        try:
            slices = tuple(kept.read() for kept in self._threads.values())
        except OSError:
            return None
        # As many as there are, and all of them can be read: it has no others.
        self._threads_live = True
        uncounted = any(line.endswith(b" 0\n") for line in slices)
        return None if uncounted or stat.state == "R" else slices

    def _read_all(self, stat: procfs.Stat) -> bool:
        if stat.state in _ENDED:
            final = self._diag or ProcessSnapshot(self.identity)
            self._diag = with_stat(replace(final, fds=0, wchan=None), stat)
            self.inodes, self.children = frozenset(), ()
            return True
        self._cgroup = None
        if not self._threads_live:
            self._follow_threads(stat.threads)
        status, io, wchan = (self._read(f"{self._base}/{n}") for n in ("status", "io", "wchan"))
        fds, self.inodes = self._descriptors()
        facts = ProcessSnapshot(
            self.identity,
            fds=fds,
            wchan=procfs.parse_wchan(wchan),
            voluntary_switches=procfs.parse_field(status, b"voluntary_ctxt_switches"),
            involuntary_switches=procfs.parse_field(status, b"nonvoluntary_ctxt_switches"),
            io_read=procfs.parse_field(io, b"rchar"),
            io_written=procfs.parse_field(io, b"wchar"),
        )
        self._diag = with_stat(facts, stat)
        self.children = children_of(self._base, self._threads, self._read)
        return bool(status and fds) or self._settle()

    def _read(self, path: str) -> bytes | None:
        """Return the content of one of its files, None where it cannot be read.

        They are kept open of a process that was seen to have slept and run: it will again.
        """
        if self._slices is None:
            return files.read(path)
        kept = self._others.get(path)
        if kept is None:
            kept = self._others[path] = files.KeptFile(path, self._budget)
        try:
            return kept.read()
        except OSError:
            return None

    def _settle(self) -> bool:
        """Tell a process that ended while it was read from one that may not be read."""
        try:
            stat = procfs.parse_stat(self._stat.read())
        except OSError:
            return False
        if stat.state in _ENDED and stat.threads <= 1:
            return self._read_all(stat)
        return True

    def _state_of_others(self) -> ProcessState:
        """Return the state of a thread other than the main one, S if they end meanwhile."""
        for tid in files.listing(f"{self._base}/task") or ():
            raw = files.read(f"{self._base}/task/{tid}/stat")
            if raw and (stat := procfs.parse_stat(raw)).state not in _ENDED:
                self._open_files = f"{self._base}/task/{tid}/fd"  # the main thread lists none
                return stat.state
        return "S"

    def _follow_threads(self, count: int) -> None:
        pid = str(self.identity.pid)
        tids = (pid,) if count == 1 else files.listing(f"{self._base}/task") or ()
        for gone in self._threads.keys() - set(tids):
            self._threads.pop(gone).close()
            if children := self._others.pop(_children_path(self._base, gone), None):
                children.close()
        for tid in tids:
            if tid not in self._threads:
                path = f"{self._base}/task/{tid}/schedstat"
                self._threads[tid] = files.KeptFile(path, self._budget)

    def _descriptors(self) -> tuple[int | None, frozenset[int] | None]:
        """Return how many descriptors are open, and which sockets' inodes are among them."""
        try:
            directory = os.open(self._open_files, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None, None
        try:
            if (size := os.fstat(directory).st_size) > MAX_LINKS:  # the count, since Linux 6.2
                self._follow(directory, _STDIO)
                return size, None
            if (names := files.listing(directory)) is None:
                return None, None
            if len(names) > MAX_LINKS:
                self._follow(directory, _STDIO)
                return len(names), None
            return len(names), self._follow(directory, names)
        except OSError:  # it has ended since
            return None, None
        finally:
            os.close(directory)

    def _follow(self, directory: int, names: Sequence[str]) -> frozenset[int]:
        """Follow descriptors: keep what the standard ones point to, return the sockets' inodes."""
        links = {name: files.link(name, directory) for name in names}
        self.stdio = links.get("0"), links.get("1"), links.get("2")
        sockets = (link for link in links.values() if link and link.startswith("socket:["))
        return frozenset(int(link[8:-1]) for link in sockets)


def signalable(pid: int) -> bool:
    """Whether there is a process or thread of this number, even another user's."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def with_stat(diag: ProcessSnapshot, stat: procfs.Stat) -> ProcessSnapshot:
    """Return `diag` with what a stat line says filled in."""
    return replace(
        diag,
        ppid=stat.ppid,
        pgid=stat.pgid,
        sid=stat.sid,
        name=stat.name,
        state=stat.state,
        cpu_user=stat.cpu_user,
        cpu_system=stat.cpu_system,
        cpu_waited=stat.cpu_waited,
        rss=stat.rss,
        threads=stat.threads,
    )


def _children_path(base: str, tid: str) -> str:
    return f"{base}/task/{tid}/children"


def children_of(
    base: str, tids: Iterable[str], read: Callable[[str], bytes | None] = files.read
) -> list[int] | None:
    """Return the pids that a process's threads forked; None where the kernel does not list them."""
    children: list[int] = []
    for tid in tids:
        if (raw := read(_children_path(base, tid))) is not None:
            children += map(int, raw.split())
        elif files.listing(f"{base}/task/{tid}") is not None:
            return None  # the thread is there, the list is not
    return children
