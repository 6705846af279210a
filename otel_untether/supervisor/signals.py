"""Signals sent to us are meant for the agent.

The agent shares our process group, so what a terminal generates (Ctrl-C, Ctrl-Z, a resize)
has reached it already; what somebody sent to our pid has not, and is forwarded. Linux tells
the two apart: the kernel's own signals have `si_code` SI_KERNEL (sigaction(2)). Elsewhere we
take a signal for the terminal's while our group is the terminal's foreground group.
"""

from __future__ import annotations

import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable
    from types import FrameType, TracebackType
    from typing import Final, Self
else:
    # What `signal` wraps in enums, whose import would cost the agent's first byte 6 ms.
    import _signal as signal

_SI_KERNEL: Final = 0x80
_CONT: Final = int(getattr(signal, "SIGCONT", 0))
_ALARM: Final = int(getattr(signal, "SIGALRM", 0))
# CPython ignores these for itself.
_IGNORED_BY_PYTHON: Final = frozenset((int(signal.SIGPIPE), int(signal.SIGXFSZ)))


def _existing(*names: str) -> frozenset[int]:
    return frozenset(getattr(signal, name) for name in names if hasattr(signal, name))


TERMINATING: Final = _existing("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
JOB_CONTROL: Final = _existing("SIGTSTP", "SIGTTIN", "SIGTTOU")
STOP: Final = int(getattr(signal, "SIGSTOP", 0))
# All that can be caught. A stop by the terminal's driver for what a background process reads or
# writes is the reader's or writer's business.
_OURS: Final = _existing("SIGKILL", "SIGSTOP", "SIGCHLD", "SIGTTIN", "SIGTTOU")
# What a program's own mistakes raise. Handlers for them, where these are all there is, would
# not end the mistake.
_FAULTS: Final = _existing("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT")
FORWARDED: Final = frozenset(int(number) for number in signal.valid_signals()) - _OURS
_WATCHED: Final = FORWARDED | _existing("SIGCHLD")


class Received:
    """A signal that reached us; `by_terminal` says that our whole group got it."""

    __slots__ = ("by_terminal", "number")

    def __init__(self, number: int, *, by_terminal: bool) -> None:
        self.number = number
        self.by_terminal = by_terminal


class Signals:
    """While entered, signals wait for `wait` and interrupt nothing.

    They are blocked in this thread and in all that it starts. Those `ignored` at the start
    (SIGHUP under nohup, SIGINT in a shell's background job) stay so, for us and for the child,
    and are passed on all the same: it may have set a handler of its own since. `mask` is the
    mask as it was, for the child. `observer` is the pid of a process that continues us alone.
    """

    def __init__(self) -> None:
        # Blocked signals are queued though we ignore them, as Python has us do with some.
        ignored = {n for n in FORWARDED | JOB_CONTROL if signal.getsignal(n) == signal.SIG_IGN}
        self.ignored = frozenset(ignored - _IGNORED_BY_PYTHON)
        self._numbers = _WATCHED
        self._ignored_child = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
        self._stopped = False
        self.observer = 0
        self.mask: Iterable[int] = ()

    def __enter__(self) -> Self:
        if self._ignored_child:
            # Or the kernel would drop the exit status that we are here to report.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        if self._ignored_child:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def wait(self, timeout: float) -> Received | None:
        """Return the next signal, or None after `timeout` seconds without one."""
        if sys.platform != "linux":
            raise NotImplementedError
        info = signal.sigtimedwait(self._numbers, timeout)
        if info is None:
            return None
        # A SIGPIPE of our own writes concerns nobody else either.
        ours = info.si_signo == signal.SIGPIPE and info.si_pid == os.getpid()
        # A timer's that was set before us (`perl -e 'alarm 9; exec @ARGV'`) reached nobody else.
        ours |= info.si_code == _SI_KERNEL and info.si_signo != _ALARM
        ours |= info.si_signo == _CONT and info.si_pid == self.observer
        return Received(info.si_signo, by_terminal=ours)

    def pass_on(self, received: Received, pid: int) -> None:
        """Pass a signal on to the agent, unless it has it already."""
        if received.number == _CONT and self._stopped and not is_stopped(pid):
            self._stopped = False  # the shell continued our whole group
            return
        forward(received, pid)

    def stop(self, number: int) -> None:
        """Stop ourselves as the agent did, so that the shell takes over; return once continued.

        By the default action, which the kernel leaves out where no shell could continue us; also of
        one that was ignored at the start, as the agent may have taken the default back.
        """
        self._stopped = True
        if number in self.ignored:
            signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        if number != STOP:
            blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if number in self.ignored:
            signal.signal(number, signal.SIG_IGN)

    def restore(self) -> None:
        """Make ready to become the agent: all as it was when we were started."""
        self._end()
        for number in _IGNORED_BY_PYTHON:
            signal.signal(number, signal.SIG_DFL)
        die_by_interrupt()

    def _begin(self) -> None:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def _end(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


class HandledSignals(Signals):
    """The same where there is no sigtimedwait (macOS): handlers, and a pipe to wait on."""

    def _begin(self) -> None:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._numbers_read, self._numbers_written = os.pipe()
        os.set_blocking(self._numbers_written, False)
        self._wakeup = signal.set_wakeup_fd(self._numbers_written, warn_on_full_buffer=False)
        # A handler would have the child start with the default of what is ignored.
        held = self._numbers - _FAULTS - _IGNORED_BY_PYTHON - self.ignored
        self._handlers = {n: signal.signal(n, _keep) for n in held}

    def _end(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._numbers_read)
        os.close(self._numbers_written)

    def wait(self, timeout: float) -> Received | None:
        """Return the next signal, or None after `timeout` seconds without one."""
        poller = select.poll()  # select(2) ends at descriptor 1,023
        poller.register(self._numbers_read, select.POLLIN)
        if not poller.poll(timeout * 1000):
            return None
        number = os.read(self._numbers_read, 1)[0]
        return Received(number, by_terminal=_from_keyboard(number) and in_foreground())

    def stop(self, number: int) -> None:
        """Stop ourselves as the agent did; return once continued."""
        handler = signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        signal.signal(number, handler)


def held_signals() -> Signals:
    """Return what suits this platform."""
    return Signals() if hasattr(signal, "sigtimedwait") else HandledSignals()


def forward(received: Received, pid: int) -> None:
    """Pass a signal on to the agent, unless it has it already.

    A hang-up goes to the session's leader alone (tty_ioctl(4)), so a leader passes it on.
    """
    leads = received.number == signal.SIGHUP and os.getsid(0) == os.getpid()
    if received.number not in FORWARDED or (received.by_terminal and not leads):
        return
    try:
        os.kill(pid, received.number)
    except (ProcessLookupError, PermissionError):
        return  # it is gone, or runs as somebody else


def _keep(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is on its way through the wakeup descriptor."""


def die_by_interrupt() -> None:
    """Have a Ctrl-C before there is an agent end us as it ends anybody, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def be_interrupted() -> None:
    """Undo `die_by_interrupt`, for what is to end something itself: KeyboardInterrupt is raised."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_stopped(pid: int) -> bool:
    """Tell whether a process is stopped; False where that cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  pathlib is slow to import
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def _from_keyboard(number: int) -> bool:
    return number in _existing("SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH")


def in_foreground() -> bool:
    """Tell whether our process group is the foreground group of a terminal."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
