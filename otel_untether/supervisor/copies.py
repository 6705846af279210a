"""The copy of a stream, in memory that the relay's process and the observer's share.

The relay reads the agent's bytes into a ring and writes them from there to where they belong; a
record on a pipe then tells the observer which part of the ring they are, and when they came. So
nothing is copied for the observer's sake, and nothing ever waits for it: where it does not keep
up, the ring takes 64 MB, and after that chunks are skipped and counted.

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
from mmap import mmap

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
    """Bytes and numbers that stay shared across a fork."""

    def __init__(self, size: int) -> None:
        self._memory = mmap(-1, _HEADER + size)
        whole = memoryview(self._memory)
        self.numbers = whole[:_HEADER].cast("Q")
        self.bytes = whole[_HEADER:]
        self.size = size

    def trim(self) -> None:
        """Give back what lies beyond the first megabyte; its content is gone."""
        try:
            from mmap import MADV_REMOVE  # noqa: PLC0415  Linux only

            self._memory.madvise(MADV_REMOVE, _HEADER + _KEPT, self.size - _KEPT)
        except (ImportError, OSError, ValueError):
            pass


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

    `room`, then `put` or `lose`, in one thread. Records that find no room in their pipe wait
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
        self._high = 0
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

    def room(self, size: int) -> memoryview | None:
        """Return where `size` bytes may be read into; None where no copy can or need be kept."""
        numbers = self._numbers
        if numbers[UNREAD]:
            return None
        if (tail := numbers[TAIL]) == self._head and size <= self._ring.size:
            self._restart()  # as most often: it is the way of every line
            return self._ring.bytes[:size]
        free = self._ring.size - (self._head - max(tail, self._base))
        # A chunk is in one piece, so what is left at the ring's end may be too little for it.
        left = self._ring.size - self._head % self._ring.size
        skipped = left if left < size else 0
        if free < max(skipped + size, self._ring.size // 2 if self._skipping else 0):
            return None
        self._head += skipped
        start = self._head % self._ring.size
        self._high = max(self._high, start + size)
        return self._ring.bytes[start : start + size]

    def writing(self, since: int) -> None:
        """Note since when (ns) a write is under way: until `put` or `lose`."""
        self._numbers[WRITING_SINCE] = since

    def put(self, size: int, at: int) -> None:
        """Hand over what was read into `room`."""
        self._numbers[WRITING_SINCE] = 0
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
        if self._high > _KEPT and self._numbers[TAIL] == self._head:
            self._high = 0
            self._restart()
            self._ring.trim()

    def finish(self, at: int) -> None:
        """Tell the observer of what is missing at the end."""
        self.flush()
        if self._skipping and not self.unread:
            self._gap(at)

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


def enlarge(pipe: int, size: int) -> bool:
    """Let a pipe hold `size` bytes; tell whether it does."""
    import fcntl  # noqa: PLC0415  not before the first byte

    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size) >= size
    except (AttributeError, OSError):
        return False  # not Linux, or the user's allowance is used up
