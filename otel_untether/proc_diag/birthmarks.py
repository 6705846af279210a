"""Whether a process was started in this run: by the TRACEPARENT it was given.

A process inherits the environment of whoever starts it, so that even a daemon, which has left
its parent, session and group behind, carries the trace context of the run it comes from. Its
environment is read once. That takes the target's memory lock, which a hung mount may hold for
ever, so it happens on a thread that nobody waits for longer than they want to.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.proc_diag.snapshot import Identity

    ReadEnviron = Callable[[int], bytes | None]
    Identify = Callable[[int], Identity | None]

_NAME: Final = b"TRACEPARENT="
# While a process is about to execute a program it has no environment to show, on a busy machine
# for a good while: one that has none for so long (s), and so often, is taken to have none.
_EMPTY_FOR: Final = 1.0
_TRIES: Final = 3
# Threads that never came back from a read. Past this many, no more are risked.
_MAX_STUCK: Final = 4
_stuck = threading.BoundedSemaphore(_MAX_STUCK)


class Birthmarks:
    """Tells which processes carry the `traceparent` that a run's root process was given.

    `read` returns the environment of a process, NUL-separated, and may block; `identify` tells
    who has a pid. Without a `traceparent` nobody carries it.
    """

    def __init__(
        self,
        traceparent: str | None,
        read: ReadEnviron,
        identify: Identify,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._needle = _needle(traceparent or "", environ.get("TRACEPARENT", ""))
        self._read = read
        self._identify = identify
        self._known: dict[Identity, bool] = {}
        self._now = now
        self._tries: dict[Identity, int] = {}
        self._first: dict[Identity, float] = {}
        self._pending: set[Identity] = set()

    def carried_by(self, identity: Identity, patience: float = 0.0) -> bool | None:
        """Whether this process carries it; None while that is not known yet.

        Waits at most `patience` seconds for an answer.
        """
        if self._needle is None:
            return False
        if identity not in self._known and identity not in self._pending:
            self._ask(identity, patience)
        return self._known.get(identity)

    def forget(self, identity: Identity) -> None:
        """Forget a process that has ended."""
        self._known.pop(identity, None)
        self._tries.pop(identity, None)
        self._first.pop(identity, None)

    def _ask(self, identity: Identity, patience: float) -> None:
        if not _stuck.acquire(blocking=False):
            return
        self._pending.add(identity)
        thread = threading.Thread(
            target=self._answer, args=(identity,), name="untether-environ", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads to be had
            self._pending.discard(identity)
            _stuck.release()
            return
        thread.join(patience)

    def _answer(self, identity: Identity) -> None:
        try:
            raw = self._read(identity.pid)
            self._note(identity, raw)
        finally:
            self._pending.discard(identity)
            _stuck.release()

    def _note(self, identity: Identity, raw: bytes | None) -> None:
        tries = self._tries[identity] = self._tries.get(identity, 0) + 1
        empty_for = self._now() - self._first.setdefault(identity, self._now())
        if not raw and (tries < _TRIES or empty_for < _EMPTY_FOR):
            return
        same = self._identify(identity.pid) == identity
        self._known[identity] = same and _carries(raw or b"", self._needle or b"")


def _needle(traceparent: str, ambient: str) -> bytes | None:
    """Return what tells a trace context of this run from others.

    The root's own span does for sure. Another span of its trace does too, because tools may be
    given one of their own, unless the trace was there before: then others are in it as well.

    >>> _needle("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ambient="")
    b'-4bf92f3577b34da6a3ce929d0e0e4736-'
    """
    _, trace, span, *_ = (*traceparent.split("-"), "", "", "")
    if len(trace) != 32 or len(span) != 16:
        return None
    return (f"-{trace}-{span}-" if trace in ambient else f"-{trace}-").encode()


def _carries(environ: bytes, needle: bytes) -> bool:
    return any(needle in word for word in environ.split(b"\0") if word.startswith(_NAME))
