"""The last samples of a process tree that followed each other without a gap."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.snapshot import TreeSnapshot

# Samples are late when the machine is busy; only a real hole (suspend, SIGSTOP) breaks a run.
_SLACK: Final = 5.0
_NS: Final = 1e9
# Over so many samples it is told whether a process works: a minute, where they come every 5 s.
_WINDOW: Final = 13


class RecentSamples:
    """The newest samples, oldest first, and when they were taken.

    `seen_at` is the newest one's time, in seconds on the samples' clock; `hole` how many
    seconds without a sample end what can be said of "recently".
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self.hole = 2 * config.sample_interval + _SLACK
        self.seen_at = float("-inf")
        self._recent = max(3, config.kill_confirmations)
        self._kept: deque[TreeSnapshot] = deque(maxlen=max(_WINDOW, self._recent))
        self._seen_now = 0

    def take(self, window: Reversible[TreeSnapshot], now: int) -> list[TreeSnapshot]:
        """Take what `window` (oldest first) has of new samples, and return them in order.

        `now` is ns since the epoch.
        """
        news: list[TreeSnapshot] = []
        for sample in reversed(window):
            if sample.at <= self.seen_at:
                break
            news.append(sample)
        news.reverse()
        if news:
            self._seen_now = now
        return news

    def keep(self, sample: TreeSnapshot) -> bool:
        """Keep a new sample, and return whether it follows the one before without a gap."""
        follows = sample.continuous and sample.at - self.seen_at <= self.hole
        if not follows:
            self._kept.clear()
        self.seen_at = sample.at
        self._kept.append(sample)
        return follows

    def discard(self) -> None:
        """Start anew: what was seen says nothing about what is."""
        self._kept.clear()

    @property
    def newest(self) -> TreeSnapshot | None:
        """The newest sample, however old."""
        return self._kept[-1] if self._kept else None

    def window(self, now: int) -> tuple[TreeSnapshot, ...]:
        """Return what is kept, or nothing if the newest is too old to speak for `now` (ns)."""
        if (now - self._seen_now) / _NS > self.hole:
            return ()
        return tuple(self._kept)

    def current(self, now: int) -> tuple[TreeSnapshot, ...]:
        """Return the last few, or none if the newest is too old to speak for `now` (ns)."""
        return self.window(now)[-self._recent :]
