"""The lock of a run's folder: it alone says whether a run lives.

A run's watcher takes it before its agent is spawned, and keeps it for as long as there is
something to watch or to send. Whoever ends what a dead watcher left open, or sends it, takes it
for as long as that lasts. So a run whose lock is free has nobody, whatever its record says:

    the watcher was killed, the machine restarted         free: the kernel let go of it
    the watcher lives in another container                 held, though its pid says nothing here
    the watcher lives on another machine, same NFS folder  held, though its boot is not ours
    the watcher forked, and one of the two still works     held: they share one open file

It is taken before the agent is spawned, and so imports next to nothing.
"""

# ruff: noqa: PTH118  pathlib takes 5 ms to import

from __future__ import annotations

import os
import time

from otel_untether.store.files import open_lock
from otel_untether.store.private_folder import require_private

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Self

LOCK: Final = ".lock"
# Somebody who only asks whether it is held has it for some microseconds.
_TRIES: Final = 20
_PAUSE: Final = 0.002


class RunLock:
    """A run's lock, held until `release` or until the last process that has it open ends."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of it; a second time does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Hold it for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it."""
        self.release()


def acquire(run_dir: str | os.PathLike[str]) -> RunLock | None:
    """Take the lock of a run's folder; return None where somebody else has it.

    Where the system has no flock(2) it is given to everybody. Children that are executed do not
    inherit it. Raises OSError where the folder is not ours alone, or cannot have a lock.
    """
    require_private(run_dir)
    try:
        import fcntl  # noqa: PLC0415  not on Windows
    except ImportError:
        return RunLock(None)
    descriptor = open_lock(os.path.join(run_dir, LOCK))
    try:
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            lock, descriptor = RunLock(descriptor), -1
            return lock
        return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def is_held(run_dir: str | os.PathLike[str]) -> bool | None:
    """Whether somebody has a run's lock; None where that cannot be told.

    A folder that nobody ever locked is held by nobody.
    """
    try:
        import fcntl  # noqa: PLC0415  not on Windows
    except ImportError:
        return None
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(os.path.join(run_dir, LOCK), flags)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False
