"""Files as a run needs them: private, whole or torn in one known way, held by one process.

Nothing here follows a link in a file's own place, and nothing is read that is not a regular
file: what lies in a state directory may have been put there by somebody else. It is imported
before the agent is spawned, and so imports next to nothing.
"""

# ruff: noqa: PTH103, PTH105, PTH108, PTH118, PTH120, SIM105  pathlib takes 5 ms to import

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from gzip import GzipFile
    from io import TextIOWrapper
    from typing import BinaryIO, Final, TypeAlias

    AnyPath: TypeAlias = str | os.PathLike[str]

# The one keeps a child from inheriting it, the other Windows from writing CRLF.
_FLAGS: Final = (
    getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
)
# Without it, opening a FIFO waits for somebody at its other end.
_NO_WAITING: Final = getattr(os, "O_NONBLOCK", 0)

LONGEST_LINE: Final = 16 << 20
MOST_READ: Final = 256 << 20
_BLOCK: Final = 1 << 18
_GLANCE: Final = 1 << 16


class LineFile:
    """A file of lines, appended by one write(2) each; mode 0600.

    A torn line, by a crash or a full disk, is closed first, so that it spoils only itself. `size`
    is its size in bytes, as far as it is this that writes to it.
    """

    def __init__(self, path: AnyPath) -> None:
        """Open it, made where there is none. Raises OSError, also for a link or a FIFO."""
        self.path = path
        self.size = 0
        self._torn = False
        self._descriptor: int | None = self._open()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS | _NO_WAITING
        descriptor = os.open(self.path, flags, 0o600)
        try:
            self.size = size = os.lseek(descriptor, 0, os.SEEK_END)
            self._torn = size > 0 and _byte_at(descriptor, size - 1) != b"\n"
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def append(self, line: bytes) -> None:
        """Append a line, given without its newline. Raises OSError.

        Where somebody has deleted the file, or its folder, both are made anew: what is written
        into a file without a name is gone with us.
        """
        if self._descriptor is None:
            raise OSError(f"{self.path} is closed")
        if os.fstat(self._descriptor).st_nlink == 0:
            self.close()
            os.makedirs(os.path.dirname(self.path), 0o700, exist_ok=True)
            self._descriptor = self._open()
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = os.write(self._descriptor, data)
        self.size += written
        # The disk may fill up in the middle of a line.
        self._torn = written != len(data)
        if self._torn:
            raise OSError(f"{self.path}: {written} of {len(data)} bytes written")

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._descriptor is None

    def sync(self) -> None:
        """Wait until the disk has it. Raises OSError."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _byte_at(descriptor: int, position: int) -> bytes:
    os.lseek(descriptor, position, os.SEEK_SET)
    return os.read(descriptor, 1)


def open_regular(path: AnyPath) -> BinaryIO:
    """Open a regular file for reading; raise OSError for a link, a FIFO, a device, a folder."""
    descriptor = os.open(path, os.O_RDONLY | _FLAGS | _NO_WAITING)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def read_whole(path: AnyPath, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes; raise OSError otherwise."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", os.fspath(path))
    return content


def glance(path: AnyPath) -> bytes:
    """Return a small file's content, in as few steps as can be; nothing where that cannot be had.

    Of a larger one it is the beginning.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS | _NO_WAITING)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _GLANCE)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def lines(path: AnyPath, *, longest: int = LONGEST_LINE, most: int = MOST_READ) -> Iterator[bytes]:
    """Yield the lines of a regular file, for reading what somebody else may have written.

    `longest` bytes are kept of a line: what is cut is as good as torn. After `most` bytes
    OSError (EFBIG) is raised, as for a file that cannot be read.
    """
    with open_regular(path) as file:
        yield from lines_in(file, longest=longest, most=most)


def lines_in(file: BinaryIO, *, longest: int, most: int) -> Iterator[bytes]:
    """Yield the lines of an open file, as `lines` does."""
    left = most
    while line := file.readline(longest + 1):
        left -= len(line)
        if left < 0:
            raise OSError(errno.EFBIG, f"only its first {most:,} bytes were read")
        yield line[:longest]
        while len(line) > longest and not line.endswith(b"\n") and left > 0:
            line = file.readline(longest + 1)
            left -= len(line)
            if not line:
                return


def blocks_in(file: BinaryIO | GzipFile, *, longest: int, most: int) -> Iterator[bytes]:
    """Yield the lines of an open file, as `lines` does, but as many at once as are read at once.

    Of a line that is longer than a block and than `longest`, so much is kept.
    """
    left, rest, cut = most, b"", False
    while data := file.read(_BLOCK):
        left -= len(data)
        if left < 0:
            data = data[:left]
        if cut:  # in the middle of a line that is too long
            _, newline, data = data.partition(b"\n")
            cut = not newline
        whole, newline, data = data.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = b""
        rest = b"" if cut else rest + data
        if left < 0:
            raise OSError(errno.EFBIG, f"only its first {most:,} bytes were read")
        if len(rest) > longest:
            yield rest[:longest]
            rest, cut = b"", True
    if rest:
        yield rest


def open_log(path: AnyPath) -> TextIOWrapper:
    """Open a file of text for appending, made with mode 0600 where there is none."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _FLAGS | _NO_WAITING
    return os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8")


def open_lock(path: AnyPath) -> int:
    """Open a file, made where there is none, to be locked; return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS | _NO_WAITING, 0o600)


def replace(path: AnyPath, content: bytes, *, sync: bool = False) -> None:
    """Write a file so that readers see the old one or the new one; mode 0600.

    With `sync` the disk has the new one before the old one goes. Raises OSError.
    """
    folder, name = os.path.split(os.fspath(path))
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise


def overwrite(path: AnyPath, content: bytes) -> None:
    """Write a file in the room that it has: what can still be done on a full disk.

    Raises OSError, for a longer content too. Who reads it meanwhile may see some of both.
    """
    descriptor = os.open(path, os.O_RDWR | _FLAGS | _NO_WAITING)
    try:
        status = os.fstat(descriptor)
        room = 512 * getattr(status, "st_blocks", 0)
        if not stat.S_ISREG(status.st_mode) or len(content) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
        # All of what was there by one write: killed after it, we leave JSON and white space.
        os.pwrite(descriptor, content.ljust(status.st_size), 0)
        os.ftruncate(descriptor, len(content))
    finally:
        os.close(descriptor)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # nothing depends on it
