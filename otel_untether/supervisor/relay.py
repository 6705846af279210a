"""Bytes in, the same bytes out, and a copy for whoever watches.

A `Relay` is a thread that carries one stream of the agent to where it would have gone without
us: forwarded first, copied afterwards. Where the consumer is slow our write blocks, the pipe
fills and the agent is slowed, as by any pipe; where the consumer is gone the agent's pipe is
closed, so that it gets SIGPIPE as it would have. The copy goes through a `Tap`. Of a stream that
nobody reads there are no copies: the kernel moves its pages from pipe to pipe (splice(2)), and
we count bytes.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import stat
import sys
import time

from otel_untether.notice import notice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from otel_untether.clock import Clock
    from otel_untether.supervisor.copies import Tap
    from otel_untether.supervisor.streams import Outlet

# A new pipe's capacity, and the one it gets when it is found full. All of a user's pipes share
# an allowance (pipe(7), pipe-user-pages-soft), so those that need no more are left alone.
SMALL: Final = 64 * 1024
LARGE: Final = 1024 * 1024
_READ: Final = 512 * 1024
# Seconds of full reads in a row before a look at what else there is: the agent's end, a hang-up.
_BURST: Final = 0.02
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET})


class Relay:
    """Carries what comes through `outlet`, and a copy into `tap`, until it ends.

    In a thread of its own; a bare one, as the import of `threading` and what that imports would
    hold up the agent's first bytes by 6 ms. The outlet is closed in the end. `leaving` is a
    pipe's read end that hangs up once the agent is gone: what is in the pipe by then is
    delivered in full, and after `grace` seconds its descendants' open descriptors are not
    waited for any longer.
    """

    def __init__(
        self, outlet: Outlet, tap: Tap, clock: Clock, *, leaving: int, grace: float
    ) -> None:
        self.stream = outlet.name
        self.writing_since: int | None = None
        self._outlet = outlet
        self._source = outlet.source
        self._target = outlet.target
        self._tap = tap
        self._clock = clock
        self._leaving = leaving
        self._grace = grace
        self._size = SMALL
        self._left = False
        self._at_work = _thread.allocate_lock()
        # splice(2) does not lock a file's position, which the file's other writers share.
        to_file = stat.S_ISREG(os.fstat(self._target).st_mode)
        self._splicing = hasattr(os, "splice") and not to_file
        os.set_blocking(self._source, False)
        self._poller = select.poll()
        self._poller.register(self._source, select.POLLIN)
        self._poller.register(leaving, 0)
        if _never_reopened(self._target, self._source):
            self._poller.register(self._target, 0)

    @property
    def lost(self) -> int:
        """How many bytes were passed on without the copy that was wanted."""
        return 0 if self._tap.unread else self._tap.lost

    def start(self) -> None:
        """Begin."""
        self._at_work.acquire()
        _thread.start_new_thread(self._run, ())

    def is_alive(self) -> bool:
        """Tell whether the stream goes on."""
        return self._at_work.locked()

    def join(self, timeout: float = -1) -> None:
        """Wait for the end of the stream, at most `timeout` seconds."""
        if self._at_work.acquire(timeout=timeout):
            self._at_work.release()

    def _run(self) -> None:
        try:
            self._carry_to_the_end()
        finally:
            self._at_work.release()

    def _carry_to_the_end(self) -> None:
        """Carry the stream; nothing is raised."""
        try:
            self._carry()
        except OSError as error:
            if error.errno not in _GONE:
                notice(f"{self._tap.name} cannot be written: {error.strerror}; it is closed")
        finally:
            self._outlet.close()
            self._tap.finish(self._clock.now())

    def _carry(self) -> None:
        while True:
            readable = self._readable(None)
            if self._left:
                break
            if readable and not self._drain():
                return
        deadline = time.monotonic() + self._grace
        owed = _unread(self._source)
        while owed > 0 or time.monotonic() < deadline:
            if self._readable(deadline):
                moved = self._move()
                if moved == 0:
                    return
                owed -= moved or 0

    def _drain(self) -> bool:
        """Move what is there, most often in one go; tell if there may be more to come."""
        enough = time.monotonic() + _BURST
        while moved := self._move():
            if moved < self._size or time.monotonic() > enough:
                break
        return moved != 0

    def _readable(self, deadline: float | None) -> bool:
        """Wait for bytes or the end of them; False where it was something else."""
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        readable = False
        for fd, _ in self._poller.poll(timeout):
            if fd == self._source:
                readable = True
            elif fd == self._target:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            else:
                self._left = True
                self._poller.unregister(self._leaving)
        return readable

    def _move(self) -> int | None:
        """Forward a chunk, then copy it; return its length, 0 at the end, None if none is there."""
        if self._tap.unread and self._splicing and (moved := self._splice()):
            return moved
        try:
            chunk = os.read(self._source, self._size)
        except BlockingIOError:
            return None
        if not chunk:
            return 0
        at = self._clock.now()
        if len(chunk) == SMALL and self._size == SMALL and _enlarge(self._source):
            self._size = _READ
        self.writing_since = at
        try:
            _write(self._target, chunk)
        finally:
            self.writing_since = None
            self._tap.put(chunk, at)
        return len(chunk)

    def _splice(self) -> int:
        """Forward what is there without looking at it; 0 where it takes a read to do or to tell."""
        at = self.writing_since = self._clock.now()
        try:
            while (moved := _spliced(self._source, self._target)) is None:
                if not _unread(self._source):  # or at its end, which splice(2) does not tell
                    return 0
                _wait_until_writable(self._target)
        except OSError:
            # Not to such a file. What is really wrong, if anything, a write will tell.
            self._splicing = False
            return 0
        finally:
            self.writing_since = None
        if moved:
            self._tap.pass_by(moved, at)
        return moved


def _write(fd: int, chunk: bytes) -> None:
    """Write all of `chunk`, also where the consumer made its end non-blocking."""
    rest: bytes | memoryview = chunk
    while rest:
        try:
            written = os.write(fd, rest)
        except BlockingIOError:
            _wait_until_writable(fd)
        else:
            rest = memoryview(rest)[written:]


def _spliced(source: int, target: int) -> int | None:
    """Move pages from a pipe; None where it is empty, or the target full."""
    if sys.platform != "linux":
        raise NotImplementedError
    try:
        return os.splice(source, target, LARGE, flags=os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return None


def _wait_until_writable(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    poller.poll()


def _enlarge(pipe: int) -> bool:
    """Let the writer run ahead of us, with fewer switches between us; tell if it worked."""
    import fcntl  # noqa: PLC0415  not before the first byte

    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, LARGE) >= LARGE
    except (AttributeError, OSError):
        return False  # not Linux, or the user's allowance is used up


def _unread(fd: int) -> int:
    """Return how many bytes wait in a pipe."""
    import fcntl  # noqa: PLC0415  as above
    import termios  # noqa: PLC0415  as above

    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def _never_reopened(target: int, pipe: int) -> bool:
    """Tell whether a hang-up of `target` is for good: an anonymous pipe's or a socket's.

    Then it can be acted upon at once, and the agent gets SIGPIPE on the very write that would
    have failed without us. A named pipe may find another reader until then.
    """
    status = os.fstat(target)
    anonymous = stat.S_ISFIFO(status.st_mode) and status.st_dev == os.fstat(pipe).st_dev
    return anonymous or stat.S_ISSOCK(status.st_mode)
