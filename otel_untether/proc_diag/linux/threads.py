"""Every thread of a process: what it does, and which descriptor it waits for.

Nothing here takes the target's memory lock, so that a process stuck in a dead file system can
be looked at as well (kernel, fs/proc: stat, wchan and syscall only check permissions).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_untether.proc_diag.deep_look import ThreadLook
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs

if TYPE_CHECKING:
    from collections.abc import Mapping

# In these a thread waits for many things at once or for none, never for one descriptor.
_ABOUT_NOTHING: Final = (
    "futex", "do_epoll", "ep_poll", "hrtimer", "do_nanosleep", "do_poll", "do_sys_poll",
    "poll_schedule", "do_select", "do_wait", "do_signal_stop", "do_freezer", "sigsuspend",
)  # fmt: skip
# System calls whose first argument is the descriptor they wait for, by machine
# (arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h): read, write,
# ioctl, pread64, pwrite64, readv, writev, connect, accept, accept4, sendto, recvfrom, sendmsg,
# recvmsg, recvmmsg, sendmmsg, fcntl, flock, fsync, fdatasync.
_CALLS: Final[Mapping[str, frozenset[int]]] = {
    "x86_64": frozenset(
        (0, 1, 16, 17, 18, 19, 20, 42, 43, 288, 44, 45, 46, 47, 299, 307, 72, 73, 74, 75)
    ),
    "aarch64": frozenset(
        (63, 64, 29, 67, 68, 65, 66, 203, 202, 242, 206, 207, 211, 212, 243, 269, 25, 32, 82, 83)
    ),
}
_OWN_CALLS: Final = _CALLS.get(os.uname().machine if hasattr(os, "uname") else "", frozenset())


def look_at_threads(
    base: str, limit: int, targets: Mapping[int, str]
) -> tuple[tuple[ThreadLook, ...] | None, bool]:
    """Look at up to `limit` threads of the process at `base` (/proc/<pid>).

    `targets` are its descriptors, by number. Returns the threads, None if they cannot be
    listed, and whether these are all of them.
    """
    tids = files.listing(f"{base}/task")
    if tids is None:
        return None, False
    looks = [_look(f"{base}/task/{tid}", int(tid), targets) for tid in tids[:limit]]
    return tuple(look for look in looks if look is not None), len(tids) <= limit


def _look(base: str, tid: int, targets: Mapping[int, str]) -> ThreadLook | None:
    """Look at one thread, None when it has ended meanwhile."""
    if (raw := files.read(f"{base}/stat")) is None:
        return None
    name, state, ticks = procfs.parse_thread(raw)
    if state in ("R", "Z", "X"):
        return ThreadLook(tid, name, state, None, ticks)
    wchan = procfs.parse_wchan(files.read(f"{base}/wchan"))
    runs, target = parse_runs(files.read(f"{base}/schedstat")), None
    if targets and wchan is not None and not wchan.startswith(_ABOUT_NOTHING):
        target = targets.get(parse_syscall(files.read(f"{base}/syscall"), _OWN_CALLS))
    return ThreadLook(tid, name, state, wchan, ticks, target, runs)


def parse_runs(raw: bytes | None) -> int | None:
    """Return how often a thread was given a CPU, None where the kernel does not count.

    >>> parse_runs(b"9714093 25361 412")
    412
    """
    words = (raw or b"").split()
    return int(words[2]) if len(words) == 3 else None


def parse_syscall(raw: bytes | None, calls: frozenset[int]) -> int:
    """Return the descriptor that the call in /proc/<pid>/syscall is about; -1 if that is not told.

    >>> parse_syscall(b"0 0x3 0x7ffd 0x400 0x0 0x0 0x0 0x7ffc 0x7f1b", frozenset((0,)))
    3
    """
    words = (raw or b"").split(maxsplit=2)
    if len(words) < 2 or not words[0].isdigit() or int(words[0]) not in calls:
        return -1
    return int(words[1], 16)
