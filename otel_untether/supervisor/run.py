"""One run of an agent: spawn, relay, forward signals, end.

The order is the point. The agent is spawned before anything else is imported, its streams are
relayed before anything is observed, and what observes has a deadline at the end. Everything
that this module imports at the top delays the agent's first byte, so there is little of it.
"""

from __future__ import annotations

import os
import sys

from otel_untether.clock import Clock
from otel_untether.notice import notice, say
from otel_untether.supervisor.signals import JOB_CONTROL, TERMINATING, forward, held_signals
from otel_untether.supervisor.spawn import CommandError, spawn
from otel_untether.supervisor.streams import STDOUT, occupy_closed, outlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _queue import SimpleQueue
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Final

    from otel_untether.supervisor.copies import Copied, Ended
    from otel_untether.supervisor.observer import ObserverFactory, ObserverThread
    from otel_untether.supervisor.relay import Relay
    from otel_untether.supervisor.signals import Signals
    from otel_untether.supervisor.streams import Outlet

# How soon, in seconds, the agent's end is noticed where its SIGCHLD went to another thread.
_POLL: Final = 0.5
_JOIN: Final = 0.05
# In seconds; the thread that forwards must not wait for one that imports or decodes.
_SWITCH_INTERVAL: Final = 0.00003
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h
_UNKNOWN_STATUS: Final = 1


class Options:
    """How to run. A plain class, since `dataclasses` would delay the agent by 12 ms.

    `environ` is the agent's environment, by default ours. `terminal` says that its stdout is
    relayed even if that is a terminal. `dedicated` says that this process exists for this run:
    it adopts and reaps the agent's orphans, and lets go of stdout as soon as the agent did.
    `exit_timeout` is how long, in seconds, telemetry may take once the agent is gone, and
    `drain_timeout` how long its descendants may hold its output open. `summary` asks for the
    observer's closing line on stderr.
    """

    def __init__(self, *, dedicated: bool = False) -> None:
        self.environ: Mapping[str, str] = os.environ
        self.terminal = False
        self.dedicated = dedicated
        self.exit_timeout = 2.0
        self.drain_timeout = 2.0
        self.summary = True


def stdout_is_terminal() -> bool:
    """Tell whether our stdout is a terminal."""
    return os.isatty(STDOUT)


def run(argv: Sequence[str], options: Options, factory: ObserverFactory) -> int:
    """Run a command to its end and return its exit status, as a shell would give it.

    That is 128+N where signal N ended it, 127 or 126 where it could not be started, which is
    said on stderr. `factory` and its observer run in a thread of their own. Signals are
    forwarded while this is called in the main thread.
    """
    occupy_closed()
    pipes = outlets(terminal=options.terminal, last=options.dedicated)
    with held_signals() as signals:
        this = _Run(argv, options, signals)
        try:
            this.spawn(pipes)
        except CommandError as error:
            notice(str(error))
            return error.status
        interval = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL)
        try:
            this.relay(pipes)
            this.adopt()
            this.observe(factory)
            return this.end(this.wait())
        finally:
            sys.setswitchinterval(interval)


class _Run:
    """The steps of a run, in the order in which they are taken."""

    def __init__(self, argv: Sequence[str], options: Options, signals: Signals) -> None:
        self._argv = tuple(argv)
        self._options = options
        self._signals = signals
        self._clock = Clock()
        self._pid = 0
        self._started = 0
        self._relays: list[Relay] = []
        self._observer: ObserverThread
        self._copies: SimpleQueue[Copied | Ended]

    def spawn(self, pipes: Iterable[Outlet]) -> None:
        """Start the agent with our pipes in place of our own outputs."""
        redirects = {fd: pipe.sink for pipe in pipes for fd in pipe.descriptors}
        self._started = self._clock.now()
        try:
            self._pid = spawn(self._argv, self._options.environ, redirects, self._signals.mask)
        except CommandError:
            for pipe in pipes:
                os.close(pipe.source)
            raise
        finally:
            for pipe in pipes:
                os.close(pipe.sink)

    def relay(self, pipes: Iterable[Outlet]) -> None:
        """Start to carry what the agent writes."""
        # What `queue` imports takes longer than the agent takes to say something.
        from _queue import SimpleQueue  # noqa: PLC0415  after the spawn, on purpose

        from otel_untether.supervisor.copies import Tap  # noqa: PLC0415  likewise
        from otel_untether.supervisor.relay import Relay  # noqa: PLC0415  likewise

        self._copies = SimpleQueue()
        self._leaving, self._staying = os.pipe()
        for pipe in pipes:
            tap = Tap(pipe.name, self._copies)
            relay = Relay(
                pipe, tap, self._clock, leaving=self._leaving, grace=self._options.drain_timeout
            )
            relay.start()
            self._relays.append(relay)

    def adopt(self) -> None:
        """Keep the agent's orphans in reach; at once, since it may leave some at once."""
        if self._options.dedicated:
            _adopt_orphans()

    def observe(self, factory: ObserverFactory) -> None:
        """Start to observe, in a thread of its own."""
        from otel_untether.supervisor.observer import Child, ObserverThread  # noqa: PLC0415  after the spawn, on purpose

        child = Child(
            pid=self._pid,
            argv=self._argv,
            started=self._started,
            clock=self._clock,
            relayed=frozenset(relay.stream for relay in self._relays),
            blocked_since=self._blocked_since,
        )
        self._observer = ObserverThread(factory, child, self._copies)
        self._observer.start()

    def wait(self) -> int | None:
        """Forward signals until the agent has ended; return its exit code, -N for signal N.

        None where somebody else in this process collected it.
        """
        while True:
            received = self._signals.wait(_POLL)
            try:
                code = self._reap()
            except ChildProcessError:
                return None
            if code is not None:
                return code
            if received is not None:
                forward(received, self._pid)

    def end(self, code: int | None) -> int:
        """Deliver what is left, let the observer finish, and return the exit status."""
        from otel_untether.supervisor.copies import Ended  # noqa: PLC0415  after the spawn, on purpose

        at = self._clock.now()
        os.close(self._staying)
        cut_short = self._join(self._relays, timeout=None)
        if cut_short is None:
            os.close(self._leaving)
        exited = code is not None and code >= 0
        signal = -code if code is not None and code < 0 else None
        self._copies.put(Ended(code if exited else None, signal, at))
        timeout = self._options.exit_timeout + self._observer.overtime
        self._join([self._observer], timeout=timeout)
        self._report()
        if cut_short is not None:
            return 128 + cut_short
        return _shell_status(code)

    def _reap(self) -> int | None:
        """Collect who ended, and stop where the agent stopped.

        Return the agent's exit code, None while it lives.
        """
        whom = -1 if self._options.dedicated else self._pid
        while True:
            pid, status = os.waitpid(whom, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return None
            if pid != self._pid:
                continue
            if not os.WIFSTOPPED(status):
                return os.waitstatus_to_exitcode(status)
            if os.WSTOPSIG(status) in JOB_CONTROL:
                self._signals.stop(os.WSTOPSIG(status))

    def _join(self, threads: Iterable[Relay | ObserverThread], timeout: float | None) -> int | None:
        """Wait for threads, at most `timeout` seconds; return the signal that cut it short."""
        deadline = None if timeout is None else self._clock.now() + timeout * 1e9
        for thread in threads:
            while thread.is_alive():
                if deadline is not None and self._clock.now() > deadline:
                    return None
                thread.join(_JOIN)
                received = self._signals.wait(0)
                if received is not None and received.number in TERMINATING:
                    return received.number
                if received is not None and received.number in JOB_CONTROL:
                    self._signals.stop(received.number)
        return None

    def _report(self) -> None:
        if self._observer.is_alive():
            notice(f"telemetry was not finished within {self._options.exit_timeout:g} s")
        elif self._options.summary and self._observer.summary is not None:
            say(self._observer.summary)
        for relay in self._relays:
            if relay.lost and not self._observer.failed:
                notice(f"{relay.lost} bytes of {relay.stream} were passed on but not observed")

    def _blocked_since(self) -> int | None:
        since = [relay.writing_since for relay in self._relays]
        return min((at for at in since if at is not None), default=None)


def _shell_status(code: int | None) -> int:
    if code is None:
        notice("the agent's exit status was collected by another part of this process")
        return _UNKNOWN_STATUS
    return 128 - code if code < 0 else code


def _adopt_orphans() -> None:
    """Become the parent of the agent's orphans (prctl(2)), so that they stay in reach."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  after the spawn, on purpose

    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
