"""Agents whose sessions end with their program, if not before, so that no root span is lost.

A program may leave while its agent works, or while a thread that it does not wait for is at the
end of a session.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from typing import Final

_log: Final = logging.getLogger("otel_untether")
# How long (s) a program that leaves waits for ends that are being told, at most: for all of them.
_A_WHILE: Final = 10.0


class Leaver(ABC):
    """An agent of this process, from `_begin` to `_cease`.

    `ours` says whether this is the process that has started it, and no fork of that.
    """

    def __init__(self) -> None:
        self.ours = True
        self._over = threading.Lock()
        self._done = threading.Event()

    @abstractmethod
    def leave(self) -> None:
        """End its session, unless somebody is at that: the program ends."""

    def _begin(self) -> None:
        _open.add(self)
        # Each by itself: whoever registered last goes first. What the program has registered to
        # end this agent comes before us, and the exporters of its spans leave after us.
        atexit.register(self.at_exit)

    def _cease(self) -> None:
        _open.discard(self)
        atexit.unregister(self.at_exit)
        self._done.set()

    def at_exit(self) -> None:
        """Have its session end, or wait for that where it is ending; nothing is raised."""
        try:
            self.leave()
            if self._over.locked():
                self._done.wait(max(0.0, _until() - time.monotonic()))
        except KeyboardInterrupt:
            pass  # it is ending already; somebody is in a hurry, and need read no traceback
        except Exception:  # noqa: BLE001  the program ends all the same
            _log.exception("a session was not ended")

    def disown(self) -> None:
        """Leave it to the process that this one is a fork of, to end its session as well."""
        self.ours = False
        self._over.acquire(blocking=False)
        atexit.unregister(self.at_exit)


@functools.cache
def _until() -> float:
    """Return when a program that leaves has waited long enough, which begins with the first."""
    return time.monotonic() + _A_WHILE


_open: Final[set[Leaver]] = set()


def _leave_last() -> None:
    """End what exit handlers of the program have begun: by then nothing more can be registered."""
    for agent in tuple(_open):
        agent.at_exit()


def _forked() -> None:
    for agent in tuple(_open):
        agent.disown()
    _open.clear()


atexit.register(_leave_last)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
