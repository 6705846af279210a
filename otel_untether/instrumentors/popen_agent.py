"""An agent started with `subprocess.Popen`: seen where the program reads and waits.

Three things of that one object are replaced by look-alikes: `stdout` and `stderr`, which pass on
what is read; `communicate`, whose result is taken when it is there; and `wait`.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final, cast

import wrapt

from otel_untether.instrumentors import claims
from otel_untether.instrumentors.agent import HostedAgent, ended
from otel_untether.instrumentors.harmless import harmless
from otel_untether.sources.spawned_agent import DRAIN
from otel_untether.watching.attendant import attendant

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from otel_untether.instrumentors.guest import Guest

    _Proxy = wrapt.ObjectProxy[Any]
else:
    _Proxy = wrapt.ObjectProxy  # before wrapt 2 it takes no argument

# How often (s) we look whether it has ended, for programs that never ask.
_LOOK: Final = 1.0


class PopenAgent:
    """One agent; `position` is where the environment is among Popen's positional arguments."""

    def __init__(self, guest: Guest, argv: Sequence[str], position: int) -> None:
        # Only while the program waits for a line does silence mean something: else what the agent
        # said may be in the pipe, or in the file's buffer.
        self._agent = HostedAgent(guest, argv, heard=lambda: self._waiting_for_lines > 0)
        with harmless("who has started it"):
            claims.opened(self._agent)
        self._position = position
        self._process: subprocess.Popen[Any]
        self._waiting_for_lines = 0
        self._communicates = False
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
        self._process = process
        self._agent.returncode = self._status
        self._agent.attend(process.pid)
        attendant().tick(self, _LOOK, self._look_after)
        theirs: Any = process  # to mypy, methods are not for assigning
        if process.stdout is not None:
            theirs.stdout = Overheard(process.stdout, self._took, self._at_end, self._waits)
        else:
            self._read_to_end = True
        if process.stdin is not None:
            theirs.stdin = Written(process.stdin, self._agent.given)
        if process.stderr is not None:
            theirs.stderr = Overheard(process.stderr, self._agent.complained, lambda: None)
        theirs.communicate = self._communicating(process.communicate)
        theirs.wait = self._waiting(process.wait)

    def finish(self, status: int | None) -> None:
        """End the session; give back what was replaced."""
        attendant().release(self)
        with contextlib.suppress(AttributeError):
            del self._process.communicate, self._process.wait
        self._agent.finish(status)

    def _took(self, chunk: bytes) -> None:
        if self._communicates:
            return  # it will be in the result
        self._left_at = None
        self._agent.took(chunk)

    def _waits(self, more: int) -> None:
        self._waiting_for_lines += more

    def _at_end(self) -> None:
        self._read_to_end = True
        self._finish_if_over()

    def _communicating(self, theirs: Callable[..., Any]) -> Callable[..., Any]:
        def communicate(*args: Any, **kwargs: Any) -> Any:
            self._communicates = True
            with harmless("the input of communicate"):
                self._agent.given(_encoded((*args, kwargs.get("input"))[0] or b""))
            try:
                result = theirs(*args, **kwargs)
            finally:
                self._communicates = False
            with harmless("the result of communicate"):
                self._communicated(*result)
            return result

        return communicate

    def _communicated(self, stdout: Any, stderr: Any) -> None:
        if stdout:
            self._agent.took(_encoded(stdout))
        if stderr:
            self._agent.complained(_encoded(stderr))
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
        if self._read_to_end and self._process.returncode is not None:
            self.finish(self._process.returncode)

    def _status(self) -> int | None:
        """Return the status it has ended with, whether the program has asked for it or not."""
        status = ended(self._process.pid)
        if status is None or status == (None,):
            return cast("int | None", self._process.returncode)
        return status[0]

    def _look_after(self) -> None:
        """End the session of an agent that has ended, also where the program asks for no more."""
        if ended(self._process.pid) is None:
            return
        now = time.monotonic()
        if self._left_at is None:
            self._left_at = now
        if self._read_to_end or now - self._left_at > DRAIN:
            self.finish(self._status())


class Overheard(_Proxy):
    """A file that tells `took` what is read from it, and `at_end` when there is no more.

    `waits` is told 1 when somebody begins to wait for a line, and -1 when he has it. It is that
    file in all else, `isinstance` included.
    """

    def __init__(
        self,
        file: Any,
        took: Callable[[bytes], object],
        at_end: Callable[[], object],
        waits: Callable[[int], object] = lambda _more: None,
    ) -> None:
        super().__init__(file)
        self._self_took = took
        self._self_at_end = at_end
        self._self_waits = waits

    def read(self, *args: Any) -> Any:
        """Read, and tell."""
        data = self._self_tell(self.__wrapped__.read(*args), wanted=args[:1] != (0,))
        if args[:1] in ((), (-1,), (None,)):
            self._self_over()
        return data

    def read1(self, *args: Any) -> Any:
        """Read what is there, and tell."""
        with self._self_waiting():
            data = self.__wrapped__.read1(*args)
        return self._self_tell(data, wanted=args[:1] != (0,))

    def readline(self, *args: Any) -> Any:
        """Read a line, and tell."""
        with self._self_waiting():
            data = self.__wrapped__.readline(*args)
        return self._self_tell(data, wanted=args[:1] != (0,))

    def readinto(self, buffer: Any) -> Any:
        """Read into a buffer, and tell."""
        count = self.__wrapped__.readinto(buffer)
        if count is not None:
            with harmless("output is read"):
                self._self_tell(bytes(memoryview(buffer).cast("B")[:count]), wanted=len(buffer))
        return count

    def readlines(self, *args: Any) -> Any:
        """Read lines, and tell."""
        lines = self.__wrapped__.readlines(*args)
        with harmless("output is read"):
            self._self_tell(type(lines[0])().join(lines) if lines else b"", wanted=True)
        if args[:1] in ((), (-1,), (None,)):
            self._self_over()
        return lines

    def __iter__(self) -> Iterator[Any]:
        """Return what yields the lines: this file."""
        return self

    def __next__(self) -> Any:
        """Read a line, and tell."""
        try:
            with self._self_waiting():
                data = next(self.__wrapped__)
            return self._self_tell(data, wanted=True)
        except StopIteration:
            self._self_tell(b"", wanted=True)
            raise

    def __enter__(self) -> Any:
        """Enter the file's own context, as this file."""
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        """Leave it: nobody reads any more."""
        self._self_over()
        return self.__wrapped__.__exit__(*error)

    def close(self) -> None:
        """Close it: nobody reads any more."""
        self._self_over()
        self.__wrapped__.close()

    @contextlib.contextmanager
    def _self_waiting(self) -> Iterator[None]:
        with harmless("a line is waited for"):
            self._self_waits(1)
        try:
            yield
        finally:
            with harmless("a line is there"):
                self._self_waits(-1)

    def _self_over(self) -> None:
        with harmless("output ends"):
            self._self_at_end()

    def _self_tell(self, data: Any, *, wanted: object) -> Any:
        with harmless("output is read"):
            if data:
                self._self_took(_encoded(data))
            elif data is not None and wanted:
                self._self_at_end()
        return data


class Written(_Proxy):
    """A file that tells `gave` what is written to it; it is that file in all else."""

    def __init__(self, file: Any, gave: Callable[[bytes], object]) -> None:
        super().__init__(file)
        self._self_gave = gave

    def write(self, data: Any) -> Any:
        """Write, and tell."""
        count = self.__wrapped__.write(data)
        with harmless("standard input"):
            self._self_gave(_encoded(data))
        return count

    def writelines(self, lines: Any) -> None:
        """Write several, and tell."""
        for line in lines:
            self.write(line)

    def __enter__(self) -> Any:
        """Enter the file's own context, as this file."""
        self.__wrapped__.__enter__()
        return self


def _encoded(data: Any) -> bytes:
    return data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
