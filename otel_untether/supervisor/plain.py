"""To relay without a thread: for what outlives the agent, and where there can be no threads.

One loop for all streams, so one slow consumer holds up the other stream too; nothing is copied.
"""

from __future__ import annotations

import os
import select
import time

from otel_untether.supervisor.relay import never_reopened, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final, NoReturn

    from otel_untether.supervisor.streams import Outlet

_READ: Final = 64 * 1024


class PlainRelay:
    """Carries what comes through some outlets. `failed` says that bytes could not be written."""

    def __init__(self, outlets: Iterable[Outlet]) -> None:
        self.failed = False
        self._poller = select.poll()
        self._open: dict[int, Outlet] = {}
        self._targets: dict[int, Outlet] = {}
        for outlet in outlets:
            os.set_blocking(outlet.source, False)
            self._open[outlet.source] = outlet
            self._poller.register(outlet.source, select.POLLIN)
            if never_reopened(outlet.target, outlet.source):
                self._targets[outlet.target] = outlet
                self._poller.register(outlet.target, 0)

    @property
    def held(self) -> list[Outlet]:
        """Those that have not ended."""
        return list(self._open.values())

    @property
    def done(self) -> bool:
        """Whether all streams have ended."""
        return not self._open

    def carry(self, seconds: float | None) -> int:
        """Wait for bytes, so many seconds at most (None: for ever), and carry them; how many."""
        moved = 0
        for fd, _ in self._poller.poll(None if seconds is None else seconds * 1000):
            if fd in self._open:
                moved += self._move(self._open[fd])
            elif fd in self._targets:
                self._close(self._targets[fd])
        return moved

    def carry_for(self, seconds: float) -> None:
        """Carry what comes within so many seconds, and all that is there already."""
        deadline = time.monotonic() + seconds
        while not self.done and (self.carry(0) or time.monotonic() < deadline):
            self.carry(max(0.0, min(0.05, deadline - time.monotonic())))

    def _move(self, outlet: Outlet) -> int:
        try:
            chunk = os.read(outlet.source, _READ)
        except BlockingIOError:
            return 0
        try:
            write_all(outlet.target, chunk)
        except OSError as error:
            self.failed |= not isinstance(error, (BrokenPipeError, ConnectionResetError))
            chunk = b""
        if not chunk:
            self._close(outlet)
        return len(chunk)

    def _close(self, outlet: Outlet) -> None:
        if self._open.pop(outlet.source, None) is None:
            return
        self._poller.unregister(outlet.source)
        if self._targets.pop(outlet.target, None) is not None:
            self._poller.unregister(outlet.target)
        outlet.close()


def carry_on(outlets: list[Outlet]) -> None:
    """Leave a process behind that carries these to their end; for jobs that outlive the agent.

    Their readers wait for those jobs as they would without us. Raises OSError where there can
    be no such process; the jobs then get SIGPIPE.
    """
    if _forked() == 0:
        _carry_on(outlets)
    for outlet in outlets:
        outlet.close()


def _forked() -> int:
    """Fork without a word about threads: they only wait, and the child needs no lock of theirs."""
    try:
        import warnings  # noqa: PLC0415  here only
    except ImportError:
        return os.fork()  # no descriptor is left to import with
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _carry_on(outlets: list[Outlet]) -> NoReturn:
    try:
        used = {fd for outlet in outlets for fd in (outlet.source, outlet.target)}
        null = os.open(os.devnull, os.O_RDWR)
        for fd in {0, 1, 2} - used:
            os.dup2(null, fd)
        os.chdir("/")  # nobody's file system is held
        kept = sorted(used | {2})
        for before, after in zip(kept, [*kept[1:], 1 << 20], strict=True):
            os.closerange(max(before, 2) + 1, after)
        relay = PlainRelay(outlets)
        while not relay.done:
            relay.carry(None)
    finally:
        os._exit(0)
