"""The observer's process, as the relay's sees it.

It is forked before there is any thread and before the agent, so that it can note the run on disk
first. The two share a ring for each stream (`copies`), a pipe of records to the observer, and a
pipe from it with lines for the operator. Either may die: the other sees its pipe end.
"""

from __future__ import annotations

import _thread
import os
import select

from otel_untether.notice import VOICE, notice, say
from otel_untether.supervisor.copies import (
    ENDED,
    GONE,
    NO_CODE,
    NOT_SPAWNED,
    SIGNALLED,
    SPAWNED,
    UNREAD,
    CopyWriter,
    Records,
    open_ring,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable
    from typing import Final, NoReturn

    from otel_untether.supervisor.copies import Ring, StreamName
else:
    import _signal as signal  # what `signal` wraps in enums, for 6 ms

# Of the first ring's header, beside those of `copies`. The first two are the observer's.
FINISHED: Final = 8
OVERTIME: Final = 9  # ns
DEATH_SIGNAL: Final = 10
STOPPED: Final = 11  # 1 while we are, as the agent was

STREAMS: Final[tuple[StreamName, StreamName]] = ("stdout", "stderr")
# How long, in seconds, the agent's start may wait for the disk.
_READY: Final = 0.25
_ALL: Final = 1 << 20  # descriptors


class Link:
    """What the two processes share; the observer's ends are `inbox` and `voice`."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []
        fds: list[int] = []
        try:
            for _ in STREAMS:
                self.rings.append(open_ring())
                fds.extend(os.pipe())
        except OSError:
            self.close(*fds)
            self.close_rings()
            raise
        self.inbox, self.outbox, self.heard, self.voice = fds
        self.numbers = self.rings[0].numbers
        self.relay = os.getpid()

    def close(self, *fds: int) -> None:
        """Close these ends."""
        for fd in fds:
            os.close(fd)

    def close_rings(self) -> None:
        """Let go of the rings' files."""
        for ring in self.rings:
            ring.close()


class Watcher:
    """The observer's process and what the relay tells it."""

    def __init__(self, pid: int, link: Link) -> None:
        self.pid = pid
        self._link = link
        self._records = Records(link.outbox)
        self._listening = _thread.allocate_lock()
        self._threaded = False
        self._over = False
        self._unneeded = False
        self._rest = b""

    def copies(self, name: StreamName) -> CopyWriter:
        """Return the relay's side of a stream's copy."""
        return CopyWriter(name, self._link.rings[STREAMS.index(name)], self._records)

    @property
    def overtime(self) -> float:
        """How many seconds beyond the exit timeout it asks for: a kill is being carried out."""
        return self._link.numbers[OVERTIME] / 1e9

    @property
    def finished(self) -> bool:
        """Whether it has done all there was to do."""
        return bool(self._link.numbers[FINISHED])

    def is_alive(self) -> bool:
        """Tell whether there may be more to hear from it."""
        return not self._over

    def join(self, timeout: float) -> None:
        """Wait for its end, at most `timeout` seconds."""
        if self._threaded:
            if self._listening.acquire(timeout=timeout):
                self._listening.release()
        elif self._audible(timeout):
            self._hear()

    def await_ready(self) -> None:
        """Wait until the run is on disk, or could not be put there; briefly, a disk may hang."""
        self._audible(_READY)

    def spawned(self, pid: int, relayed: Iterable[StreamName], at: int) -> None:
        """Tell it of the agent, and which of its streams it will see."""
        mask = sum(1 << STREAMS.index(name) for name in relayed)
        self._records.write(SPAWNED, pid, mask, at)

    def not_spawned(self) -> None:
        """Tell it that there is no agent, and wait for its end, briefly."""
        self._unneeded = True
        self._records.write(NOT_SPAWNED, 0, 0, 0)
        for _ in range(20):
            if not self._over:
                self.join(0.05)

    def dismiss(self) -> None:
        """Do without it: it takes back what it noted, and its process is gone."""
        self.not_spawned()
        if not self._over:
            os.kill(self.pid, signal.SIGKILL)
        self._link.close_rings()
        os.waitpid(self.pid, 0)

    def ended(self, exit_code: int | None, signal: int | None, at: int) -> None:
        """Tell it of the agent's end; this is the last it hears of us."""
        code = NO_CODE if exit_code is None else exit_code
        if not self._records.write(ENDED, code, signal or 0, at):
            os.set_blocking(self._link.outbox, True)
            self._records.write(ENDED, code, signal or 0, at)

    def signalled(self, number: int, at: int) -> None:
        """Tell it that the agent was sent a signal, by us or by the terminal."""
        self._records.write(SIGNALLED, number, 0, at)

    def close(self) -> None:
        """Leave nothing of it behind in a process that goes on."""
        self._link.close(self._link.outbox, self._link.heard)
        self._link.close_rings()
        os.waitpid(self.pid, 0)

    def dies_with(self, signal: int) -> None:
        """Tell it which signal the agent is to get should we be killed; 0 for none."""
        self._link.numbers[DEATH_SIGNAL] = signal

    def stopping(self) -> None:
        """Tell it that we stop because the agent has."""
        self._link.numbers[STOPPED] = 1

    def continued(self) -> None:
        """Tell it that somebody continued us."""
        self._link.numbers[STOPPED] = 0

    def listen(self) -> None:
        """Pass on what it has to say; in a thread, or where there is none, in `join`."""
        try:
            self._listening.acquire()
            _thread.start_new_thread(self._listen, ())
            self._threaded = True
        except RuntimeError:
            self._listening.release()

    def _listen(self) -> None:
        try:
            while not self._over:
                self._hear()
        finally:
            self._listening.release()

    def _audible(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self._link.heard, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def _hear(self) -> None:
        """Pass on what has come, and note its end."""
        data = os.read(self._link.heard, 1 << 16)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip(b"."):
                say(line.lstrip(b".").decode(errors="replace"))
        if not data:
            self._gone()
            self._over = True

    def _gone(self) -> None:
        """It has left: nothing is copied any more, and where that was too soon, it is said."""
        for ring in self._link.rings:
            ring.numbers[UNREAD] = ring.numbers[UNREAD] or GONE
        if not self.finished and not self._unneeded:
            notice(
                "the observing process was killed, the agent is unaffected; "
                "`otel-untether report` ends what it left open"
            )


def leave_home(link: Link) -> None:
    """Let go of all that the agent's consumers could wait for, and of the terminal's signals.

    Called in the observer's process, first of all.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    kept = sorted({link.inbox, link.voice})
    for before, after in zip([2, *kept], [*kept, _ALL], strict=True):
        os.closerange(before + 1, after)
    VOICE.fd = link.voice


def start(observe: Callable[[Link], NoReturn]) -> Watcher:
    """Fork the observer's process, which calls `observe`; raise OSError where that cannot be."""
    link = Link()
    try:
        pid = os.fork()
    except OSError:
        link.close(link.inbox, link.outbox, link.heard, link.voice)
        link.close_rings()
        raise
    if pid == 0:
        observe(link)
    link.close(link.inbox, link.voice)
    return Watcher(pid, link)
