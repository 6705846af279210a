"""The relay's side of a run: spawn, relay, forward signals, reap, end.

It is imported once the observer has been forked, which meanwhile notes the run on disk.
"""

from __future__ import annotations

import os
import sys
import time

from otel_untether.notice import VOICE, notice, why
from otel_untether.supervisor.signals import (
    FORWARDED,
    JOB_CONTROL,
    STOP,
    TERMINATING,
    in_foreground,
    is_stopped,
)
from otel_untether.supervisor.spawn import SCARCE, CommandError, spawn
from otel_untether.supervisor.streams import STDERR, STDOUT, let_go, outlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Final, NoReturn, Protocol

    from otel_untether.clock import Clock
    from otel_untether.supervisor.options import Options
    from otel_untether.supervisor.plain import PlainRelay
    from otel_untether.supervisor.relay import Relay
    from otel_untether.supervisor.signals import Received, Signals
    from otel_untether.supervisor.streams import Outlet
    from otel_untether.supervisor.watcher import Watcher

    class Joined(Protocol):
        """What goes on for a while in a thread."""

        def is_alive(self) -> bool:
            """Tell whether it still does."""

        def join(self, timeout: float) -> None:
            """Wait for its end."""


# How soon, in seconds, the agent's end is noticed where its SIGCHLD went to another thread.
_POLL: Final = 0.5
_PLAIN_POLL: Final = 0.05
_JOIN: Final = 0.05
# Before the agent's stop becomes ours, for what does not last: a kill stops whom it counts.
_STOP: Final = 0.1
_PR_GET_PDEATHSIG: Final = 2  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER: Final = 36
_UNKNOWN_STATUS: Final = 1
# Of a relay's thread, in bytes; 8 MB each would count where memory is limited.
_STACK: Final = 256 * 1024
_ENOUGH: Final = 256 * 1024 * 1024  # of address space, for threads
_BYTES_LOST: Final = 74  # EX_IOERR of sysexits.h
# In seconds; a thread that has bytes to carry must not wait for one that imports.
_SWITCH_INTERVAL: Final = 0.00003


class AgentRun:
    """The steps of a run once its observer has been forked, in the order in which they are taken.

    `watcher` is the observer's process, None where there could be none.
    """

    def __init__(
        self,
        argv: tuple[str, ...],
        options: Options,
        signals: Signals,
        clock: Clock,
        watcher: Watcher | None,
    ) -> None:
        self._argv = argv
        self._options = options
        self._signals = signals
        self._clock = clock
        self._watcher = watcher
        if watcher is not None:
            signals.observer = watcher.pid
        self._pid = 0
        self._started = 0
        self._relays: list[Relay] = []
        self._plain: PlainRelay | None = None

    def carry_out(self) -> int:
        """Take all steps; return as `run` does."""
        try:
            pipes = outlets(terminal=self._options.terminal, last=self._options.dedicated)
        except OSError as error:
            self._become_the_agent(error)
        try:
            self._spawn(pipes)
        except CommandError as error:
            if self._watcher is not None:
                self._watcher.not_spawned()
            notice(str(error))
            return error.status
        self._relay(pipes)
        if self._options.dedicated:
            let_go()
        self._adopt()
        return self._end(self._wait())

    def _environ(self) -> Mapping[str, str]:
        unwatched = self._options.unwatched
        return self._options.environ if self._watcher or unwatched is None else unwatched

    def _spawn(self, pipes: Sequence[Outlet]) -> None:
        """Start the agent with our pipes in place of our own outputs."""
        redirects = {fd: pipe.sink for pipe in pipes for fd in pipe.descriptors}
        try:
            self._started = self._clock.now()
            self._pid = self._spawned(redirects)
        except CommandError:
            for pipe in pipes:
                os.close(pipe.source)
            raise
        finally:
            for pipe in pipes:
                os.close(pipe.sink)
        VOICE.muted = any({STDOUT, STDERR} <= {*pipe.descriptors} for pipe in pipes)

    def _spawned(self, redirects: Mapping[int, int]) -> int:
        """Spawn; where there is one process too many, without ours."""
        try:
            return spawn(self._argv, self._environ(), redirects, self._signals.mask)
        except OSError as error:
            if self._watcher is None:
                self._become_the_agent(error)
            notice(f"this run is not observed: {why(error)}")
            self._dismiss()
        try:
            return spawn(self._argv, self._environ(), redirects, self._signals.mask)
        except OSError as error:
            self._become_the_agent(error)

    def _dismiss(self) -> None:
        """Do without an observer."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.dismiss()

    def _become_the_agent(self, error: OSError) -> NoReturn:
        """Be the agent, as there is nothing left to be anything beside it."""
        if error.errno not in SCARCE or not self._options.dedicated:
            raise error
        if self._watcher is not None:  # or it has been said, by whoever could not have one
            notice(f"this run is not observed: {why(error)}")
            self._dismiss()
        self._signals.restore()
        os.execvpe(self._argv[0], self._argv, self._environ())  # noqa: S606  that is the point

    def _relay(self, pipes: Sequence[Outlet]) -> None:
        """Start to carry what the agent writes: in threads, or where there are none, without."""
        try:
            self._start_relays(pipes)
        except (OSError, RuntimeError, MemoryError) as error:
            from otel_untether.supervisor.plain import PlainRelay  # noqa: PLC0415  hardly ever

            self._plain = PlainRelay(pipes[len(self._relays) :])
            notice(f"what the agent says is not observed: {why(error)}")
        if self._watcher is not None:
            copied = [relay.outlet.name for relay in self._relays]
            self._watcher.spawned(self._pid, copied, self._started)
            self._watcher.listen()

    def _start_relays(self, pipes: Iterable[Outlet]) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        import _thread  # noqa: PLC0415  after the spawn, on purpose

        from otel_untether.supervisor.relay import Relay, Uncopied  # noqa: PLC0415  likewise

        _thread.stack_size(_STACK)
        if _is_memory_short():
            raise MemoryError("there is too little memory")
        self._leaving, self._staying = os.pipe()
        for pipe in pipes:
            copy = self._watcher.copies(pipe.name) if self._watcher is not None else Uncopied()
            relay = Relay(
                pipe, copy, self._clock, leaving=self._leaving, grace=self._options.drain_timeout
            )
            relay.start()
            self._relays.append(relay)

    def _adopt(self) -> None:
        """Keep the agent's orphans in reach; at once, since it may leave some at once."""
        if not self._options.dedicated or sys.platform != "linux":
            return
        try:
            import ctypes  # noqa: PLC0415  after the spawn, on purpose

            prctl = ctypes.CDLL(None).prctl
        except (ImportError, OSError, MemoryError):
            return  # little memory, or a Python built without it
        number = ctypes.c_int()
        if prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0) == 0 and self._watcher:
            self._watcher.dies_with(number.value)
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _wait(self) -> int | None:
        """Forward signals until the agent has ended; return its exit code, -N for signal N.

        None where somebody else in this process collected it.
        """
        while True:
            received = self._next_signal()
            try:
                code = self._reap()
            except ChildProcessError:
                return None
            if code is not None:
                return code
            if received is not None:
                self._signals.pass_on(received, self._pid)
                if self._watcher is not None and received.number in FORWARDED:
                    self._watcher.signalled(received.number, self._clock.now())

    def _next_signal(self) -> Received | None:
        if self._plain is None or self._plain.done:
            return self._signals.wait(_POLL)
        self._plain.carry(_PLAIN_POLL)
        return self._signals.wait(0)

    def _end(self, code: int | None) -> int:
        """Deliver what is left, let the observer finish, and return the exit code."""
        at = self._clock.now()
        cut_short = self._deliver()
        exited = code is not None and code >= 0
        signal = -code if code is not None and code < 0 else None
        if self._watcher is not None:
            self._watcher.ended(code if exited else None, signal, at)
        self._leave_jobs_a_relay()
        if self._watcher is not None and cut_short is None:
            self._join([self._watcher], timeout=self._options.exit_timeout)
            self._report(self._watcher)
            if not self._options.dedicated:
                self._watcher.close()
        if cut_short is not None:
            return -cut_short
        if code is None:
            notice("the agent's exit status was collected by another part of this process")
            return _UNKNOWN_STATUS
        return _BYTES_LOST if code == 0 and self._bytes_lost() else code

    def _deliver(self) -> int | None:
        """Have all that the agent wrote delivered; return the signal that cut it short."""
        if self._relays:
            os.close(self._staying)
        if self._plain is not None:
            self._plain.carry_for(self._options.drain_timeout)
        cut_short = self._join(self._relays, timeout=None)
        if self._relays and cut_short is None:
            os.close(self._leaving)
        return cut_short

    def _leave_jobs_a_relay(self) -> None:
        held = [relay.outlet for relay in self._relays if relay.held]
        held += self._plain.held if self._plain is not None else []
        if not held:
            return
        from otel_untether.supervisor.plain import carry_on  # noqa: PLC0415  hardly ever

        try:
            carry_on(held)
        except OSError as error:
            notice(f"a job that outlives the agent loses its output: {why(error)}")

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
            self._stop_as_well(os.WSTOPSIG(status))

    def _stop_as_well(self, number: int) -> None:
        """Stop where the agent stopped, so that the shell takes over.

        One that stops itself by SIGSTOP, as full-screen programs do at Ctrl-Z, is followed
        where a shell waits for it at a terminal, and only if it is still stopped in a moment.
        """
        if number in JOB_CONTROL:
            self._stop(number)
        elif number == STOP and in_foreground():
            time.sleep(_STOP)
            killing = self._watcher is not None and self._watcher.overtime > 0
            if not killing and is_stopped(self._pid):
                self._stop(number)

    def _stop(self, number: int) -> None:
        """Stop until the shell continues us, or the observer does as somebody continued the agent.

        By its pid alone (`kill -CONT`), which without us would be all that it takes.
        """
        if self._watcher is None:
            self._signals.stop(number)
            return
        self._watcher.stopping()
        try:
            self._signals.stop(number)
        finally:
            self._watcher.continued()

    def _join(self, threads: Iterable[Joined], timeout: float | None) -> int | None:
        """Wait for threads, at most `timeout` seconds; return the signal that cut it short."""
        began = self._clock.now()
        for thread in threads:
            while thread.is_alive():
                more = self._watcher.overtime if self._watcher is not None else 0.0
                if timeout is not None and self._clock.now() > began + (timeout + more) * 1e9:
                    return None
                thread.join(_JOIN)
                received = self._signals.wait(0)
                if received is None or received.number in self._signals.ignored:
                    continue
                if received.number in TERMINATING:
                    return received.number
                if received.number in JOB_CONTROL:
                    self._signals.stop(received.number)
        return None

    def _report(self, watcher: Watcher) -> None:
        if watcher.is_alive():
            seconds = self._options.exit_timeout
            notice(f"telemetry was not finished within {seconds:g} s and goes on without us")
        for relay in self._relays:
            if lost := relay.uncopied:
                notice(f"{lost} bytes of {relay.outlet.name} were passed on but not observed")

    def _bytes_lost(self) -> bool:
        """Whether bytes did not get where they belong, which no agent's success makes good."""
        return any(relay.failed for relay in self._relays) or (
            self._plain is not None and self._plain.failed
        )


def import_relay() -> None:
    """Import what carries the agent's bytes, while the observer notes the run on disk."""
    try:
        import fcntl  # noqa: F401, PLC0415  in the shadow of that wait
        import resource  # noqa: F401, PLC0415  likewise

        from otel_untether.supervisor import relay  # noqa: F401, PLC0415  likewise
    except (ImportError, OSError, MemoryError):
        pass  # little memory: it is tried again where it is needed, and said there


def _is_memory_short() -> bool:
    """Tell whether a thread may fail to start, or worse, to end (it loads libgcc for that)."""
    import resource  # noqa: PLC0415  after the spawn

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return limit != resource.RLIM_INFINITY and limit < _ENOUGH
