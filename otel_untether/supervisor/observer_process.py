"""The process that observes a run: niced, in a session of its own, and nobody's trouble but ours.

It is forked before the agent is spawned, notes the run on disk, and only then imports what
observing takes. What it hears comes as records on a pipe (`copies`); the pipe's end without a
record of the agent's end means that the relay was killed. It holds none of the descriptors it
was born with, so nobody who reads the agent's output waits for it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec, TypeVar

from otel_untether.notice import VOICE, notice, say
from otel_untether.supervisor import copies
from otel_untether.supervisor.copies import CopyReader
from otel_untether.supervisor.observer import Child
from otel_untether.supervisor.signals import is_stopped
from otel_untether.supervisor.watcher import DEATH_SIGNAL, FINISHED, OVERTIME, STOPPED, STREAMS

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import NoReturn

    from otel_untether.clock import Clock
    from otel_untether.supervisor.observer import Observer, ObserverFactory
    from otel_untether.supervisor.options import Options
    from otel_untether.supervisor.watcher import Link

    Record = tuple[int, int, int, int]
else:
    import _signal as signal  # what `signal` wraps in enums, for 2 ms of each run

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Between looks at a busy stream, in ms: every chunk for itself would cost the relay a switch.
_NAP: Final = 5
# How long (ns) records are shown together: so much an observer that is killed may not have noted.
_TOGETHER: Final = 50_000_000
# Seconds between the time that delivery is given and the one at which the kernel ends us.
_GRACE: Final = 5.0
# Seconds without a tick after which an observer that hangs is given up, and a last moment.
_SILENT: Final = 120.0
_MOMENT: Final = 10.0
_READ: Final = copies.RECORD_BYTES * 2048


class Ended(NamedTuple):
    """The agent is gone; as in `Observer.finish`."""

    exit_code: int | None
    signal: int | None
    at: int


def main(
    link: Link, argv: tuple[str, ...], clock: Clock, options: Options, factory: ObserverFactory
) -> NoReturn:
    """Observe until the agent's end, finish, and exit. Called in the forked child."""
    gc.disable()
    try:
        Observation(link, argv, clock, options, factory).carry_out()
    # Whatever it is, there is nobody to raise it to.
    except BaseException as error:  # noqa: BLE001
        _complain(error)
    finally:
        os._exit(0)


class Observation:
    """One run, from its note on disk to its delivery."""

    def __init__(
        self,
        link: Link,
        argv: tuple[str, ...],
        clock: Clock,
        options: Options,
        factory: ObserverFactory,
    ) -> None:
        self._link = link
        self._argv = argv
        self._clock = clock
        self._options = options
        self._factory = factory
        self._guard = Guard()
        self._early: list[Record] = []

    def carry_out(self) -> None:
        """Do everything, in order."""
        inbox = Inbox(self._link.inbox)
        child = self._await_child(inbox)
        if child is None:
            return
        agent = _hold(child.pid)
        observer = self._guard(self._factory, child)
        # Until here it was off: of what an import makes nothing is to be collected, ever.
        gc.freeze()
        gc.enable()
        if observer is None:
            self._discard(inbox)
            return
        ended = Session(observer, child, agent, self._link, inbox, self._guard).observe()
        self._finish(observer, ended)

    def _await_child(self, inbox: Inbox) -> Child | None:
        """Wait for the agent's spawn; None where it came to nothing, or the relay was killed."""
        while (record := inbox.next()) is not None:
            kind, pid, mask, at = record
            if kind == copies.SPAWNED:
                inbox.put_back(self._early)
                return self._child(pid, mask, at)
            if kind == copies.NOT_SPAWNED:
                self._guard(self._options.abandon)
                break
            self._early.append(record)  # a thread of the relay's was faster
        self._link.numbers[FINISHED] = 1
        return None

    def _child(self, pid: int, mask: int, at: int) -> Child:
        readers = [CopyReader(ring) for ring in self._link.rings]

        def blocked_since() -> int | None:
            since = [reader.writing_since for reader in readers]
            return min((at for at in since if at is not None), default=None)

        return Child(
            pid=pid,
            argv=self._argv,
            started=at,
            clock=self._clock,
            relayed=frozenset(name for bit, name in enumerate(STREAMS) if mask & 1 << bit),
            blocked_since=blocked_since,
            reaper=self._link.relay if self._options.dedicated else None,
        )

    def _discard(self, inbox: Inbox) -> None:
        """Nobody observes: take nothing, and stay until the end is known."""
        for ring in self._link.rings:
            CopyReader(ring).leave_unread()
        self._link.numbers[FINISHED] = 1
        while (record := inbox.next()) is not None and record[0] != copies.ENDED:
            pass

    def _finish(self, observer: Observer, ended: Ended) -> None:
        _end_by_alarm(self._options.finish_timeout + _GRACE)
        summary = self._guard(observer.finish, *ended)
        if self._options.summary and summary is not None:
            say(summary)
        # The relay need not wait for more than that.
        self._link.numbers[FINISHED] = 1
        VOICE.muted = True
        os.close(self._link.voice)
        _end_by_request()
        self._guard(observer.deliver, self._options.finish_timeout)


class Session:
    """Tells an observer what the records say, and ticks, until the agent's end."""

    def __init__(
        self,
        observer: Observer,
        child: Child,
        agent: int | None,
        link: Link,
        inbox: Inbox,
        guard: Guard,
    ) -> None:
        self._observer = observer
        self._child = child
        self._agent = agent
        self._end = select.poll()  # of the agent, after which nobody naps
        if agent is not None:
            self._end.register(agent, select.POLLIN)
        self._link = link
        self._inbox = inbox
        self._guard = guard
        self._readers = [CopyReader(ring) for ring in link.rings]
        self._unread = False
        self._deaf = False
        self._passed = 0
        self._next_tick = 0
        self._heard = 0
        self._deadman = Deadman()

    def observe(self) -> Ended:
        """Return how the agent ended, once all of its output was shown."""
        self._deadman.alive()
        self._next_tick = self._now() + self._observer.tick_interval
        while True:
            found = self._inbox.read((self._next_tick - self._now()) / 1e9)
            if found is None:
                return self._without_relay()
            waiting = deque(found)
            while waiting:
                if (ended := self._show_some(waiting)) is not None:
                    self._count()
                    return ended
                # By what was heard so far: while there is more to hear, nobody is silent.
                self._tick(self._heard)
            if found:
                self._end.poll(_NAP)
            else:
                self._tick(self._now())

    def _show_some(self, waiting: deque[Record]) -> Ended | None:
        """Show what is waiting for a moment, or until it is time to tick; at least the first."""
        until = min(self._next_tick, self._now() + _TOGETHER)
        with self._observer.together():
            while waiting:
                kind, position, size, self._heard = waiting.popleft()
                if (ended := self._show(kind, position, size, self._heard)) is not None:
                    return ended
                if self._now() >= until:
                    break
        return None

    def _now(self) -> int:
        return self._child.clock.now()

    def _show(self, kind: int, position: int, size: int, at: int) -> Ended | None:
        if kind == copies.ENDED:
            return Ended(None if position == copies.NO_CODE else position, size or None, at)
        if kind == copies.STDOUT_COPIED and self._unread:
            # Copied before that was known; a flood of it would take as long as if it were read.
            self._readers[0].skip(position, size)
            self._guard(self._observer.passed, size, at)
        elif kind == copies.STDOUT_COPIED:
            self._guard(self._observer.stdout, self._readers[0].take(position, size), at)
            if not self._observer.reads_stdout:
                self._unread = True
                self._readers[0].leave_unread()
        elif kind == copies.STDERR_COPIED:
            self._guard(self._observer.stderr, self._readers[1].take(position, size), at)
        elif kind == copies.STDOUT_GAP:
            self._guard(self._observer.gap)
        elif kind == copies.SIGNALLED:
            self._guard(self._observer.signalled, position, at)
        return None

    def _tick(self, heard: int) -> None:
        """Tick if that is due; `heard` is the time up to which all was heard, in ns."""
        now = self._now()
        if now < self._next_tick:
            return
        self._next_tick = now + self._observer.tick_interval
        self._deadman.alive()
        self._count()
        # What the agent says meanwhile is heard a moment after the relay is continued.
        deaf, self._deaf = self._deaf, is_stopped(self._link.relay)
        if not (deaf or self._deaf):
            self._guard(self._observer.tick, heard)
        if self._deaf:
            self._continue_relay()
        self._link.numbers[OVERTIME] = int(self._observer.overtime * 1e9)

    def _continue_relay(self) -> None:
        """Continue a relay that stopped because the agent did, once the agent goes on.

        A shell continues both; whoever continues the agent by its pid does not know of the relay.
        """
        if self._link.numbers[STOPPED] and not is_stopped(self._child.pid):
            with contextlib.suppress(OSError):
                os.kill(self._link.relay, signal.SIGCONT)

    def _count(self) -> None:
        """Tell of what came since the last time, if nobody reads it."""
        new = self._readers[0].uncopied - self._passed
        if not self._unread or new == 0:
            return
        self._passed += new
        self._guard(self._observer.passed, new, self._readers[0].passed_at)

    def _without_relay(self) -> Ended:
        """The relay was killed. Its agent may live on: wait for its end, whose status is lost."""
        self._deadman.rest()
        self._guard(self._observer.relay_lost, self._now())
        number = self._link.numbers[DEATH_SIGNAL]
        if self._agent is not None:
            with contextlib.suppress(OSError):
                if number:
                    signal.pidfd_send_signal(self._agent, number)
            Inbox(self._agent).await_readable()
        return Ended(None, None, self._now())


class Deadman:
    """Ends this process where a call of ours never comes back, so that nobody is left for ever.

    One that was stopped or frozen for long is found late, too: it gets a moment to show that it
    lives, once it does again.
    """

    def alive(self) -> None:
        """Show that it lives; to be called every now and then."""
        signal.signal(signal.SIGALRM, self._doubt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, _SILENT)

    def rest(self) -> None:
        """Expect no sign of life until the next one."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _doubt(self, *_: object) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)


class Inbox:
    """The observer's end of the pipe of records."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._early: list[Record] = []
        self._poller = select.poll()
        self._poller.register(fd, select.POLLIN)

    def read(self, seconds: float) -> list[Record] | None:
        """Return what came within so many seconds; None at the end of the pipe."""
        if self._early:
            early, self._early = self._early, []
            return early
        if not self._poller.poll(max(0.0, seconds) * 1000):
            return []
        data = os.read(self._fd, _READ)
        return list(copies.records(data)) if data else None

    def await_readable(self) -> None:
        """Wait for whatever there will be to read."""
        self._poller.poll()

    def next(self) -> Record | None:
        """Wait for the next record; None at the end of the pipe."""
        return next(copies.records(os.read(self._fd, copies.RECORD_BYTES)), None)

    def put_back(self, records: list[Record]) -> None:
        """Have `read` return these first."""
        self._early = records


class Guard:
    """Calls what may raise; an error is told once, and the observer goes on being told."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        """Return what the call returns, None where it raised."""
        try:
            return call(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  that a line could not be decoded costs no span
            if not self._told:
                self._told = True
                _complain(error)
            return None


def _complain(error: BaseException) -> None:
    told = f"{type(error).__name__}: {error}"[:300]
    notice(f"telemetry failed, the agent is unaffected: {told}")


def _end_by_alarm(seconds: float) -> None:
    """Have the kernel end us, whatever holds us up: a disk, a lock, a pattern that never ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))


def _end_by_request() -> None:
    """From here on a SIGTERM ends us; one from before, meant for the agent, does not."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _hold(pid: int) -> int | None:
    """Return a pidfd of the agent; None where there are none, or it has ended already."""
    try:
        return os.pidfd_open(pid)
    except (OSError, AttributeError):
        return None
