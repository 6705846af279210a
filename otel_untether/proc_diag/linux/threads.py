"""Every thread of a process: what it does, and which descriptor it waits for.

Nothing here takes the target's memory lock, so that a process stuck in a dead file system can
be looked at as well (kernel, fs/proc: stat, wchan and syscall only check permissions).
"""

from __future__ import annotations

import os
from types import MappingProxyType
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
# select and pselect6, whose first argument is one more than the highest descriptor they wait for:
# of 1 it is descriptor 0 and no other (readline, so shells, psql, Python at a terminal).
_SELECTS: Final[Mapping[str, frozenset[int]]] = {
    "x86_64": frozenset((23, 270)),
    "aarch64": frozenset((72,)),
}
_MACHINE: Final = os.uname().machine if hasattr(os, "uname") else ""
_OWN_SELECTS: Final = _SELECTS.get(_MACHINE, frozenset())
_IN_SELECT: Final = ("do_select", "do_pselect", "core_sys_select")
_OWN_CALLS: Final = _CALLS.get(_MACHINE, frozenset())


def look_at_threads(
    base: str,
    limit: int,
    targets: Mapping[int, str],
    turns: Mapping[str, bytes] | None = None,
    seen: Mapping[str, ThreadLook] = MappingProxyType({}),
) -> tuple[tuple[ThreadLook, ...] | None, bool]:
    """Look at up to `limit` threads of the process at `base` (/proc/<pid>).

    `targets` are its descriptors, by number; `turns` the schedstat of its threads where that was
    read already; those `seen` before are as they were. Returns the threads, None if they cannot
    be listed, and whether these are all.
    """
    tids = list(turns) if turns else files.listing(f"{base}/task")
    if tids is None:
        return None, False
    known = turns or {}
    looks = [
        seen.get(tid) or _look(f"{base}/task/{tid}", int(tid), targets, known.get(tid))
        for tid in tids[:limit]
    ]
    return tuple(look for look in looks if look is not None), len(tids) <= limit


def _look(
    base: str, tid: int, targets: Mapping[int, str], schedstat: bytes | None
) -> ThreadLook | None:
    """Look at one thread, None when it has ended meanwhile."""
    if (raw := files.read(f"{base}/stat")) is None:
        return None
    name, state, ticks = procfs.parse_thread(raw)
    if state in ("Z", "X"):
        return ThreadLook(tid, name, state, None, ticks)
    wanted, runs = parse_turns(schedstat or files.read(f"{base}/schedstat"))
    if state == "R":
        return ThreadLook(tid, name, state, None, ticks, None, runs, wanted)
    wchan, target = procfs.parse_wchan(files.read(f"{base}/wchan")), None
    if targets and wchan is not None:
        if wchan.startswith(_IN_SELECT):
            one = parse_syscall(files.read(f"{base}/syscall"), _OWN_SELECTS) == 1
            target = targets.get(0) if one else None
        elif not wchan.startswith(_ABOUT_NOTHING):
            target = targets.get(parse_syscall(files.read(f"{base}/syscall"), _OWN_CALLS))
    return ThreadLook(tid, name, state, wchan, ticks, target, runs, wanted)


def parse_turns(raw: bytes | None) -> tuple[float | None, int | None]:
    """Return for how long a thread ran or waited for its turn (s), and how often it was given it.

    None where the kernel does not count.

    >>> parse_turns(b"9714093 286 412")
    (0.009714379, 412)
    """
    words = (raw or b"").split()
    if len(words) != 3:
        return None, None
    return (int(words[0]) + int(words[1])) / 1e9, int(words[2])


def parse_syscall(raw: bytes | None, calls: frozenset[int]) -> int:
    """Return the first argument of the call in /proc/<pid>/syscall; -1 if it is none of `calls`.

    >>> parse_syscall(b"0 0x3 0x7ffd 0x400 0x0 0x0 0x0 0x7ffc 0x7f1b", frozenset((0,)))
    3
    """
    words = (raw or b"").split(maxsplit=2)
    if len(words) < 2 or not words[0].isdigit() or int(words[0]) not in calls:
        return -1
    return int(words[1], 16)
