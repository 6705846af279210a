"""Start the agent the way a shell would.

Same terminal, session and process group as ours; the same directory and inherited
descriptors; the signal mask and dispositions we were started with. A command that cannot be
started is reported with a shell's exit statuses (POSIX, Shell Command Language, 2.8.2).

Everything imported here delays the child's first byte: no `typing`, no `dataclasses`.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Final
else:
    import _signal as signal  # what `signal` wraps in enums, for 6 ms

NOT_FOUND: Final = 127
NOT_EXECUTABLE: Final = 126

# No process, memory or descriptor is left.
SCARCE: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

# CPython ignores these two for itself, and an ignored signal stays ignored across exec.
_IGNORED_BY_PYTHON: Final = tuple(
    getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
)


class CommandError(Exception):
    """The command could not be started; `status` is what a shell would exit with."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def spawn(
    argv: Sequence[str],
    environ: Mapping[str, str],
    redirects: Mapping[int, int],
    mask: Iterable[int],
) -> int:
    """Start `argv` and return its pid, or raise `CommandError`.

    Raise OSError where there is no process or memory for it (EAGAIN, ENOMEM), or no descriptor.

    `redirects` maps a descriptor of the child to the one of ours that it becomes; all other
    inheritable descriptors are inherited. `mask` is the child's set of blocked signals.
    """
    actions = [(os.POSIX_SPAWN_DUP2, ours, its) for its, ours in redirects.items()]

    def start(command: tuple[str, ...]) -> int:
        return os.posix_spawnp(
            command[0],
            command,
            environ,
            file_actions=actions,
            setsigmask=mask,
            setsigdef=_IGNORED_BY_PYTHON,
        )

    try:
        try:
            return start(tuple(argv))
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return start(_by_shell(argv))
    except OSError as error:
        if error.errno in SCARCE:
            raise
        raise _explained(argv[0], error) from error
    except ValueError as error:  # an empty name, or a NUL in it
        raise CommandError(f"{argv[0]!r}: no command: {error}", NOT_FOUND) from error


def _by_shell(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command that runs a script without a `#!` line, as shells do.

    Raise OSError where the file is no text: a binary for another machine, say.
    """
    path = _find(argv[0])
    with open(path, "rb") as file:  # noqa: PTH123  pathlib would delay every child
        if b"\0" in file.read(128):
            raise OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC))
    return ("/bin/sh", path, *argv[1:])


def _find(name: str) -> str:
    """Return the path of the executable file that PATH gives for `name`."""
    if os.sep in name:
        return name
    paths = (os.path.join(folder, name) for folder in os.get_exec_path())  # noqa: PTH118  as above
    return next((path for path in paths if os.access(path, os.X_OK)), name)


def _explained(name: str, error: OSError) -> CommandError:
    if error.errno != errno.ENOENT:
        return CommandError(f"{name}: cannot be executed: {error.strerror}", NOT_EXECUTABLE)
    if os.access(_find(name), os.F_OK):
        return CommandError(f"{name}: its interpreter was not found", NOT_FOUND)
    if os.sep in name:
        return CommandError(f"{name}: no such file", NOT_FOUND)
    return CommandError(f"{name}: command not found", NOT_FOUND)
