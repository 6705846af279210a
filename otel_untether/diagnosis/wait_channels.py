"""What a thread waits in, by the name of the kernel function (/proc/<pid>/wchan).

The names move between kernels, hence prefixes. Measured on 6.18; the older ones are from the
sources of 4.19 to 6.6. A name that is in no list is *unknown*: it may be anything, and a
process with a thread in it is never called wedged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from otel_untether.proc_diag.deep_look import ThreadLook
    from otel_untether.proc_diag.snapshot import ProcessSnapshot

Place: TypeAlias = Literal[
    "running", "ended", "asleep", "pipe_read", "socket", "child",
    "pipe_write", "disk", "lock", "terminal", "frozen", "stopped", "unknown",
]  # fmt: skip

_PIPE_READ: Final = ("anon_pipe_read", "pipe_read", "pipe_wait_readable")
_PIPE_WRITE: Final = (
    "anon_pipe_write",
    "pipe_write",
    "pipe_wait_writable",
    "sock_alloc_send_pskb",
)
_LOCK: Final = (
    "locks_lock_inode_wait",
    "flock_lock_inode_wait",
    "posix_lock_inode_wait",
    "fcntl_setlk",
    "do_lock_file_wait",
    "__break_lease",
)
_TERMINAL: Final = ("n_tty_read", "tty_read", "n_tty_write", "tty_wait_until_sent")
# A terminal's reader, a TCP socket's and inotify's sleep in the same function: which of them
# it is tells the descriptor that the call is about.
_WOKEN: Final = ("wait_woken",)
_FROZEN: Final = ("do_freezer_trap", "__refrigerator", "refrigerator")
_STOPPED: Final = ("do_signal_stop", "ptrace_stop", "do_jobctl_trap")
# A file system that somebody has to answer for: FUSE (sshfs, rclone, gcsfuse), NFS, 9p, autofs,
# CIFS. Its waits may well be interruptible, so the state does not show them.
_DISK: Final = (
    "request_wait_answer", "fuse_", "__fuse_", "nfs", "rpc_", "__rpc_", "p9_", "v9fs",
    "autofs", "cifs_", "wait_for_response", "ceph_", "folio_wait", "wait_on_page", "io_schedule",
)  # fmt: skip
# Places in which a thread waits for nothing in particular, or for other threads and children
# of the tree, which are looked at themselves.
_ASLEEP: Final = (
    "do_epoll_wait", "ep_poll", "do_sys_poll", "do_poll", "poll_schedule_timeout", "do_select",
    "do_pselect", "core_sys_select", "futex", "do_futex", "hrtimer_nanosleep", "do_nanosleep",
    "common_nsleep", "schedule_hrtimeout", "sigsuspend", "__do_sys_pause", "sys_pause",
    "do_sigtimedwait", "do_rt_sigtimedwait", "eventfd_", "signalfd_", "timerfd_", "inotify_read",
    "ksys_pause", "__x64_sys_pause", "__arm64_sys_pause",
)  # fmt: skip
_CHILD: Final = ("do_wait", "kernel_wait", "wait_task", "kernel_clone", "wait_for_vfork")
# One that is not connected yet (unix_wait_for_peer) is none of those that are looked at.
_SOCKET: Final = (
    "unix_stream", "__skb_wait", "skb_wait", "sk_wait_data", "inet_csk_accept",
    "inet_csk_wait", "__skb_recv", "unix_accept", "unix_dgram", "inet_stream_connect",
    "inet_wait_for_connect", "sk_stream_wait", "netlink_", "vsock_", "virtio_transport",
)  # fmt: skip
_BY_WCHAN: Final[tuple[tuple[tuple[str, ...], Place], ...]] = (
    (_FROZEN, "frozen"),
    (_STOPPED, "stopped"),
    (_DISK, "disk"),
    (_LOCK, "lock"),
    (_TERMINAL, "terminal"),
    (_PIPE_READ, "pipe_read"),
    (_PIPE_WRITE, "pipe_write"),
    (_ASLEEP, "asleep"),
    (_CHILD, "child"),
    (_SOCKET, "socket"),
)
_BY_STATE: Final[dict[str, Place]] = {
    "R": "running", "Z": "ended", "X": "ended", "D": "disk", "T": "stopped", "t": "stopped",
}  # fmt: skip
_TERMINALS: Final = ("/dev/tty", "/dev/pts/", "/dev/console", "/dev/ttyS")
HARMLESS: Final[frozenset[Place]] = frozenset({"ended", "asleep", "pipe_read", "socket", "child"})
"""Where a thread may wait in a tree that nothing can wake; sockets and stdin are looked at
by themselves."""


def place(thread: ThreadLook) -> Place:
    """Return what a thread waits in; "unknown" for what is in no list, or not told."""
    if thread.state is None:
        return "unknown"
    if (known := _BY_STATE.get(thread.state)) is not None:
        return known
    if thread.wchan is None:
        return "unknown"
    if thread.wchan.startswith(_WOKEN):
        return _woken(thread.waits_on)
    found = (kind for names, kind in _BY_WCHAN if thread.wchan.startswith(names))
    kind: Place = next(found, "unknown")
    if kind == "asleep" and (thread.waits_on or "").startswith(_TERMINALS):
        return "terminal"  # in select for a terminal, and for nothing else
    return kind


def _woken(target: str | None) -> Place:
    if target is None:
        return "unknown"
    if target.startswith(_TERMINALS):
        return "terminal"
    return "socket" if target.startswith("socket:") else "asleep"


def _waits(process: ProcessSnapshot, names: tuple[str, ...]) -> bool:
    return process.wchan is not None and process.wchan.startswith(names)


def reads_pipe(process: ProcessSnapshot) -> bool:
    """Whether its main thread waits for input on a pipe."""
    return _waits(process, _PIPE_READ)


def writes_pipe(process: ProcessSnapshot) -> bool:
    """Whether it waits for room in a pipe (or a UNIX socket) that somebody else must empty."""
    return _waits(process, _PIPE_WRITE)


def waits_for_lock(process: ProcessSnapshot) -> bool:
    """Whether it waits for a file lock."""
    return _waits(process, _LOCK)


def waits_for_files(process: ProcessSnapshot) -> bool:
    """Whether it waits for a disk, or a file system that somebody must answer for."""
    return process.state == "D" or _waits(process, _DISK)


def waits_on_terminal(process: ProcessSnapshot, *, has_sockets: bool | None) -> bool:
    """Whether it waits at a terminal; `has_sockets` tells if it might be a connection instead."""
    return _waits(process, _TERMINAL) or (has_sockets is False and _waits(process, _WOKEN))
