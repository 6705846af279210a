"""One thread for all sessions of a process that nobody else looks after.

It ticks them, reads descriptors that must be drained (an agent's standard error), and notices
ends. A program that watches five hundred agents gets one thread more, not five hundred.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
import time
from typing import TYPE_CHECKING, Final

from otel_untether.watching.beats import Beat

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = logging.getLogger(__name__)


class Attendant:
    """Calls back from a thread of its own, which lives while there is anything to attend to.

    What a callback raises is logged and forgotten. Callbacks run one at a time, so each must be
    short.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._beats: dict[object, Beat] = {}
        self._readers: dict[int, Callable[[], object]] = {}
        self._stale: set[int] = set()
        self._closing: list[int] = []
        self._thread: threading.Thread | None = None
        self._wake: int | None = None

    def tick(self, key: object, interval: float, call: Callable[[], object]) -> None:
        """Call `call` every `interval` seconds, until `key` is released.

        Where no more threads are to be had, that begins once there is something else to do.
        """
        with self._lock:
            self._beats[key] = Beat(interval, call, time.monotonic())
            with contextlib.suppress(RuntimeError):
                self._begin()

    def read(self, fd: int, call: Callable[[], object]) -> None:
        """Call `call` whenever the descriptor `fd` is readable, until that is released.

        RuntimeError where no more threads are to be had: whoever writes would wait for ever.
        """
        with self._lock:
            self._begin()
            self._readers[fd] = call
            self._stale.add(fd)  # the number may have been another file's, which is closed
            self._rouse()

    def release(self, key: object) -> None:
        """Stop ticking a key, or reading a descriptor; unknown ones are fine.

        A call may be under way when this returns; a descriptor is left to `close`.
        """
        with self._lock:
            self._beats.pop(key, None)
            if isinstance(key, int) and self._readers.pop(key, None) is not None:
                self._stale.add(key)
            self._rouse()

    def close(self, fd: int) -> None:
        """Stop reading a descriptor, and close it once no call for it can be under way.

        Were it closed at once, its number would be the next one's that somebody opens, another
        agent's pipe perhaps: a call for the old one would read from that, and wait, with all
        sessions, for as long as nothing comes; and an event of the old one would be taken for one
        of the new.
        """
        with self._lock:
            self._readers.pop(fd, None)
            self._stale.add(fd)
            if self._thread is not None and self._thread is not threading.current_thread():
                self._closing.append(fd)
                self._rouse()
                return
        os.close(fd)

    def _begin(self) -> None:
        if self._thread is None:
            self._start()
        self._rouse()

    def _start(self) -> None:
        reading, wake = os.pipe()
        os.set_blocking(wake, False)
        thread = threading.Thread(
            target=self._run, args=(reading,), name="untether-attendant", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # whoever comes next tries again
            os.close(reading)
            os.close(wake)
            raise
        self._thread, self._wake = thread, wake

    def _rouse(self) -> None:
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake, b"\0")

    def _run(self, waking: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(waking, selectors.EVENT_READ)
            while (timeout := self._prepare(selector)) is not None:
                for key, _ in selector.select(timeout):
                    self._attend(key.fd, waking)
                self._beat()
        os.close(waking)

    def _prepare(self, selector: selectors.BaseSelector) -> float | None:
        """Bring the selector up to date; return how long to wait, None when nothing is left."""
        with self._lock:
            # With many sessions most wakes are for beats, and change nothing here.
            if self._stale:
                self._select(selector)
            while self._closing:
                os.close(self._closing.pop())
            if not self._beats and not self._readers:
                if self._wake is not None:
                    os.close(self._wake)
                self._thread = self._wake = None
                return None
            due = min((beat.due for beat in self._beats.values()), default=None)
        return 60.0 if due is None else max(0.0, due - time.monotonic())

    def _select(self, selector: selectors.BaseSelector) -> None:
        known = selector.get_map() or {}
        for fd in self._stale:
            if fd in known:
                selector.unregister(fd)
            if fd in self._readers:
                with contextlib.suppress(OSError, ValueError, KeyError):
                    selector.register(fd, selectors.EVENT_READ)
        self._stale.clear()

    def _attend(self, fd: int, waking: int) -> None:
        if fd == waking:
            os.read(waking, 4096)
            return
        with self._lock:
            call = self._readers.get(fd)
        if call is not None:
            _guarded(call)

    def _beat(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = [beat for beat in self._beats.values() if beat.due <= now]
            for beat in due:
                beat.done(now)
        for beat in due:
            _guarded(beat.call)


def _guarded(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:  # noqa: BLE001  one session must not cost the others theirs
        _log.exception("a session was not attended to")


_own: list[Attendant] = []


def attendant() -> Attendant:
    """Return this process's attendant; after a fork the child has one of its own."""
    if not _own:
        _own.append(Attendant())
    return _own[0]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_own.clear)
