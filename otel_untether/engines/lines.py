"""Bytes in any chunks become lines, split at LF only.

U+2028 and its kin are legal inside JSON strings, and CR is nobody's line end here: splitting
as `str.splitlines` does would tear lines apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Agents print whole files and images in one line; this is about memory, not about taste.
MAX_LINE: Final = 128 * 1024 * 1024


class LineSplitter:
    """Collects chunks and hands out whole lines, without their LF.

    A line longer than `limit` bytes is not kept: it comes out as None, once, where it ended. Of
    one of which bytes are missing, nothing comes out.
    """

    __slots__ = ("_limit", "_overflow", "_parts", "_size", "_torn")

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._overflow = False
        self._torn = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """Return the lines that this chunk completes."""
        parts = chunk.split(b"\n")
        rest = parts.pop()
        lines: list[bytes | None] = [*parts]
        if lines and self._torn:
            del lines[0]
            self._complete(b"")
        elif lines and (self._size or self._overflow):
            lines[0] = self._complete(parts[0])
        if len(chunk) > self._limit:
            lines = [None if line and len(line) > self._limit else line for line in lines]
        if rest:
            self._keep(rest)
        return lines

    def rest(self) -> Iterator[bytes | None]:
        """Yield what is left without a final newline, if anything."""
        torn, line = self._torn, self._complete(b"")
        if line != b"" and not torn:
            yield line

    def resynchronise(self) -> None:
        """Bytes were lost here: whatever the current line is, it is not whole."""
        self._parts.clear()
        self._size, self._overflow = 0, True
        self._torn = True

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            self._parts.clear()
            self._overflow = True
        elif not self._overflow:
            self._parts.append(part)

    def _complete(self, tail: bytes) -> bytes | None:
        self._keep(tail)
        line = None if self._overflow else b"".join(self._parts)
        self._parts.clear()
        self._size, self._overflow, self._torn = 0, False, False
        return line
