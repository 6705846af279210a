"""The copy of a stream, on its way from the relay to the observer.

It is bounded: where the observer does not keep up it is waited for, briefly, and then chunks are
skipped and counted, as the agent must not wait for us.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _queue import SimpleQueue
    from typing import Final, Literal, TypeAlias

    StreamName: TypeAlias = Literal["stdout", "stderr"]

# Of one stream's copy, in bytes. The SDK's import alone takes 0.3 s, in which nothing is decoded.
BACKLOG: Final = 64 * 1024 * 1024
# A full backlog is waited for, in seconds: for this long at a time, and in the long run so that
# on our account nobody writes slower than this many bytes a second. Then chunks are skipped.
PATIENCE: Final = 0.05
FLOOR: Final = 500e6
_ITEM: Final = 128  # bytes that even an empty chunk takes


class Copied:
    """A chunk of a stream and when it arrived (ns since the epoch); None where some is missing."""

    __slots__ = ("at", "chunk", "tap")

    def __init__(self, tap: Tap, chunk: bytes | None, at: int) -> None:
        self.tap = tap
        self.chunk = chunk
        self.at = at


class Ended:
    """The agent is gone, the last item of the queue; the fields as in `Observer.finish`."""

    __slots__ = ("at", "exit_code", "signal")

    def __init__(self, exit_code: int | None, signal: int | None, at: int) -> None:
        self.exit_code = exit_code
        self.signal = signal
        self.at = at


class Tap:
    """The copy of one stream, on its way to the observer's thread.

    Each counter has one writer, so none needs a lock: `put` is the relay's, `take` the
    observer's. Once chunks are skipped, that goes on until half the backlog is worked off.
    `lost` counts the bytes skipped. With `unread` set, which is the observer's to do, nothing
    is copied any more, only counted; the last came at `passed_at`.
    """

    def __init__(
        self, name: StreamName, queue: SimpleQueue[Copied | Ended], limit: int = BACKLOG
    ) -> None:
        self.name = name
        self.lost = 0
        self.unread = False
        self.passed_at = 0
        self._queue = queue
        self._limit = limit
        self._passed = 0
        self._put = 0
        self._taken = 0
        self._patience = PATIENCE
        self._skipping = False
        self._closed = False

    @property
    def uncopied(self) -> int:
        """How many bytes went by without a copy."""
        return self.lost + self._passed

    def put(self, chunk: bytes, at: int) -> None:
        """Hand over a copy, or skip it."""
        if self.unread:
            self.pass_by(len(chunk), at)
            return
        size = len(chunk) + _ITEM
        if self._closed or not self._has_room(size):
            self.lost += len(chunk)
            self._skipping = True
            return
        if self._skipping:
            self._skipping = False
            self._queue.put(Copied(self, None, at))
        self._put += size
        self._queue.put(Copied(self, chunk, at))

    def pass_by(self, size: int, at: int) -> None:
        """Count what nobody reads."""
        self._passed += size
        self.passed_at = at

    def take(self, copied: Copied) -> None:
        """Note that a chunk was dealt with."""
        if copied.chunk is not None:
            self._taken += len(copied.chunk) + _ITEM

    def finish(self, at: int) -> None:
        """Tell the observer of what is missing at the end."""
        if self._skipping and not self.unread:
            self._queue.put(Copied(self, None, at))

    def close(self) -> None:
        """Take no more: nobody observes."""
        self._closed = True

    def _has_room(self, size: int) -> bool:
        if self._skipping:
            return self._put - self._taken <= self._limit // 2
        self._patience = min(PATIENCE, self._patience + size / FLOOR)
        while self._put - self._taken + size > self._limit:
            if self._closed or self._patience <= 0:
                return False
            began = time.monotonic()
            time.sleep(0.001)
            self._patience -= time.monotonic() - began
        return True
