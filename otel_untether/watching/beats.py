"""When something that is done regularly is due."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PARTS: Final = 4


class Beat:
    """A call that is made regularly. Times are in seconds, on any clock that does not step.

    Beats of one interval fall together, into four moments of it: a process with five hundred
    sessions wakes four times a second for their ticks, and not five hundred times.

        interval 1, made at 10.1: due at 11.25, 12.25, ...
        interval 1, made at 10.2: due at 11.25 as well
    """

    __slots__ = ("call", "due", "interval")

    def __init__(self, interval: float, call: Callable[[], object], now: float) -> None:
        self.interval = interval
        self.call = call
        self.due = self._after(now)

    def done(self, now: float) -> None:
        """It was made; the next one is due an interval after this one was, if that is to come."""
        self.due += self.interval
        if self.due <= now:
            self.due = self._after(now)

    def _after(self, now: float) -> float:
        part = self.interval / _PARTS
        return math.ceil((now + self.interval) / part) * part if part > 0 else now
