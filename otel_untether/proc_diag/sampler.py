"""One thread that samples every session's process tree, on a steady beat.

One pass looks at all trees, because most of what a look costs is shared. The schedule is
monotonic: a pass that takes too long skips beats instead of catching up, and each gap, like a
suspend of the machine, is marked in the samples (`TreeSnapshot.continuous`), so that nobody takes
the silence of a sleeping laptop for an agent's. A young session is looked at more often: many
are over before the second beat, and have their peaks, too.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from otel_untether.proc_diag.snapshot import TreeSnapshot
from otel_untether.proc_diag.tree import Tree, sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_log: Final = logging.getLogger(__name__)

# Samples kept per session: enough for a detector that reads them as they come.
CAPACITY: Final = 16
# Seconds after a session's first sample at which it is looked at besides, until the beat is due.
_EARLY: Final = (0.5, 1.0, 2.0, 4.0)
# Seconds between two looks, at least; CPU time is counted in ticks of 10 ms, and a tick in a few
# milliseconds would be a whole core.
_APART: Final = 0.25
_GAP: Final = 2.0
_SUSPENDED: Final = 1.0


class Window:
    """The last samples of one session, oldest first; safe to read from any thread."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._samples: deque[TreeSnapshot] = deque(maxlen=capacity)
        self._lock = threading.Lock()

    def append(self, diag: TreeSnapshot) -> None:
        """Add a sample."""
        with self._lock:
            self._samples.append(diag)

    @property
    def latest(self) -> TreeSnapshot | None:
        """The newest sample, None before the first."""
        with self._lock:
            return self._samples[-1] if self._samples else None

    def since(self, at: float) -> tuple[TreeSnapshot, ...]:
        """Return the samples from `at` (`time.monotonic()`) on, but none from before a gap."""
        found: list[TreeSnapshot] = []
        for diag in reversed(self):
            if diag.at < at:
                break
            found.append(diag)
            if not diag.continuous:
                break
        return tuple(reversed(found))

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[TreeSnapshot]:
        with self._lock:
            return iter(tuple(self._samples))

    def __reversed__(self) -> Iterator[TreeSnapshot]:
        with self._lock:
            return reversed(tuple(self._samples))


class _Session(Struct):
    """`early` holds when it is to be looked at off the beat (`time.monotonic()`), in order."""

    tree: Tree
    early: deque[float]
    window: Window = field(default_factory=Window)
    suspended: float = 0.0

    def is_early(self, now: float) -> bool:
        """Tell whether to look at it now, off the beat; let go of the moments that have come."""
        if not self.early or self.early[0] > now:
            return False  # as each of hundreds, whenever one of them is to be looked at
        while self.early and self.early[0] <= now:
            self.early.popleft()
        latest = self.window.latest
        return latest is None or now - latest.at >= _APART


class _Look(Struct, frozen=True):
    """Which sessions to look at now: all on the beat, or some young ones."""

    at: Mapping[str, _Session]
    on_the_beat: bool


class Sampler:
    """Samples trees every `interval` seconds; its thread lives while there are any.

    Raises ValueError for an interval that is none.
    """

    def __init__(self, interval: float = 5.0) -> None:
        if not (math.isfinite(interval) and interval > 0):
            raise ValueError(f"a sampler needs an interval of some seconds, not {interval!r}")
        self.interval = interval
        self._sessions: dict[str, _Session] = {}
        self._young: dict[str, _Session] = {}
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()

    def add(self, key: str, tree: Tree) -> Window:
        """Sample a tree from now on; ValueError for a key in use.

        The first time at once, or on the beat where that is almost due.
        """
        with self._changed:
            if key in self._sessions:
                raise ValueError(f"session {key!r} is being sampled already")
            now = time.monotonic()
            early = (now + after for after in _EARLY if after < self.interval)
            session = _Session(tree, deque((now, *early)), suspended=suspended())
            self._sessions[key] = self._young[key] = session
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="untether-sampler", daemon=True)
                with contextlib.suppress(RuntimeError):  # no more to be had: the next one tries
                    thread.start()
                    self._thread = thread
            self._changed.notify()
        return session.window

    def remove(self, key: str) -> None:
        """Sample that session no more (one sample may be under way); unknown keys are fine."""
        with self._changed:
            session = self._sessions.pop(key, None)
            self._young.pop(key, None)
            self._changed.notify()
        if session:
            session.tree.close()

    def close(self, timeout: float = 1.0) -> None:
        """Remove all sessions and wait for the thread to end, at most `timeout` seconds."""
        with self._changed:
            keys, thread = list(self._sessions), self._thread
        for key in keys:
            self.remove(key)
        if thread and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        due = time.monotonic()
        while look := self._wait(due):
            self._pass(look.at)
            if look.on_the_beat:
                due, _ = next_beat(due, time.monotonic(), self.interval)

    def _wait(self, due: float) -> _Look | None:
        """Wait for the beat, or for young sessions' own moments; None when none are left."""
        with self._changed:
            while self._sessions:
                now = time.monotonic()
                early = {key: one for key, one in self._young.items() if one.is_early(now)}
                self._young = {key: one for key, one in self._young.items() if one.early}
                if now >= due:
                    return _Look(dict(self._sessions), on_the_beat=True)
                if early and due - now >= _APART:
                    return _Look(early, on_the_beat=False)
                next_look = min([due, *(one.early[0] for one in self._young.values())])
                self._changed.wait(next_look - now)
            self._thread = None
            return None

    def _pass(self, sessions: Mapping[str, _Session]) -> None:
        asleep = suspended()
        diags = _sample([session.tree for session in sessions.values()])
        for session, diag in zip(sessions.values(), diags, strict=True):
            before = session.window.latest
            gap = before is not None and diag.at - before.at > _GAP * self.interval
            resumed = asleep - session.suspended > _SUSPENDED
            session.suspended = asleep
            marked = replace(diag, continuous=False) if gap or resumed else diag
            session.window.append(marked)


def next_beat(due: float, now: float, interval: float) -> tuple[float, int]:
    """Return the first beat after `now`, and how many between `due` and it are skipped."""
    skipped = max(0, int((now - due) // interval))
    return due + (skipped + 1) * interval, skipped


def suspended() -> float:
    """Return for how many seconds the machine has been suspended since its boot, as far as known.

    On Linux CLOCK_MONOTONIC stands still meanwhile, CLOCK_BOOTTIME does not.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _sample(trees: Sequence[Tree]) -> list[TreeSnapshot]:
    """Sample all trees; where that fails, each alone, so that one does not cost the others."""
    try:
        return sample(trees)
    except Exception as error:  # noqa: BLE001  one tree must not cost the others theirs
        # In one line: where nobody has set logging up, this is on the operator's terminal.
        _log.warning("sampling failed (%s); trying each tree alone", type(error).__name__)
        _log.debug("sampling failed", exc_info=True)
        return [_sample_alone(tree) for tree in trees]


def _sample_alone(tree: Tree) -> TreeSnapshot:
    try:
        return sample([tree])[0]
    except Exception as error:  # noqa: BLE001  whatever it is, the tree's state is unknown
        problem = f"sampling failed: {type(error).__name__}"
        return TreeSnapshot(time.monotonic(), None, problems=(problem,))
