"""An agent started with `subprocess.Popen`: seen where the program reads and waits.

Some things of that one object are replaced by look-alikes: `stdin`, `stdout` and `stderr`, which
pass on what is written and read; `communicate`, overheard while it gathers; and `wait`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

from otel_untether.instrumentors import claims
from otel_untether.instrumentors.agent import HostedAgent, ended
from otel_untether.instrumentors.communicating import overheard
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.overheard import Overheard, Written, encoded
from otel_untether.sources.spawned_agent import DRAIN
from otel_untether.watching.attendant import attendant

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from otel_untether.instrumentors.guest import Guest

# How often (s) we look whether it has ended, for programs that never ask.
_LOOK: Final = 1.0
_STDOUT, _STDERR = 1, 2


class PopenAgent:
    """One agent; `position` is where the environment is among Popen's positional arguments."""

    def __init__(self, guest: Guest, argv: Sequence[str], position: int) -> None:
        # Only while the program waits for a line does silence mean something: else what the agent
        # said may be in the pipe, or in the file's buffer.
        self._agent = HostedAgent(guest, argv, heard=lambda: self._waiting_for_lines > 0)
        with harmless("who has started it"):
            claims.opened(self._agent)
        self._position = position
        self._process: subprocess.Popen[Any] | None = None  # while it is looked after
        self._pid = 0
        self._waiting_for_lines = 0
        self._communicates = False
        self._told_at_once: set[int] = set()  # descriptors whose pieces were told as they came
        self._read_to_end = False
        self._left_at: float | None = None

    def with_environment(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return Popen's arguments, with the session's span in the environment."""
        at = self._position
        if len(args) > at:
            return (*args[:at], self._agent.environment(args[at]), *args[at + 1 :]), kwargs
        return args, {**kwargs, "env": self._agent.environment(kwargs.get("env"))}

    def attend(self, process: subprocess.Popen[Any]) -> None:
        """Look on, now that it runs."""
        self._process, self._pid = process, process.pid
        self._agent.returncode = self._status
        self._agent.attend(process.pid)
        attendant().tick(self, _LOOK, self._look_after)
        theirs: Any = process  # to mypy, methods are not for assigning
        if process.stdout is not None:
            theirs.stdout = Overheard(process.stdout, self._took, self._at_end, self._waits)
        else:
            self._read_to_end = True
        if process.stdin is not None:
            theirs.stdin = Written(process.stdin, self._gave)
        if process.stderr is not None:
            theirs.stderr = Overheard(process.stderr, self._complained, lambda: None)
        theirs.communicate = self._communicating(process.communicate)
        theirs.wait = self._waiting(process.wait)

    def finish(self, status: int | None) -> None:
        """End the session; give back what was replaced, and let go of the process.

        Its pipes are closed as soon as the program lets go of it, too.
        """
        attendant().release(self)
        theirs: Any
        theirs, self._process = self._process, None
        with contextlib.suppress(AttributeError):
            del theirs.communicate, theirs.wait
        self._agent.finish(status)

    def _took(self, chunk: bytes) -> None:
        self._told_at_once.add(_STDOUT)
        self._left_at = None
        self._agent.took(chunk)

    def _complained(self, chunk: bytes) -> None:
        self._told_at_once.add(_STDERR)
        self._agent.complained(chunk)

    def _gave(self, chunk: bytes) -> None:
        if not self._communicates:  # else it was told of all of it before
            self._agent.given(chunk)

    def _waits(self, more: int) -> None:
        self._waiting_for_lines += more

    def _at_end(self) -> None:
        self._read_to_end = True
        self._finish_if_over()

    def _communicating(self, theirs: Callable[..., Any]) -> Callable[..., Any]:
        begun = False

        def communicate(*args: Any, **kwargs: Any) -> Any:
            nonlocal begun
            if not begun:  # rather than going on after a timeout
                self._told_at_once.clear()
            self._communicates = begun = True
            with harmless("the input of communicate"):
                self._agent.given(encoded((*args, kwargs.get("input"))[0] or b""))
            try:
                with self._overheard():
                    result = theirs(*args, **kwargs)
            finally:
                self._communicates = False
            with harmless("the result of communicate"):
                self._communicated(*result)
            return result

        return communicate

    def _overheard(self) -> AbstractContextManager[None]:
        process = self._process
        if process is None:
            return contextlib.nullcontext()
        told: dict[Any, Callable[[bytes], object]] = {
            process.stdout: self._took,
            process.stderr: self._complained,
        }
        return overheard(process, told, self._waits)

    def _communicated(self, stdout: Any, stderr: Any) -> None:
        if stdout and _STDOUT not in self._told_at_once:
            self._agent.took(encoded(stdout))
        if stderr and _STDERR not in self._told_at_once:
            self._agent.complained(encoded(stderr))
        self._read_to_end = True
        self._finish_if_over()

    def _waiting(self, theirs: Callable[..., int]) -> Callable[..., int]:
        def wait(*args: Any, **kwargs: Any) -> int:
            status = theirs(*args, **kwargs)
            with harmless("a wait is over"):
                self._finish_if_over()
            return status

        return wait

    def _finish_if_over(self) -> None:
        if self._communicates:
            return  # its result is yet to come
        if self._read_to_end and (status := self._returncode) is not None:
            self.finish(status)

    @property
    def _returncode(self) -> int | None:
        """The status that the program knows of."""
        process = self._process
        return None if process is None else process.returncode

    def _status(self) -> int | None:
        """Return the status it has ended with, whether the program has asked for it or not."""
        status = ended(self._pid)
        return self._returncode if status is None or status == (None,) else status[0]

    def _look_after(self) -> None:
        """End the session of an agent that has ended, also where the program asks for no more."""
        if ended(self._pid) is None:
            return
        now = time.monotonic()
        if self._left_at is None:
            self._left_at = now
        if self._read_to_end or now - self._left_at > DRAIN:
            self.finish(self._status())
