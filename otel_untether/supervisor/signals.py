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


def _existing(*names: str) -> frozenset[int]:
    return frozenset(getattr(signal, name) for name in names if hasattr(signal, name))


TERMINATING: Final = _existing("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
JOB_CONTROL: Final = _existing("SIGTSTP", "SIGTTIN", "SIGTTOU")
FORWARDED: Final = TERMINATING | _existing("SIGTSTP", "SIGCONT", "SIGWINCH", "SIGUSR1", "SIGUSR2")
_WATCHED: Final = FORWARDED | _existing("SIGCHLD")


class Received:
    """A signal that reached us; `by_terminal` says that our whole group got it."""

    __slots__ = ("by_terminal", "number")

    def __init__(self, number: int, *, by_terminal: bool) -> None:
        self.number = number
        self.by_terminal = by_terminal


class Signals:
    """While entered, signals wait for `wait` and interrupt nothing.

    They are blocked in this thread and in all that it starts. Those ignored at the start
    (SIGHUP under nohup) stay so, for us and for the child. `mask` is the mask as it was, for
    the child.
    """

    def __init__(self) -> None:
        ignored = {n for n in FORWARDED if signal.getsignal(n) == signal.SIG_IGN}
        self._numbers = _WATCHED - ignored
        self._ignored_child = signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
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
        return info and Received(info.si_signo, by_terminal=info.si_code == _SI_KERNEL)

    def stop(self, number: int) -> None:
        """Stop ourselves as the agent did, so that the shell takes over; return once continued.

        By the default action, which the kernel leaves out where no shell could continue us.
        """
        signal.raise_signal(number)
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

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
        self._handlers = {n: signal.signal(n, _keep) for n in self._numbers}

    def _end(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._numbers_read)
        os.close(self._numbers_written)

    def wait(self, timeout: float) -> Received | None:
        """Return the next signal, or None after `timeout` seconds without one."""
        if not select.select([self._numbers_read], [], [], timeout)[0]:
            return None
        number = os.read(self._numbers_read, 1)[0]
        return Received(number, by_terminal=_from_keyboard(number) and _in_foreground())

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


def _from_keyboard(number: int) -> bool:
    return number in _existing("SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH")


def _in_foreground() -> bool:
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
