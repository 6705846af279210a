"""One clock for a session: wall time that never steps.

NTP may move the wall clock under a running session; a duration must not notice. So the wall
clock is read once and the monotonic one carries it on.
"""

from __future__ import annotations

import time


class Clock:
    """Nanoseconds since the epoch, monotonic."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        """Return the time, in ns since the epoch."""
        return time.monotonic_ns() + self._offset

    def from_monotonic(self, seconds: float) -> int:
        """Turn a `time.monotonic()` reading into ns since the epoch."""
        return int(seconds * 1e9) + self._offset
