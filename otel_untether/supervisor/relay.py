"""Bytes in, the same bytes out, and a copy for whoever watches.

A `Relay` is a thread that carries one stream of the agent to where it would have gone without
us: forwarded first, the observer told afterwards. Where the consumer is slow our write blocks,
the pipe fills and the agent is slowed, as by any pipe; where the consumer is gone the agent's
pipe is closed, so that it gets SIGPIPE as it would have. Copies are a `CopyWriter`'s business.
Where none is wanted, as nobody reads the stream, or none can be kept, as the observer is far
behind, the kernel moves pages from pipe to pipe (splice(2)), and we count bytes.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import stat
import sys
import time
from mmap import mmap

from otel_untether.notice import VOICE, notice
from otel_untether.supervisor.streams import LARGE, SMALL, enlarge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from otel_untether.clock import Clock
    from otel_untether.supervisor.streams import Outlet

    class Copy(Protocol):
        """What a relay needs of a `CopyWriter`."""

        @property
        def waiting(self) -> bool:
            """Whether `flush` is to be called soon."""

        @property
        def lost(self) -> int:
            """How many bytes went by without the copy that was wanted."""

        def keeps(self, size: int) -> bool:
            """Tell whether so much would be kept now."""

        def writing(self, since: int) -> None:
            """Note since when a write is under way: until `put` or `lose`."""

        def put(self, chunk: memoryview, at: int) -> None:
            """Keep a copy of what was forwarded, or count it where there can be none."""

        def lose(self, size: int, at: int) -> None:
            """Count what went by without a copy, whether one was wanted or not."""

        def flush(self) -> bool:
            """Try again to say what could not be said."""

        def rest(self) -> None:
            """Use a quiet moment."""

        def finish(self, at: int) -> None:
            """Note the end."""


_READ: Final = 512 * 1024
# What the consumer's pipe is to hold then. It is not ours, so it gets a quarter of that; but with
# 64 KB of it each end waits for the other's turn at a core 16 times a megabyte.
_ONWARD: Final = 256 * 1024
# Seconds of full reads in a row before a look at what else there is: the agent's end, a hang-up.
_BURST: Final = 0.02
# Nanoseconds between looks at whether the observer has made room for copies again.
_LOOK: Final = 5_000_000
# Milliseconds until a record is tried again that found no room; without a byte, until it is quiet.
_FLUSH: Final = 10.0
_QUIET: Final = 1000.0
_GONE: Final = frozenset({errno.EPIPE, errno.ECONNRESET})


class Uncopied:
    """The copy of a stream that nobody observes."""

    waiting = False
    lost = 0

    def keeps(self, size: int) -> bool:
        """Keep nothing."""
        del size
        return False

    def put(self, chunk: memoryview, at: int) -> None:
        """Miss nothing."""

    def lose(self, size: int, at: int) -> None:
        """Miss nothing."""

    def writing(self, since: int) -> None:
        """Tell nobody."""

    def flush(self) -> bool:
        """Have nothing to say."""
        return True

    def rest(self) -> None:
        """Have nothing to give back."""

    def finish(self, at: int) -> None:
        """Tell nobody."""


class Relay:
    """Carries what comes through `outlet`, and a copy into `copy`, until it ends.

    In a thread of its own; a bare one, as the import of `threading` and what that imports would
    hold up the agent's first bytes by 6 ms. `leaving` is a pipe's read end that hangs up once
    the agent is gone: what is in the pipe by then is delivered in full, and after `grace`
    seconds its descendants' open descriptors are not waited for any longer: the outlet is then
    `held`, and not closed as it is at any other end. `failed` says that the consumer's end
    took no more, for a reason other than that nobody reads it.
    """

    def __init__(
        self, outlet: Outlet, copy: Copy, clock: Clock, *, leaving: int, grace: float
    ) -> None:
        self.outlet = outlet
        self.held = False
        self.failed = False
        self._source = outlet.source
        self._target = outlet.target
        self._copy = copy
        self._now = clock.now
        self._leaving = leaving
        self._grace = grace
        self._read_into(SMALL)
        self._left = False
        self._at_work = _thread.allocate_lock()
        # splice(2) does not lock a file's position, which the file's other writers share.
        to_file = stat.S_ISREG(os.fstat(self._target).st_mode)
        self._splicing = hasattr(os, "splice") and not to_file and outlet.name == "stdout"
        self._tells_line_ends = 2 in outlet.descriptors
        self._flowing = False
        os.set_blocking(self._source, False)
        self._poller = select.poll()
        self._poller.register(self._source, select.POLLIN)
        self._only_bytes = [(self._source, select.POLLIN)]
        self._poller.register(leaving, 0)
        self._room = select.poll()
        self._room.register(self._target, select.POLLOUT)
        if never_reopened(self._target, self._source):
            self._poller.register(self._target, 0)

    @property
    def uncopied(self) -> int:
        """How many bytes were passed on without the copy that was wanted."""
        return self._copy.lost

    def start(self) -> None:
        """Begin; raise RuntimeError where there can be no thread."""
        self._at_work.acquire()
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            self._at_work.release()
            raise

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
            self.held = not self._carry()
        except OSError as error:
            if error.errno not in _GONE:
                self.failed = True
                name = self.outlet.name
                notice(f"{name} cannot be written: {error.strerror}; it is closed")
        finally:
            if not self.held:
                self.outlet.close()
            self._copy.finish(self._now())

    def _carry(self) -> bool:
        """Carry until the end of the stream, or the grace's; tell whether it was the former.

        Every line comes this way, alone, and in caches that others have used since the last one:
        a step here costs several times what it seems to, so there are few.
        """
        poll, only_bytes, copy = self._poller.poll, self._only_bytes, self._copy
        while not self._left:
            ready = poll(_FLUSH if copy.waiting else _QUIET)
            if ready != only_bytes and not self._heed(ready):
                continue
            moved = self._move()
            if moved == 0 or (moved is not None and moved >= SMALL and not self._drain()):
                return True
        deadline = time.monotonic() + self._grace
        owed = unread(self._source)
        while owed > 0 or time.monotonic() < deadline:
            if self._readable(deadline):
                moved = self._move()
                if moved == 0:
                    return True
                owed -= moved or 0
        return False

    def _drain(self) -> bool:
        """Move more of what comes in large chunks; tell if there may be more to come."""
        enough = time.monotonic() + _BURST
        while (moved := self._move()) and moved >= SMALL and time.monotonic() < enough:
            pass
        return moved != 0

    def _readable(self, deadline: float) -> bool:
        """Wait for bytes or the end of them, at most until then; False where there are none."""
        left = (deadline - time.monotonic()) * 1000
        return self._heed(self._poller.poll(max(0.0, min(_QUIET, left))))

    def _heed(self, ready: list[tuple[int, int]]) -> bool:
        """Note what else there is than bytes; tell whether there is a read to do."""
        if self._copy.waiting:
            self._copy.flush()
        elif not ready:
            self._copy.rest()
        readable = False
        for fd, _ in ready:
            if fd == self._source:
                readable = True
            elif fd == self._target:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            else:
                self._left = True
                self._poller.unregister(self._leaving)
        return readable

    def _move(self) -> int | None:
        """Forward a chunk, then tell of it; return its length, 0 at the end, None if none came.

        A few bytes are read and written even where no copy is wanted: splice(2) takes more steps.
        """
        copy = self._copy
        if self._flowing and self._splicing and not copy.keeps(_READ) and (moved := self._splice()):
            return moved
        try:
            size = os.readv(self._source, self._places)
        except BlockingIOError:
            return None
        if size == 0:
            return 0
        chunk = self._place[:size]
        at = self._now()
        copy.writing(at)
        try:
            write_all(self._target, chunk)
        finally:
            copy.put(chunk, at)
        if self._tells_line_ends:
            VOICE.midline = chunk[-1] != 0x0A
        if self._flowing or size >= SMALL:
            self._flow(size)
        return size

    def _flow(self, size: int) -> None:
        """Note whether the stream comes in large chunks, and have it come in larger ones."""
        self._flowing = size >= SMALL
        if self._flowing and len(self._place) == SMALL and enlarge(self._source, LARGE):
            try:
                self._read_into(_READ)
            except OSError:
                return  # little memory: smaller reads carry it, too
            enlarge(self._target, _ONWARD)

    def _read_into(self, size: int) -> None:
        """Have the stream read into so much memory: always the same, so that caches keep it."""
        self._place = memoryview(mmap(-1, size))
        self._places = [self._place]

    def _splice(self) -> int:
        """Forward what comes without looking at it, for a moment; 0 where it takes a read to tell.

        A consumer's pipe holds little, and is emptied as soon as it is full: every step between
        two fillings is one that both its ends wait for.
        """
        moved, enough = 0, self._now() + _LOOK
        try:
            # Nobody waits for a consumer to whom there is nothing to give.
            while unread(self._source) and (spliced := self._splice_once()):
                moved += spliced
                if self._now() >= enough:
                    break
        except OSError:
            # Not to such a file. What is really wrong, if anything, a write will tell.
            self._splicing = False
        else:
            self._flow(moved)
        return moved

    def _splice_once(self) -> int:
        """Forward what the consumer has room for, once it has; 0 where nothing came."""
        at, spliced = self._now(), 0
        self._copy.writing(at)
        try:
            self._room.poll()
            spliced = _spliced(self._source, self._target)
        finally:
            self._copy.lose(spliced, at)
        return spliced


def write_all(fd: int, chunk: bytes | memoryview) -> None:
    """Write all of `chunk`, also where the consumer made its end non-blocking."""
    rest = chunk
    while rest:
        try:
            written = os.write(fd, rest)
        except BlockingIOError:
            _wait_until_writable(fd)
        else:
            if written == len(rest):
                return
            rest = memoryview(rest)[written:]


def unread(fd: int) -> int:
    """Return how many bytes wait in a pipe; 0 where what tells that is gone from the disk."""
    try:
        import fcntl  # noqa: PLC0415  not before the first byte
        import termios  # noqa: PLC0415  as above
    except ImportError:
        return 0
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def never_reopened(target: int, pipe: int) -> bool:
    """Tell whether a hang-up of `target` is for good: an anonymous pipe's or a socket's.

    Then it can be acted upon at once, and the agent gets SIGPIPE on the very write that would
    have failed without us. A named pipe may find another reader until then. `pipe` is an
    anonymous one, to compare with.
    """
    status = os.fstat(target)
    anonymous = stat.S_ISFIFO(status.st_mode) and status.st_dev == os.fstat(pipe).st_dev
    return anonymous or stat.S_ISSOCK(status.st_mode)


def _spliced(source: int, target: int) -> int:
    """Move pages from a pipe; 0 where it is empty."""
    if sys.platform != "linux":
        raise NotImplementedError
    try:
        return os.splice(source, target, LARGE, flags=os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return 0


def _wait_until_writable(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    poller.poll()
