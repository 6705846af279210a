"""One clock for a session: wall time that never steps.

NTP may move the wall clock under a running session; a duration must not notice. So the wall
clock is read once and carried on by one that only goes forward, in a machine's sleep too: a
span that began before it and one that began after it are as far apart as people lived through.
"""

from __future__ import annotations

import time

_TOGETHER = 1_000_000  # ns


class Clock:
    """Nanoseconds since the epoch, monotonic."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset = time.time_ns() - _elapsed()

    def now(self) -> int:
        """Return the time, in ns since the epoch."""
        return _elapsed() + self._offset

    def from_monotonic(self, seconds: float) -> int:
        """Turn a `time.monotonic()` reading since the last sleep into ns since the epoch."""
        slept = max(0, _elapsed() - time.monotonic_ns())
        # The two clocks are not read at the same moment.
        return int(seconds * 1e9) + self._offset + slept // _TOGETHER * _TOGETHER


# Linux's monotonic clock stands still while the machine sleeps.
if hasattr(time, "CLOCK_BOOTTIME"):

    def _elapsed() -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

else:
    _elapsed = time.monotonic_ns
