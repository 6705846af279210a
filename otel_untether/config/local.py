"""The settings file that lies in the working directory: what it may say, and what not.

Such a file comes with whatever repository was cloned there, and any agent can write it. So it may
only vary the watchdog's patience, within bounds, and it can neither stop nor delay the start. Of a
`tool_timeout` of 600 s, say:

    tool_timeout = 1800      taken: up to four times what would be in force without the file
    tool_timeout = 200       taken: down to a quarter, but not at all where killing is on
    tool_timeout = 1e12      not taken, likewise everything that is no threshold
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_untether.config.keys import KEYS, ConfigError, shown
from otel_untether.config.reading import parse, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_untether.config.keys import Key
    from otel_untether.config.reading import Values

FACTOR: Final = 4.0
_TOLD: Final = 6  # of what was not taken, by name


class Local(NamedTuple):
    """What is taken from such a file, and the line that says so."""

    values: Values
    notice: str


def read(file: str, known: Mapping[str, Any], *, killing: bool) -> Local:
    """Read the file of the working directory; never raise.

    `known` are the values in force without it, by "section.key", those excepted that the
    environment sets and that are therefore settled; `killing` says whether a kill
    may be decided, for then nothing is made less patient.
    """
    try:
        document = parse(file, _open_regular)
        entries = [entry for section in document for entry in _entries(document, section, file)]
    except ConfigError as error:
        return Local({}, f"{error}; not used")
    values: Values = {}
    refused: list[str] = []
    for path, value in entries:
        problem = _problem(path, value, known, killing=killing)
        if problem:
            refused.append(f"{shown(path)} ({problem})")
        else:
            values[path] = float(value)
    return Local(values, _line(file, values, refused))


def _entries(document: dict[str, Any], section: str, file: str) -> Iterator[tuple[str, Any]]:
    for name, value in table(document, section, file).items():
        yield f"{section}.{name}", value


def _problem(path: str, value: Any, known: Mapping[str, Any], *, killing: bool) -> str:
    """Say why a value is not taken, in a few words; empty where it is."""
    key = next((key for key in KEYS if key.path == path), None)
    if key is None:
        return "no such setting"
    if not key.is_threshold:
        return "not for a working directory to set"
    if path not in known:
        return f"{key.variable} is set"
    try:
        seconds = key.check(value, path)
    except ConfigError:
        return "expected seconds"
    return _beyond(key, seconds, known, killing=killing)


def _beyond(key: Key, seconds: float, known: Mapping[str, Any], *, killing: bool) -> str:
    low, high = known[key.path] / (1 if killing else FACTOR), known[key.path] * FACTOR
    return "" if low <= seconds <= high else f"expected {low:g} to {high:g} s"


def _line(file: str, values: Values, refused: list[str]) -> str:
    taken = ", ".join(f"{path} = {value:g}" for path, value in values.items())
    more = f", and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
    parts = [f"sets {taken}"] if taken else []
    parts += ["not taken: " + ", ".join(refused[:_TOLD]) + more] if refused else []
    return f"{file}, of the working directory: " + ("; ".join(parts) or "sets nothing")


def _open_regular(file: str, flags: int) -> int:
    """Open a regular file that is ours or root's, without waiting at a FIFO or following a link."""
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(file, flags | extra)
    info = os.fstat(descriptor)
    trusted = not hasattr(os, "geteuid") or info.st_uid in (0, os.geteuid())
    if stat.S_ISREG(info.st_mode) and trusted:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EPERM, "not a regular file of this user")
