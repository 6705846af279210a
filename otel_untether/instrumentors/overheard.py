"""Files that tell what is read from them, and written to them."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any, Final

import wrapt

from otel_untether.instrumentors.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Proxy = wrapt.ObjectProxy[Any]
else:
    _Proxy = wrapt.ObjectProxy  # before wrapt 2 it takes no argument

# How to read of each kind of file what is there, so that all of it can be read piece by piece.
_PIECES: Final[dict[type, Callable[[Any], Any]]] = {
    io.BufferedReader: lambda file: file.read1(),
    io.TextIOWrapper: lambda file: file.readline(),
}


class Overheard(_Proxy):
    """A file that tells `took` what is read from it, and `at_end` when there is no more.

    `waits` is told 1 when somebody begins to wait for a line, and -1 when he has it. It is that
    file in all else, `isinstance` included.
    """

    def __init__(
        self,
        file: Any,
        took: Callable[[bytes], object],
        at_end: Callable[[], object],
        waits: Callable[[int], object] = lambda _more: None,
    ) -> None:
        super().__init__(file)
        self._self_took = took
        self._self_at_end = at_end
        self._self_waits = waits

    def read(self, *args: Any) -> Any:
        """Read, and tell; all that comes is told as it comes."""
        if args[:1] not in ((), (-1,), (None,)):
            return self._self_tell(self.__wrapped__.read(*args), wanted=args[:1] != (0,))
        if not _waits(self.__wrapped__):  # what is there now, or None; an empty one is the end
            return self._self_tell(self.__wrapped__.read(*args))
        piece = _PIECES.get(type(self.__wrapped__))
        data = self._self_read_all(piece) if piece else self._self_tell(self.__wrapped__.read())
        self._self_over()
        return data

    def _self_read_all(self, piece: Callable[[Any], Any]) -> Any:
        pieces = []
        while True:
            with self._self_waiting():
                data = piece(self.__wrapped__)
            pieces.append(self._self_tell(data))
            if not data:
                return type(data)().join(pieces)

    def read1(self, *args: Any) -> Any:
        """Read what is there, and tell."""
        with self._self_waiting():
            data = self.__wrapped__.read1(*args)
        return self._self_tell(data, wanted=args[:1] != (0,))

    def readline(self, *args: Any) -> Any:
        """Read a line, and tell."""
        with self._self_waiting():
            data = self.__wrapped__.readline(*args)
        return self._self_tell(data, wanted=args[:1] != (0,))

    def readinto(self, buffer: Any) -> Any:
        """Read into a buffer, and tell."""
        count = self.__wrapped__.readinto(buffer)
        if count is not None:
            with harmless("output is read"):
                self._self_tell(bytes(memoryview(buffer).cast("B")[:count]), wanted=len(buffer))
        return count

    def readlines(self, *args: Any) -> Any:
        """Read lines, and tell."""
        if args[:1] in ((), (-1,), (None,)):
            return list(self)
        lines = self.__wrapped__.readlines(*args)
        with harmless("output is read"):
            self._self_tell(type(lines[0])().join(lines) if lines else b"")
        return lines

    def __iter__(self) -> Iterator[Any]:
        """Return what yields the lines: this file."""
        return self

    def __next__(self) -> Any:
        """Read a line, and tell."""
        try:
            with self._self_waiting():
                data = next(self.__wrapped__)
            return self._self_tell(data)
        except StopIteration:
            self._self_tell(b"")
            raise

    def __enter__(self) -> Any:
        """Enter the file's own context, as this file."""
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        """Leave it: nobody reads any more."""
        self._self_over()
        return self.__wrapped__.__exit__(*error)

    def close(self) -> None:
        """Close it: nobody reads any more."""
        self._self_over()
        self.__wrapped__.close()

    @contextlib.contextmanager
    def _self_waiting(self) -> Iterator[None]:
        with harmless("a line is waited for"):
            self._self_waits(1)
        try:
            yield
        finally:
            with harmless("a line is there"):
                self._self_waits(-1)

    def _self_over(self) -> None:
        with harmless("output ends"):
            self._self_at_end()

    def _self_tell(self, data: Any, *, wanted: object = True) -> Any:
        with harmless("output is read"):
            if data:
                self._self_took(encoded(data))
            elif data is not None and wanted:
                self._self_at_end()
        return data


class Written(_Proxy):
    """A file that tells `gave` what is written to it; it is that file in all else."""

    def __init__(self, file: Any, gave: Callable[[bytes], object]) -> None:
        super().__init__(file)
        self._self_gave = gave

    def write(self, data: Any) -> Any:
        """Write, and tell."""
        count = self.__wrapped__.write(data)
        with harmless("standard input"):
            self._self_gave(encoded(data))
        return count

    def writelines(self, lines: Any) -> None:
        """Write several, and tell."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> Any:
        """Enter the file's own context, as this file."""
        self.__wrapped__.__enter__()
        return self


def _waits(file: Any) -> bool:
    """Whether reading from a file waits, as it does unless somebody has asked otherwise."""
    with contextlib.suppress(Exception):
        return os.get_blocking(file.fileno())
    return False


def encoded(data: Any) -> bytes:
    """Return what was read or written as bytes, if it was text."""
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
