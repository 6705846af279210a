"""Descriptors of a process: what they point to, and what lies unread in its standard input."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import stat
import termios
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.proc_diag.deep_look import StdinLook
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_untether.proc_diag.deep_look import Reach, SocketLook, StdinKind

# A process that leaks descriptors (650,000 were seen) must not hold up the look at the others.
MAX_DESCRIPTORS: Final = 4_096
# File systems that answer for what is on this machine: no server that could be gone.
_LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "ramfs"}
    | {"devtmpfs", "overlay", "squashfs", "erofs", "vfat", "exfat"}
)
_TERMINALS: Final = ("/dev/pts/", "/dev/tty", "/dev/console")


def read_targets(base: str) -> dict[int, str] | None:
    """Return what each descriptor of the process at `base` points to; None if not to be read."""
    try:
        directory = os.open(f"{base}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        names = files.listing(directory)
        if names is None or len(names) > MAX_DESCRIPTORS:
            return None
        links = {int(name): files.link(name, directory) for name in names}
        return {number: link for number, link in sorted(links.items()) if link is not None}
    finally:
        os.close(directory)


def socket_inode(target: str) -> int | None:
    """Return the inode in `socket:[inode]`, None for another target."""
    return int(target[8:-1]) if target.startswith("socket:[") else None


def is_terminal(target: str) -> bool:
    """Whether a descriptor's target is a terminal."""
    return target.startswith(_TERMINALS)


def stdin_kind(target: str | None) -> StdinKind:
    """Return what descriptor 0 is, by its target; None is a closed one."""
    if target is None:
        return "closed"
    if target == "/dev/null":
        return "null"
    if is_terminal(target):
        return "terminal"
    if target.startswith("pipe:["):
        return "pipe"
    if target.startswith("socket:["):
        return "socket"
    return "file" if target.startswith("/") else "other"


def look_at_stdin(
    base: str,
    targets: Mapping[int, str] | None,
    writer: Reach | None,
    sockets: Mapping[int, SocketLook],
) -> StdinLook:
    """Look at descriptor 0 of the process at `base`.

    `writer` is who holds the writing end if it is a pipe, as far as known; `sockets` are the
    tree's, by inode.
    """
    if targets is None:
        return StdinLook()
    target = targets.get(0)
    kind = stdin_kind(target)
    if kind == "pipe" and target is not None:
        return _pipe(f"{base}/fd/0", target, writer)
    if kind == "socket" and target is not None:
        return _socket(target, sockets.get(socket_inode(target) or 0))
    if kind == "file" and target is not None:
        return _named(base, target)
    if kind in ("null", "closed"):
        return StdinLook(kind, target, unread=0, open_ended=False)
    return StdinLook(kind, target, open_ended=True if kind == "terminal" else None)


def _named(base: str, target: str) -> StdinLook:
    """Tell a file, which has an end, from a named pipe or a device, by asking its file system.

    Asked is only one that is on this machine: another may never answer.
    """
    if file_system(base, 0) not in _LOCAL:
        return StdinLook("other", target)
    try:
        mode = os.stat(f"{base}/fd/0").st_mode  # noqa: PTH116  through a link of the kernel's
    except OSError:
        return StdinLook("other", target)
    if stat.S_ISREG(mode):
        return StdinLook("file", target, open_ended=False)
    if stat.S_ISFIFO(mode):  # whoever knows its name may open it and write
        return replace(_pipe(f"{base}/fd/0", target, "outside"), open_ended=True)
    return StdinLook("other", target)


def file_system(base: str, number: int) -> str | None:
    """Return the type of the file system that a descriptor's file is on, None if not told."""
    mount = procfs.parse_field(files.read(f"{base}/fdinfo/{number}"), b"mnt_id")
    for line in (files.read(f"{base}/mountinfo") or b"").splitlines():
        if mount is not None and line.startswith(b"%d " % mount):
            return line.partition(b" - ")[2].partition(b" ")[0].decode(errors="replace")
    return None


def _socket(target: str, socket: SocketLook | None) -> StdinLook:
    if socket is None:
        return StdinLook("socket", target)
    ended = socket.state in ("CLOSE_WAIT", "CLOSE", "LAST_ACK")
    return StdinLook("socket", target, socket.receive_queue, socket.reach, not ended)


def _pipe(path: str, target: str, writer: Reach | None) -> StdinLook:
    """Ask the pipe itself what lies in it, and whether anybody can still write to it."""
    asked = _ask_pipe(path, target)
    if asked is None:
        return StdinLook("pipe", target, writer=writer)
    unread, ended = asked
    return StdinLook("pipe", target, unread, None if ended else writer, not ended)


def has_writer(path: str, target: str) -> bool:
    """Whether anybody can write to the pipe behind a descriptor's link; unknown is yes."""
    asked = _ask_pipe(path, target)
    return asked is None or not asked[1]


def _ask_pipe(path: str, target: str) -> tuple[int, bool] | None:
    """Return how many bytes lie in a pipe, and whether nobody holds its writing end.

    None if that is not told.
    """
    try:
        # A handle that opens nothing, to be sure that it still is this pipe: to open whatever
        # the descriptor has become meanwhile, a file of a dead mount say, could block for ever.
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if files.link(f"/proc/self/fd/{handle}") != target:
            return None
        reader = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    finally:
        os.close(handle)
    try:
        unread = array.array("i", [0])
        fcntl.ioctl(reader, termios.FIONREAD, unread)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        return unread[0], any(events & select.POLLHUP for _, events in poll.poll(0))
    except OSError:
        return None
    finally:
        os.close(reader)


def holds_writing_end(base: str, targets: Mapping[int, str], pipe: str) -> bool:
    """Whether the process at `base` has a pipe open for writing."""
    return any(
        is_writable(f"{base}/fd/{number}") for number, target in targets.items() if target == pipe
    )


def own_writing_end(root: str, pipe: str) -> bool:
    """Whether this process has a pipe open for writing; `root` is where the kernel tells.

    A program with hundreds of agents has a pipe or three of each. Which is where is remembered,
    and asked again before it is believed; all are listed only for one that is not known.
    """
    own = f"{root}/self"
    number = _own_ends.get((root, pipe))
    if number is None or files.link(f"{own}/fd/{number}") != pipe:
        targets = read_targets(own) or {}
        _own_ends.clear()
        _own_ends.update(
            ((root, target), number)
            for number, target in targets.items()
            if target.startswith("pipe:[") and is_writable(f"{own}/fd/{number}")
        )
        number = _own_ends.get((root, pipe))
    return number is not None and is_writable(f"{own}/fd/{number}")


_own_ends: Final[dict[tuple[str, str], int]] = {}


def is_writable(path: str) -> bool:
    """Whether a descriptor is open for writing, which its link's own permissions tell (proc(5))."""
    with contextlib.suppress(OSError):
        return bool(os.lstat(path).st_mode & stat.S_IWUSR)
    return False


def polled_by(base: str, targets: Mapping[int, str]) -> Iterator[int]:
    """Yield the descriptors that a process's epoll sets watch for input."""
    for number, target in targets.items():
        if target == "anon_inode:[eventpoll]":
            yield from parse_polled(files.read(f"{base}/fdinfo/{number}"))


def parse_polled(raw: bytes | None) -> tuple[int, ...]:
    r"""Return the descriptors watched for input (EPOLLIN), of an epoll set's fdinfo (proc(5)).

    >>> parse_polled(b"tfd:  7 events: 19 data: 7\ntfd: 8 events: 4 data: 8\n")
    (7,)
    """
    lines = (line.split() for line in (raw or b"").splitlines() if line.startswith(b"tfd:"))
    return tuple(int(line[1]) for line in lines if len(line) > 3 and int(line[3], 16) & 1)
