"""What a process waits in, by the name of the kernel function (/proc/<pid>/wchan).

The names move between kernels, hence prefixes. Measured on 6.18; the older ones are from the
sources of 4.19 to 6.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_untether.proc_diag.snapshot import ProcessDiag

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
_TERMINAL: Final = ("n_tty_read", "tty_read", "n_tty_write")
# A terminal's reader and a TCP socket's sleep in the same function: it tells only with more.
_TERMINAL_OR_TCP: Final = ("wait_woken",)


def _waits(process: ProcessDiag, names: tuple[str, ...]) -> bool:
    return process.wchan is not None and process.wchan.startswith(names)


def reads_pipe(process: ProcessDiag) -> bool:
    """Whether it waits for input on a pipe."""
    return _waits(process, _PIPE_READ)


def writes_pipe(process: ProcessDiag) -> bool:
    """Whether it waits for room in a pipe (or a UNIX socket) that somebody else must empty."""
    return _waits(process, _PIPE_WRITE)


def waits_for_lock(process: ProcessDiag) -> bool:
    """Whether it waits for a file lock."""
    return _waits(process, _LOCK)


def waits_on_terminal(process: ProcessDiag, *, has_sockets: bool | None) -> bool:
    """Whether it waits at a terminal; `has_sockets` tells if it might be a connection instead."""
    return _waits(process, _TERMINAL) or (
        has_sockets is False and _waits(process, _TERMINAL_OR_TCP)
    )
