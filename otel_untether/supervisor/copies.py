"""The copy of a stream, in memory that the relay's process and the observer's share.

Once the relay has written the agent's bytes to where they belong, it puts a copy into a ring; a
record on a pipe then tells the observer which part of the ring it is, and when the bytes came.
Nothing ever waits for the observer: where it does not keep up, the ring takes 64 MB, and after
that chunks are skipped and counted.

Positions only grow; the ring's byte for a position is `position % size`. An example, of a ring
of 100 bytes:

    put 60          0..60                     the observer has taken none of it
    put 60          there is no room for it: skipped, counted
    taken 60        tail = 60 = head: all of it is taken, so the next starts at 100, the ring's
                    first byte again: what is used often stays in the caches, and a session that
                    says little touches little memory
    put 60          a record that says "some is missing", then 100..160
"""

from __future__ import annotations

import os
import sys
from mmap import mmap

from otel_untether.supervisor.streams import enlarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, Literal, TypeAlias

    StreamName: TypeAlias = Literal["stdout", "stderr"]

RING_BYTES: Final = 64 * 1024 * 1024
# Where memory is limited (ulimit -v), so that something is seen at all.
_SMALLEST: Final = 1024 * 1024
# What a ring leaves of limited memory: whoever carries bytes needs some, too.
_SPARED: Final = 8 * 1024 * 1024
# More than this is given back to the system once the observer has caught up.
_KEPT: Final = 1024 * 1024
_HEADER: Final = 4096
_ENOUGH_FILES: Final = 256

# The numbers of a ring's header. Each has one writer: the first two are the observer's.
TAIL: Final = 0
UNREAD: Final = 1
PASSED: Final = 2
PASSED_AT: Final = 3
LOST: Final = 4
WRITING_SINCE: Final = 5

# What UNREAD says, else 0: that nobody wants a copy, or that nobody is there any more to have it.
UNWANTED: Final = 1
GONE: Final = 2

# What a record says; one is four numbers of 64 bits: kind, position, size, time.
STDOUT_COPIED: Final = 0
STDERR_COPIED: Final = 1
STDOUT_GAP: Final = 2
STDERR_GAP: Final = 3
SPAWNED: Final = 4  # position: pid, time: when
NOT_SPAWNED: Final = 5
ENDED: Final = 6  # position: exit code or NO_CODE, size: signal or 0, time: when
SIGNALLED: Final = 7  # position: the signal that we were sent, time: when
NO_CODE: Final = 1 << 32
RECORD_BYTES: Final = 32
# Of records; made larger when a burst of short lines fills it.
_RECORDS_PIPE: Final = 1024 * 1024


class Ring:
    """Bytes and numbers that stay shared across a fork.

    They are a file that exists in memory alone, where there can be one. What is beyond the first
    megabyte is written to the file, not to the mapping: of a ring that fills for the first time
    every page is new, and a page fault takes twice the time that a write takes.
    """

    def __init__(self, size: int) -> None:
        self._file, self._memory = _shared(_HEADER + size)
        self._grown = False
        whole = memoryview(self._memory)
        self.numbers = whole[:_HEADER].cast("Q")
        self.bytes = whole[_HEADER:]
        self.size = size

    def store(self, start: int, chunk: memoryview) -> bool:
        """Put a chunk there; tell whether there was memory for it."""
        end = start + len(chunk)
        if end > _KEPT:
            self._grown = True
            if self._file is not None:
                return self._write(self._file, start, chunk)
        self.bytes[start:end] = chunk
        return True

    def trim(self) -> bool:
        """Give back what lies beyond the first megabyte; its content is gone. False for nothing."""
        if not self._grown:
            return False
        self._grown = False
        try:
            from mmap import MADV_REMOVE  # noqa: PLC0415  Linux only

            self._memory.madvise(MADV_REMOVE, _HEADER + _KEPT, self.size - _KEPT)
        except (ImportError, OSError, ValueError):
            pass
        return True

    def close(self) -> None:
        """Let go of the file; what is mapped stays."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _write(self, file: int, start: int, chunk: memoryview) -> bool:
        try:
            return os.pwrite(file, chunk, _HEADER + start) == len(chunk)
        except OSError:
            return False


def open_ring(size: int = RING_BYTES) -> Ring:
    """Make a ring of `size` bytes, or of what can be had; raise OSError where that is nothing."""
    while True:
        try:
            mmap(-1, size + _SPARED).close()
            return Ring(size)
        except OSError:
            if size <= _SMALLEST:
                raise
            size //= 4


def _shared(size: int) -> tuple[int | None, mmap]:
    """Return shared memory, and the file that it is where it is one."""
    file = _file_in_memory(size)
    if file is not None:
        try:
            return file, mmap(file, size)
        except OSError:
            os.close(file)
    return None, mmap(-1, size)


def _file_in_memory(size: int) -> int | None:
    """Make a file of so many bytes, which take memory once they are written; None without one.

    A limit to the size of files holds for such ones, too, and who passes it is sent a signal.
    Few descriptors are better left to whatever cannot do without.
    """
    if sys.platform != "linux":
        return None
    try:
        import resource  # noqa: PLC0415  Unix only, and not to be had where memory is short
    except ImportError:
        return None
    for limit, least in ((resource.RLIMIT_FSIZE, size), (resource.RLIMIT_NOFILE, _ENOUGH_FILES)):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY and soft < least:
            return None
    try:
        file = os.memfd_create("otel-untether")
    except (AttributeError, OSError):  # the one where Python was built for systems before it
        return None
    try:
        os.truncate(file, size)
    except OSError:
        os.close(file)
        return None
    return file


class Records:
    """The relay's end of the pipe of records. A write is whole or not at all (pipe(7))."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._enlarged = False
        os.set_blocking(fd, False)

    def write(self, kind: int, position: int, size: int, at: int) -> bool:
        """Write a record; return whether there was room. An observer that is gone takes all."""
        record = kind | position << 64 | size << 128 | at << 192
        try:
            os.write(self._fd, record.to_bytes(RECORD_BYTES, "little"))
        except BlockingIOError:
            return self._enlarge() and self.write(kind, position, size, at)
        except OSError:
            return True
        return True

    def _enlarge(self) -> bool:
        if self._enlarged:
            return False
        self._enlarged = True
        return enlarge(self._fd, _RECORDS_PIPE)


def records(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the records in what was read from their pipe."""
    numbers = memoryview(data).cast("Q")
    for start in range(0, len(numbers), 4):
        yield numbers[start], numbers[start + 1], numbers[start + 2], numbers[start + 3]


class CopyWriter:
    """The relay's side of the copy of one stream.

    `writing`, then `put` or `lose`, in one thread. Records that find no room in their pipe wait
    here and grow: the observer then sees fewer and larger chunks, dated by the first.
    """

    def __init__(self, name: StreamName, ring: Ring, out: Records) -> None:
        self.name = name
        self._ring = ring
        self._numbers = ring.numbers
        self._records = out
        self._kind = STDOUT_COPIED if name == "stdout" else STDERR_COPIED
        self._head = 0
        self._base = 0
        self._skipping = False
        self._waiting: tuple[int, int, int] | None = None

    @property
    def unread(self) -> bool:
        """Whether the observer wants to know how much came, and not what."""
        return self._numbers[UNREAD] != 0

    @property
    def lost(self) -> int:
        """How many bytes went by without the copy that was wanted."""
        return 0 if self._numbers[UNREAD] == UNWANTED else self._numbers[LOST]

    @property
    def waiting(self) -> bool:
        """Whether a record still has to be written: call `flush` soon."""
        return self._waiting is not None

    def keeps(self, size: int) -> bool:
        """Tell whether so much would be kept now, and move on to where it would be."""
        return not self._numbers[UNREAD] and self._make_room(size)

    def writing(self, since: int) -> None:
        """Note since when (ns) a write is under way: until `put` or `lose`."""
        self._numbers[WRITING_SINCE] = since

    def put(self, chunk: memoryview, at: int) -> None:
        """Keep a copy of what was forwarded, or count it where there can be none."""
        numbers = self._numbers
        numbers[WRITING_SINCE] = 0
        size = len(chunk)
        if numbers[UNREAD] or not self._make_room(size) or not self._store(chunk):
            self.lose(size, at)
            return
        if self._skipping:
            self._skipping = not self._gap(at)
        if self._waiting is not None and not self.flush():
            self._grow(size, at)
        elif self._records.write(self._kind, self._head, size, at):
            self._head += size
        else:
            self._grow(size, at)

    def lose(self, size: int, at: int) -> None:
        """Count what went by without a copy, `at` that time, whether one was wanted or not."""
        self._numbers[WRITING_SINCE] = 0
        self.flush()
        if size == 0:
            return
        if self.unread:
            self._numbers[PASSED] += size
            self._numbers[PASSED_AT] = at
        else:
            self._numbers[LOST] += size
            self._skipping = True

    def flush(self) -> bool:
        """Write the record that waits; return whether none waits any more."""
        if self._waiting is not None and self._records.write(self._kind, *self._waiting):
            self._waiting = None
        return self._waiting is None

    def rest(self) -> None:
        """Use a quiet moment: give memory back."""
        if self._numbers[TAIL] == self._head and self._ring.trim():
            self._restart()

    def finish(self, at: int) -> None:
        """Tell the observer of what is missing at the end."""
        self.flush()
        if self._skipping and not self.unread:
            self._gap(at)

    def _make_room(self, size: int) -> bool:
        """Move on to where a chunk fits, in one piece; tell whether it does."""
        ring, tail = self._ring, self._numbers[TAIL]
        if tail == self._head and size <= ring.size:
            self._restart()  # as most often: it is the way of every line
            return True
        free = ring.size - (self._head - max(tail, self._base))
        # What is left at the ring's end may be too little for it.
        left = ring.size - self._head % ring.size
        skipped = left if left < size else 0
        if free < max(skipped + size, ring.size // 2 if self._skipping else 0):
            return False
        self._head += skipped
        return True

    def _store(self, chunk: memoryview) -> bool:
        return self._ring.store(self._head % self._ring.size, chunk)

    def _grow(self, size: int, at: int) -> None:
        """Add to the record that waits, or skip what does not follow it."""
        position, length, since = self._waiting or (self._head, 0, at)
        if position + length == self._head:
            self._waiting = (position, length + size, since)
            self._head += size
        else:
            self.lose(size, at)

    def _gap(self, at: int) -> bool:
        return self._records.write(self._kind + STDOUT_GAP, 0, 0, at)

    def _restart(self) -> None:
        """Begin again at the ring's first byte; all there is was taken."""
        self._head += -self._head % self._ring.size
        self._base = self._head


class CopyReader:
    """The observer's side of the copy of one stream."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._numbers = ring.numbers

    def take(self, position: int, size: int) -> bytes:
        """Return the bytes of a record, and give their place in the ring back."""
        start = position % self._ring.size
        chunk = bytes(self._ring.bytes[start : start + size])
        self._numbers[TAIL] = position + size
        return chunk

    def skip(self, position: int, size: int) -> None:
        """Give the place of a record back, unread."""
        self._numbers[TAIL] = position + size

    def leave_unread(self) -> None:
        """Have no more copies made."""
        self._numbers[UNREAD] = UNWANTED

    @property
    def uncopied(self) -> int:
        """How many bytes went by without a copy."""
        return self._numbers[LOST] + self._numbers[PASSED]

    @property
    def passed_at(self) -> int:
        """When the last of what nobody reads came, in ns since the epoch."""
        return self._numbers[PASSED_AT]

    @property
    def writing_since(self) -> int | None:
        """Since when a write to the consumer is under way, None while none is."""
        return self._numbers[WRITING_SINCE] or None
