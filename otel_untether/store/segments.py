"""Files of lines that may become large: a full one is set aside and compressed.

    traces-0001.jsonl.gz   the oldest lines
    traces-0002.jsonl.gz   whole and on the disk as soon as it has this name
    traces-0003.jsonl      set aside, and being compressed: it counts for as long as it is there
    traces.jsonl           the newest lines

A line is in one file by the time it is written, and each step is one rename or one unlink, so
whatever is killed, and when, every line is read once. What is in a compressed file is byte for
byte what was in the plain one: the collector's receiver, which knows a file by its beginning,
goes on in it where it was.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import threading
import zlib
from typing import TYPE_CHECKING, Final

from otel_untether.store import files, run_folder
from otel_untether.store.private_folder import make_private

if TYPE_CHECKING:
    import gzip
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO, Protocol

    class _Read(Protocol):
        """How an open file is read, `most` bytes of it."""

        def __call__(self, file: BinaryIO | gzip.GzipFile, *, most: int) -> Iterator[bytes]: ...


# Set aside at this size: 5,000 to 11,000 spans, more than most sessions ever have.
LARGEST: Final = 8 << 20
MOST_READ: Final = 4 << 30  # of all parts; of one, `files.MOST_READ`, compressed or not
_COMPRESSION: Final = 1  # zlib's fastest: twentyfold for spans; its best is half of that again
_CHUNK: Final = 1 << 18


class SegmentedFile:
    """A file of lines that any thread may append to; made at the first line.

    `packed` is called, in a thread of its own, when all that was set aside is safe on the disk.
    """

    def __init__(self, path: Path, packed: Callable[[], object] | None = None) -> None:
        self._path = path
        self._packed = packed
        self._lock = threading.Lock()
        self._file: files.LineFile | None = None
        self._packing: threading.Thread | None = None

    def append(self, line: bytes) -> None:
        """Append a line, given without its newline. Raises OSError."""
        with self._lock:
            if self._open().size >= LARGEST:
                self._set_aside()
            self._open().append(line)

    def _open(self) -> files.LineFile:
        if self._file is None:
            make_private(self._path.parent)
            self._file = files.LineFile(self._path)
        return self._file

    def _set_aside(self) -> None:
        """Begin a new file, unless the one before is still being compressed."""
        if self._packing is not None and self._packing.is_alive():
            return
        # That it does not work now, on a full disk say, is tried again at the next line.
        with contextlib.suppress(OSError):
            part = set_aside(self._path)
            self._open().close()
            self._file = None
            self._pack(part)

    def _pack(self, part: Path) -> None:
        """Compress what was set aside meanwhile, or now where there is no thread to be had."""
        self._packing = threading.Thread(
            target=self._compress, args=(part,), name="otel-untether-compress", daemon=True
        )
        try:
            self._packing.start()
        except RuntimeError:
            self._packing = None
            self._compress(part)

    def _compress(self, part: Path) -> None:
        with contextlib.suppress(OSError, ImportError):
            compress(part)
            if self._packed is not None:
                newest = self._file
                if newest is not None:
                    newest.sync()
                self._packed()

    def close(self, *, wait: bool = True) -> None:
        """Close it; with `wait`, once what was set aside is compressed."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            file.close()
        if wait and self._packing is not None:
            self._packing.join()


def set_aside(path: Path) -> Path:
    """Rename a file to the next of its parts, which is returned. Raises OSError."""
    number = max(_numbers(path), default=0) + 1
    part = path.with_name(run_folder.part_name(path.name, number))
    path.rename(part)
    return part


def compress(part: Path) -> None:
    """Put a compressed file in the place of a plain one, once it is on the disk.

    Raises OSError; the plain one is there then.
    """
    import gzip  # noqa: PLC0415  1 ms, and most sessions have nothing to compress

    packed = io.BytesIO()
    with (
        files.open_regular(part) as plain,
        gzip.GzipFile("", "wb", _COMPRESSION, packed, 0) as into,
    ):
        while chunk := plain.read(_CHUNK):
            into.write(chunk)
    files.replace(_packed(part), packed.getvalue(), sync=True)
    part.unlink()


def parts(path: Path) -> list[Path]:
    """Return the files that hold a file's lines, the oldest first, the newest being itself.

    Of a part that is there twice, plain and compressed, the plain one is named.
    """
    return [*(_part(path, number) for number in sorted(_numbers(path))), path]


def lines(
    path: Path, *, longest: int = files.LONGEST_LINE, most: int = MOST_READ
) -> Iterator[bytes]:
    """Yield the lines of a file and of its parts, the oldest first, as `files.lines` does.

    A part that cannot be read costs itself: OSError is raised for it after all others. It is
    also raised after `most` bytes, of a part after `files.MOST_READ`, and FileNotFoundError
    where there is no file at all.
    """
    return _all_of(path, functools.partial(_lines_in, longest=longest), most)


def blocks(
    path: Path, *, longest: int = files.LONGEST_LINE, most: int = MOST_READ
) -> Iterator[bytes]:
    """Yield what `lines` does, many lines at once: most of what it costs to read a line is saved.

    Only the last line of a part may be without its newline.
    """
    return _all_of(path, functools.partial(files.blocks_in, longest=longest), most)


def _all_of(path: Path, read: _Read, most: int) -> Iterator[bytes]:
    problem: OSError | None = None
    left = most
    for part in _to_be_read(path):
        try:
            for piece in _of_part(part, read, min(left, files.MOST_READ)):
                left -= len(piece)
                yield piece
        except FileNotFoundError as error:
            problem = problem if _numbers(path) else error
        except OSError as error:
            problem = problem or error
    if problem is not None:
        raise problem


def _to_be_read(path: Path) -> Iterator[Path]:
    """Yield what `parts` returns; of a run that goes on, also what is set aside meanwhile."""
    last = 0
    while newer := sorted(number for number in _numbers(path) if number > last):
        for last in newer:
            yield _part(path, last)
    yield path


def tidy(run_dir: Path) -> None:
    """Finish what a dead watcher had begun, in a run's folder whose lock is held."""
    for path in begun(run_dir):
        with contextlib.suppress(OSError):
            if run_folder.is_temporary(path.name):
                path.unlink()
            else:
                compress(path)


def begun(run_dir: Path) -> list[Path]:
    """Return what somebody was about to compress, and to put in another's place."""
    try:
        names = sorted(os.listdir(run_dir))  # noqa: PTH208  names are all that is needed
    except OSError:
        return []
    return [run_dir / name for name in names if run_folder.is_temporary(name) or _is_plain(name)]


def _is_plain(name: str) -> bool:
    """Whether a part of a file is called that which is not compressed."""
    packed = name.endswith(run_folder.COMPRESSED)
    return not packed and run_folder.part_number(name) is not None


def lines_of(
    part: Path, *, longest: int = files.LONGEST_LINE, most: int = files.MOST_READ
) -> Iterator[bytes]:
    """Yield the lines of one file; one that is compressed meanwhile is read where it went.

    Raises OSError, as `files.lines` does.
    """
    return _of_part(part, functools.partial(_lines_in, longest=longest), most)


def _lines_in(file: BinaryIO | gzip.GzipFile, *, longest: int, most: int) -> Iterator[bytes]:
    # Lines of what is unpacked are read by Python, those of a buffer are not.
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(file, _CHUNK)  # type: ignore[type-var]
    return files.lines_in(buffered, longest=longest, most=most)


def _of_part(part: Path, read: _Read, most: int) -> Iterator[bytes]:
    try:
        with _open(part) as file:
            yield from read(file, most=most)
    except FileNotFoundError:
        if _is_packed(part) or run_folder.part_number(part.name) is None:
            raise
        yield from _of_part(_packed(part), read, most)
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EIO, f"damaged: {error}", os.fspath(part)) from error


@contextlib.contextmanager
def _open(part: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with files.open_regular(part) as file:
        if not _is_packed(part):
            yield file
            return
        import gzip  # noqa: PLC0415  as above

        with gzip.GzipFile("", "rb", fileobj=file) as unpacked:
            yield unpacked


def _is_packed(part: Path) -> bool:
    return part.suffix == run_folder.COMPRESSED


def _packed(part: Path) -> Path:
    return part.with_name(part.name + run_folder.COMPRESSED)


def _part(path: Path, number: int) -> Path:
    plain = path.with_name(run_folder.part_name(path.name, number))
    return plain if plain.exists() else _packed(plain)


def _numbers(path: Path) -> set[int]:
    """Return the numbers of a file's parts."""
    found = set()
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):  # noqa: PTH208  names are all that is needed
            number = run_folder.part_number(name)
            if number is not None and name.startswith(run_folder.part_name(path.name, number)):
                found.add(number)
    return found
