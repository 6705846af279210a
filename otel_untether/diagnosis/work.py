"""Work: whether a process did anything over the last samples, whatever it does just now.

A tool that computes in bursts, writes to a disk or fetches a file is at work between two bursts
as well. What it did is the difference of counters over a window of a dozen samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook, ThreadLook
    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot, TreeSnapshot

# Bytes a second through read and write calls below which a process does nothing to speak of:
# event loops wake their own threads through descriptors, with eight bytes at a time.
_IO_BOUND: Final = 1024.0
# Bytes a second on a connection that are more than keep-alives: the pings of a model's stream
# are some 7 a second, a slow answer is some hundred.
STREAM_BOUND: Final = 200.0

# Bytes a second that an agent writes while its output is silent: its transcript grows. Runtimes
# that wake their own threads through descriptors write some ten.
WRITING: Final = 40.0


class Work(NamedTuple):
    """What a process did over the window: cores, and bytes a second; None is unknown."""

    cpu: float | None = None
    read: float | None = None
    written: float | None = None

    def above(self, cpu_bound: float) -> bool:
        """Whether that is work."""
        moved = (self.read or 0.0) + (self.written or 0.0)
        return (self.cpu or 0.0) >= cpu_bound or moved >= _IO_BOUND


def work_of(identity: Identity, window: Sequence[TreeSnapshot]) -> Work:
    """Return what a process did between the first and the last sample that have it."""
    after = window[-1].member(identity) if len(window) > 1 else None
    if after is None:
        return Work()
    found = ((s, p) for s in window if (p := s.member(identity)) is not None)
    first, before = next(found)
    if first is window[-1]:
        return Work()
    seconds = window[-1].at - first.at
    if seconds <= 0:
        return Work()
    return Work(
        _rate(_cpu(before), _cpu(after), seconds),
        _rate(before.io_read, after.io_read, seconds),
        _rate(before.io_written, after.io_written, seconds),
    )


def received(look: DeepLook, before: DeepLook, inode: int | None) -> float | None:
    """Return how many bytes a second came in on a socket between two looks, None if unknown."""
    seconds = look.at - before.at
    counts = [
        next((s.bytes_received for s in one.sockets or () if s.inode == inode), None)
        for one in (before, look)
    ]
    return _rate(counts[0], counts[1], seconds) if seconds > 0 else None


def ran(look: DeepLook, before: DeepLook) -> tuple[str, ...] | None:
    """Return the processes of which a thread ran between two looks; None if that is unknown.

    What only the watching itself causes is none of it: reading /proc wakes nobody.
    """
    earlier = {(p.identity, t.tid): t.runs for p in before.processes for t in p.threads or ()}
    names = []
    for process in look.processes:
        if process.threads is None:
            return None
        runs = [(t.runs, earlier.get((process.identity, t.tid))) for t in process.threads]
        if any(now is not None and now != then for now, then in runs):
            names.append(process.name or f"process {process.identity.pid}")
    return tuple(names)


def wants(looks: Sequence[DeepLook], identity: Identity) -> float | None:
    """Return how many cores the busiest thread of a process wanted over some looks.

    1.0 is a thread that never slept, whether it had its turn or waited for it. None is unknown.
    """
    found = [next((p for p in o.processes if p.identity == identity), None) for o in looks]
    first, last = (found[0], found[-1]) if found else (None, None)
    if first is None or last is None or last.at <= first.at:
        return None
    earlier, now = _turns(first), _turns(last)
    waits = {thread.tid: _waiting(thread, found) for thread in last.threads or ()}
    seconds = last.at - first.at
    shares = [
        min(1.0, (now[tid] - earlier[tid] + waits[tid]) / seconds)
        for tid in now.keys() & earlier.keys()
    ]
    return max(shares, default=None)


def _waiting(thread: ThreadLook, found: Sequence[ProcessLook | None]) -> float:
    """Return for how many seconds a thread has been waiting for the turn that it has yet to have.

    The kernel counts a wait once it is over, and beside a loop it may take most of the time:

        at 0 s  R, 7 runs    at 2 s  R, 8 runs    at 5 s  R, 8 runs    for 3 s
    """
    if thread.state != "R" or thread.runs is None:
        return 0.0
    since = until = 0.0
    for process in reversed(found):
        threads = process.threads if process is not None else None
        seen = next((t for t in threads or () if t.tid == thread.tid), None)
        if process is None or seen is None or (seen.state, seen.runs) != ("R", thread.runs):
            break
        since, until = process.at, until or process.at
    return until - since


def _turns(process: ProcessLook) -> dict[int, float]:
    return {thread.tid: thread.wanted for thread in process.threads or () if thread.wanted}


def _cpu(process: ProcessSnapshot) -> float | None:
    if process.cpu_user is None or process.cpu_system is None:
        return None
    return process.cpu_user + process.cpu_system + (process.cpu_waited or 0.0)


def _rate(before: float | None, after: float | None, seconds: float) -> float | None:
    if before is None or after is None:
        return None
    return max(0.0, after - before) / seconds
