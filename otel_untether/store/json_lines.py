r"""Files of JSON lines, read as far as they can be.

What a line may be, on a disk that lost power or a byte:

    {"at":1,…}            an entry
    \0\0{"at":2,…}        one, after what a file system made of a block that it never wrote
    {"at":3,…}{"at":4,…}  two that are whole, but have no line of their own: the newline is lost
    {"at":3,…}J{"at":4,…} likewise: it is damaged
    {"at":5,"ki           none: it is torn, or a byte of it is damaged
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from otel_untether.store import segments
from otel_untether.store.files import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
_MOST_READ: Final = 1 << 30
# A line's end, where its newline is lost or damaged, and how lines of ours begin; within a text the
# quotes would be escaped. A comma is within a line.
_SEAM: Final = rb"""\}[^",{}\]]?(?=\{"(?:resource|at")|\Z)"""


class Found(NamedTuple):
    """What is JSON in a file of lines; `alone` says that it has a line of its own."""

    entry: Any
    alone: bool


def entries(path: Path) -> Iterator[Found]:
    """Yield what is JSON in a file of lines; a torn line says nothing."""
    return _found(read(path))


def all_entries(path: Path) -> Iterator[Found]:
    """Yield what is JSON in a file of lines and in its parts, the oldest first."""
    return _found(segments.lines(path))


def is_whole(path: Path) -> bool:
    """Whether all of a file of lines can be read."""
    try:
        for line in lines(path, most=_MOST_READ):
            if line.strip():
                decode(line)
    except (OSError, *UNREADABLE):
        return False
    return True


def decode(line: bytes) -> Any:
    """Return what a line says; raise one of `UNREADABLE` where it is none."""
    return msgspec.json.decode(line.strip(b"\0"))


def read(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, as far as it can be read."""
    with contextlib.suppress(OSError):
        yield from lines(path, most=_MOST_READ)


def found_in(line: bytes) -> list[Found]:
    """Return what is JSON in a line."""
    try:
        return [Found(decode(line), alone=True)]
    except UNREADABLE:
        return [Found(entry, alone=False) for entry in _within(line)]


def _found(found: Iterable[bytes]) -> Iterator[Found]:
    with contextlib.suppress(OSError):
        for line in found:
            yield from found_in(line)


def pieces(line: bytes) -> list[bytes]:
    """Return what may be whole in a line that is not."""
    import re  # noqa: PLC0415  5 ms that a run need not spend on what is hardly ever so

    chunks = re.findall(rb"[^\0\n]+", line)
    return [piece for chunk in chunks for piece in re.sub(_SEAM, b"}\n", chunk).split(b"\n")]


def _within(line: bytes) -> Iterator[Any]:
    for piece in pieces(line):
        with contextlib.suppress(*UNREADABLE):
            yield msgspec.json.decode(piece)
