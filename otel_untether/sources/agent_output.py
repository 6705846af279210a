"""The pipes of an agent that this program spawned, read without a loop and without a task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_untether.watching.attendant import attendant

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK: Final = 65_536
# Where the kernel has no pidfd, how often (s) we look whether the agent has ended.
_POLL: Final = 0.25


class OutputPipe:
    """One pipe: `sink` is the agent's end, to be closed once it runs; `source` is ours."""

    def __init__(self) -> None:
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self._open = True

    def close_sink(self) -> None:
        """Let go of the agent's end."""
        if self.sink >= 0:
            os.close(self.sink)
            self.sink = -1

    def read(self) -> bytes | None:
        """Return the next bytes, none at the end of them, None where none are there yet."""
        if not self._open:
            return b""
        try:
            return os.read(self.source, _CHUNK)
        except BlockingIOError:
            return None

    def drain(self, take: Callable[[bytes], object]) -> None:
        """Have the process's attendant read it, to its end or until `close`."""
        attendant().read(self.source, lambda: self._pump(take))

    def close(self, take: Callable[[bytes], object] = lambda _chunk: None) -> None:
        """Take what is there and read no more; who still writes is read from, to nowhere.

        A descendant that outlives the agent must not die of SIGPIPE on our account.
        """
        self.close_sink()
        if not self._open:
            return
        attendant().release(self.source)
        while chunk := self.read():
            take(chunk)
        if chunk is None:
            attendant().read(self.source, lambda: self._pump(lambda _chunk: None))
        else:
            self._close()

    def _pump(self, take: Callable[[bytes], object]) -> None:
        chunk = self.read()
        if chunk:
            take(chunk)
        elif chunk is not None:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            attendant().close(self.source)


class EndWatch:
    """Calls `ended` once, from another thread, when the process `pid` has ended.

    It does not wait for the process: its status stays for whoever spawned it.
    """

    def __init__(self, pid: int, ended: Callable[[], object]) -> None:
        self._pid = pid
        self._ended = ended
        self._fd = _pidfd(pid)
        if self._fd is not None:
            attendant().read(self._fd, self._leave)
        else:
            attendant().tick(self, _POLL, self._look)

    def close(self) -> None:
        """Stop watching."""
        attendant().release(self)
        if self._fd is not None:
            attendant().close(self._fd)
            self._fd = None

    def _leave(self) -> None:
        if self._fd is not None:
            attendant().release(self._fd)
        attendant().release(self)
        self._ended()

    def _look(self) -> None:
        try:
            gone = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            self._leave()  # somebody has waited for it
            return
        if gone is not None:
            self._leave()


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
