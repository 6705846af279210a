"""Which of our descriptors the agent writes to directly, and which through a pipe of ours.

A terminal is handed over untouched, so that the agent is as interactive as ever; all else is
relayed. Two descriptors that are one file (`2>&1`) share a pipe, or their order would be lost.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
_ACCESS: Final = os.O_RDONLY | os.O_WRONLY | os.O_RDWR

# A new pipe's capacity, and the one it gets where more is needed. All of a user's pipes share
# an allowance (pipe(7), pipe-user-pages-soft), so those that need no more are left alone.
SMALL: Final = 64 * 1024
LARGE: Final = 1024 * 1024
# What a socket takes, about (net.core.wmem_default), and an agent's last message, mostly.
_SOME: Final = 256 * 1024
# How many pipes of LARGE the allowance is to have room for beside ours: once it is used up, new
# ones hold 8 KB, whoever's they are.
_SPARED: Final = 4


class Outlet:
    """A pipe that stands in for `descriptors`: the agent's end is `sink`, ours is `source`.

    With `last` no one else of this process writes to the target; it is let go of at the end,
    so that its reader sees the end when the agent's output ends, not when we exit.

    The pipe is to take at once what the target would. Programs on Node write all they have to a
    file or a terminal, but to a pipe only what it takes: the rest is written later, or never,
    should they exit first.
    """

    def __init__(self, descriptors: tuple[int, ...], *, last: bool) -> None:
        self.descriptors = descriptors
        self.source, self.sink = os.pipe()
        size = _taken_at_once(self.target)
        if size > SMALL and _is_room():
            enlarge(self.source, size)
        self._last = last

    @property
    def name(self) -> Literal["stdout", "stderr"]:
        """The stream, as the observer knows it."""
        return "stdout" if STDOUT in self.descriptors else "stderr"

    @property
    def target(self) -> int:
        """Where the bytes belong."""
        return self.descriptors[0]

    def close(self) -> None:
        """Close our end, and let go of the target if that is ours to do.

        Of stderr alone it is not, as we speak there ourselves until we exit.
        """
        os.close(self.source)
        if self._last and STDOUT in self.descriptors:
            for fd in self.descriptors:
                _to_null(fd)


def outlets(*, terminal: bool, last: bool) -> list[Outlet]:
    """Open a pipe for each output to relay; a terminal's stdout only if `terminal`.

    Raise OSError where there are too few descriptors, with none taken.
    """
    opened: list[Outlet] = []
    try:
        for fds in relayed(terminal=terminal):
            opened.append(Outlet(fds, last=last))  # noqa: PERF401  one that fails leaves these
    except OSError:
        for outlet in opened:
            os.close(outlet.source)
            os.close(outlet.sink)
        raise
    return opened


def relayed(*, terminal: bool) -> list[tuple[int, ...]]:
    """Return the descriptors to relay, those that are one file together."""
    stdout = _is_open(STDOUT) and (terminal or not os.isatty(STDOUT))
    stderr = _is_open(STDERR) and not os.isatty(STDERR)
    if stdout and stderr and _same_file(STDOUT, STDERR):
        return [(STDOUT, STDERR)]
    return [(fd,) for fd, wanted in ((STDOUT, stdout), (STDERR, stderr)) if wanted]


def enlarge(pipe: int, size: int) -> bool:
    """Let a pipe hold `size` bytes, if it does not hold more; tell whether it does."""
    try:
        import fcntl  # noqa: PLC0415  not before it is needed

        if fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) >= size:
            return True
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size) >= size
    except (AttributeError, ImportError, OSError):
        return False  # not Linux, or the user's allowance is used up, or Python is gone from disk


def _is_room() -> bool:
    """Tell whether the user's allowance suffices for more than ours."""
    ends: list[int] = []
    try:
        for _ in range(_SPARED):
            ends += os.pipe()
            if not enlarge(ends[-1], LARGE):
                return False
    except OSError:
        return False  # nor are there descriptors
    finally:
        for fd in ends:
            os.close(fd)
    return True


def _taken_at_once(target: int) -> int:
    """Return how many bytes `target` takes without a reader, as far as that matters.

    What few write much to has what a new pipe takes: stderr, or a device like /dev/null.
    """
    mode = os.fstat(target).st_mode
    if not stat.S_ISFIFO(mode):
        lasting = stat.S_ISREG(mode) or stat.S_ISSOCK(mode) or os.isatty(target)
        return _SOME if target == STDOUT and lasting else SMALL
    try:
        import fcntl  # noqa: PLC0415  imported by then, where an observer is

        return min(fcntl.fcntl(target, fcntl.F_GETPIPE_SZ), LARGE)
    except (AttributeError, ImportError, OSError):
        return SMALL


def occupy_closed() -> None:
    """Keep closed standard descriptors from becoming a pipe or a socket of ours.

    /dev/null takes their place here; it is closed on exec, so the agent finds them closed.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(fd)


def let_go() -> None:
    """Keep nothing open that only the agent uses, once it has been started with it.

    Its standard input, and what else it inherited: whoever writes there is to see at once that
    the agent has closed it (`yes | …`).
    """
    for fd in _descriptors():
        if fd > STDERR and _is_inherited(fd):
            os.close(fd)
    if _is_inherited(STDIN):
        try:  # noqa: SIM105  contextlib takes a millisecond
            _to_null(STDIN)
        except OSError:
            pass  # no descriptor is left, and it stays open until we end


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208
    except OSError:
        return [STDIN]  # no /proc, or no descriptor left for it


def _is_inherited(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False  # what the listing itself had open


def _is_open(fd: int) -> bool:
    """Tell whether a standard descriptor was open when we started."""
    return os.get_inheritable(fd)


def _same_file(one: int, other: int) -> bool:
    """Tell whether two descriptors are one file, so that the order of writes shows.

    Not a regular one that was opened twice, and not alike (`>>f 2>f`): each has a place of its own
    there. A pipe has none, however it was opened (`2>/dev/stdout | …`).
    """
    a, b = os.fstat(one), os.fstat(other)
    if not os.path.samestat(a, b) or stat.S_ISCHR(a.st_mode):
        return False
    try:
        import fcntl  # noqa: PLC0415  hardly ever: not before every first byte
    except ImportError:
        return True
    how = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (one, other)]
    if stat.S_ISREG(a.st_mode):
        return not (how[0] ^ how[1]) & (_ACCESS | os.O_APPEND)
    return all(flags & _ACCESS != os.O_RDONLY for flags in how)


def _to_null(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)
