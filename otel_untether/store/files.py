"""Files as a run needs them: private, whole or torn in one known way, held by one process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class LineFile:
    """A file of lines, appended by one write(2) each; mode 0600.

    A torn line, by a crash or a full disk, is closed first, so that it spoils only itself.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        # The one is Unix's, the other keeps Windows from writing CRLF.
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self.path = path
        self._descriptor: int | None = os.open(path, flags, 0o600)
        size = os.lseek(self._descriptor, 0, os.SEEK_END)
        self._torn = size > 0 and _byte_at(self._descriptor, size - 1) != b"\n"

    def append(self, line: bytes) -> None:
        """Append a line, given without its newline. Raises OSError."""
        if self._descriptor is None:
            raise OSError(f"{self.path} is closed")
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = os.write(self._descriptor, data)
        # The disk may fill up in the middle of a line.
        self._torn = written != len(data)
        if self._torn:
            raise OSError(f"{self.path}: {written} of {len(data)} bytes written")

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


def make_private(path: Path) -> None:
    """Make a folder and its missing parents for its user only.

    `Path.mkdir` gives its mode to the last one only.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is not a directory")


def replace(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one; mode 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[bool]:
    """Hold a run against others that recover or resend it; say whether we got it."""
    try:
        import fcntl  # noqa: PLC0415  not on Windows
    except ImportError:
        yield True
        return
    with (run_dir / ".lock").open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
