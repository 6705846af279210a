"""The ledger of a run's telemetry: how much was made, and where it is.

Each span and log record that is made is, in the end, with a collector, on disk, or nowhere;
what is nowhere is lost, and is said and counted in `untether.telemetry.lost`.

    made 17, taken 12, on disk 17             5 wait for `otel-untether resend`, none is lost
    made 17, taken 12, on disk 14, no folder  what was neither taken nor written is lost
    made 17, taken 17, 3 of them refused      the collector threw 3 away; a folder still has them

Metrics are collected anew each time, so what counts of them is what could not be handed over and
could not be kept either.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from otel_untether.export.environment import SIGNALS
from otel_untether.export.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from otel_untether.export.environment import Signal

# Of items that could not be written, whose fate is still open; a full disk refuses all.
_MOST_HOMELESS: Final = 100_000
# An exporter's thread may be faster than the one that made the span.
_REMEMBERED: Final = 2_048
_NO_ANSWER: Final = "no answer yet"
_WORDS: Final = {
    "traces": ("span", "spans"),
    "logs": ("log record", "log records"),
    "metrics": ("export of metrics", "exports of metrics"),
    "points": ("data point", "data points"),
}


class Ledger:
    """Counts a run's telemetry; any thread may tell it anything.

    `kept` says whether the run has a folder, in which everything is as soon as it is made.
    """

    def __init__(self, *, kept: bool) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._meant: set[Signal] = set()
        self._made: Counter[Signal] = Counter()
        self._taken: Counter[Signal] = Counter()
        self._rejected: Counter[Signal] = Counter()
        self._failed: Counter[Signal] = Counter()
        self._lost: Counter[Signal] = Counter()
        self._homeless: dict[Signal, set[str]] = {}
        self._just_taken: deque[str] = deque(maxlen=_REMEMBERED)
        self._reasons: dict[Signal, str] = {}
        self._waiting: dict[Signal, str] = {}
        self._disk: str | None = None
        self._listeners: list[Callable[[Signal, int], object]] = []

    def expect(self, signal: Signal) -> None:
        """Note that a signal is meant for a collector."""
        self._meant.add(signal)

    def listen(self, lost: Callable[[Signal, int], object]) -> None:
        """Have it told how many items of a signal are lost, now and whenever there are more."""
        with self._lock:
            self._listeners.append(lost)
            known = dict(self._lost)
        for signal, count in known.items():
            lost(signal, count)

    def made(self, signal: Signal, key: str, problem: str | None) -> None:
        """Note an item that has come into being; `problem` is why it is not on disk."""
        with self._lock:
            self._made[signal] += 1
            if problem is None or not self._kept:
                return
            self._disk = problem
            homeless = self._homeless.setdefault(signal, set())
            if key in self._just_taken:
                return
            if room := len(homeless) < _MOST_HOMELESS:
                homeless.add(key)
        if not room:
            self._lose(signal, 1)

    def waits(self, signal: Signal, reason: str) -> None:
        """Note why an exporter is about to ask again; nothing, once it is done with that."""
        with self._lock:
            self._waiting[signal] = reason

    def why_waiting(self, signal: Signal) -> str:
        """Return why an export that has not come to an end has not."""
        return self._waiting.get(signal) or _NO_ANSWER

    def taken(self, signal: Signal, keys: Collection[str], rejected: int, reason: str) -> None:
        """Note that a collector took these items, and threw so many of them away."""
        with self._lock:
            self._taken[signal] += len(keys)
            self._rejected[signal] += rejected
            if rejected and reason:
                self._reasons[signal] = reason
            if rejected < len(keys):
                self._just_taken.extend(keys)
                self._homeless.get(signal, set()).difference_update(keys)
            lost = rejected if not self._kept else 0
        self._lose(signal, lost)

    def failed(self, signal: Signal, keys: Collection[str], reason: str) -> None:
        """Note that these items were not taken; their exporter does not try again."""
        with self._lock:
            self._failed[signal] += len(keys)
            self._reasons[signal] = reason
            lost = len(keys) if not self._kept else len(self._take_homeless(signal, keys))
        self._lose(signal, lost)

    def not_kept(self, signal: Signal, count: int, reason: str) -> None:
        """Note items, data points above all, that are neither with a collector nor on disk."""
        with self._lock:
            self._failed[signal] += 1
            self._reasons[signal] = reason
        self._lose(signal, count)

    def kept(self, signal: Signal, reason: str) -> None:
        """Note an export of metrics that was not taken and is on disk instead."""
        with self._lock:
            self._failed[signal] += 1
            self._reasons[signal] = reason

    def forgotten(self, signal: Signal, count: int) -> None:
        """Note items of earlier runs that were deleted before a collector had them."""
        for listener in tuple(self._listeners) if count else ():
            listener(signal, count)

    def settle(self) -> None:
        """Count as lost what is nowhere by now: nobody will take it any more."""
        for signal in SIGNALS:
            with self._lock:
                homeless = len(self._homeless.pop(signal, ()))
                left = self._left(signal) - self._failed[signal] if signal in self._meant else 0
                lost = homeless if self._kept else max(0, left)
            self._lose(signal, lost)

    def lost(self) -> dict[Signal, int]:
        """Return how many items of each signal are nowhere."""
        with self._lock:
            return {signal: count for signal, count in self._lost.items() if count}

    @property
    def complete(self) -> bool:
        """Whether a collector has taken everything that was meant for it."""
        with self._lock:
            return not any(self._undelivered().values()) and not any(self._lost.values())

    def report(self, *, hanging: bool = False) -> list[str]:
        """Return a line on each thing that did not go as meant, with its reason.

        `hanging` says that exporters are still waiting for an answer.
        """
        with self._lock:
            undelivered, lost = self._undelivered(), {s: n for s, n in self._lost.items() if n}
            rejected = {s: n for s, n in self._rejected.items() if n}
            lines = []
            if any(undelivered.values()):
                lines.append(
                    f"not everything reached the collector{' so far' if hanging else ''}: "
                    f"{listed(undelivered)} did not"
                    f"{self._why(undelivered, hanging=hanging)}"
                    + ("; `otel-untether resend` sends what is on disk" if self._kept else "")
                )
            if rejected:
                points = {"points" if s == "metrics" else s: n for s, n in rejected.items()}
                lines.append(f"the collector refused {listed(points)}{self._why(rejected)}")
            if lost:
                why = f" (the run's folder: {plain(self._disk)})" if self._disk else ""
                points = {"points" if s == "metrics" else s: n for s, n in lost.items()}
                lines.append(f"lost: {listed(points)}{why}")
            return lines

    def _undelivered(self) -> dict[Signal, int]:
        """Return what of each signal is meant for a collector and not with one."""
        counts: dict[Signal, int] = {}
        for signal in SIGNALS:
            if signal in self._meant:
                left = self._failed[signal] if signal == "metrics" else self._left(signal)
                counts[signal] = max(0, left)
        return counts

    def _left(self, signal: Signal) -> int:
        return self._made[signal] - self._taken[signal]

    def _take_homeless(self, signal: Signal, keys: Iterable[str]) -> set[str]:
        homeless = self._homeless.get(signal, set())
        gone = homeless.intersection(keys)
        homeless -= gone
        return gone

    def _why(self, counts: dict[Signal, int], *, hanging: bool = False) -> str:
        """Say why; of what is `hanging`, what its last answer was, if there was one."""
        told: dict[str, None] = {}
        for signal in (signal for signal in counts if counts[signal]):
            known = self._reasons.get(signal, _NO_ANSWER if hanging else "")
            told[(self._waiting.get(signal) if hanging else "") or known] = None
        reasons = "; ".join(filter(None, told))
        return f" ({reasons})" if reasons else ""

    def _lose(self, signal: Signal, count: int) -> None:
        if not count:
            return
        with self._lock:
            self._lost[signal] += count
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(signal, count)


def listed(counts: Mapping[Any, int]) -> str:
    """Say counts in words: 12 spans, 1 log record."""
    known = [(word, count) for word, count in counts.items() if count]
    return ", ".join(f"{count:,} {_WORDS[word][count != 1]}" for word, count in known)
