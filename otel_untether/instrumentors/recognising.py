"""Which of the processes that a program starts are agents."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from otel_untether.engines import argv as command_line
from otel_untether.engines import registry
from otel_untether.sources.spawning import is_spawning
from otel_untether.watching.guest_host import is_suppressed

if TYPE_CHECKING:
    from collections.abc import Sequence


def words(command: object, *, shell: bool) -> list[str]:
    """Return a command as a program gave it, in any of the ways Python allows, as words.

    There are none where it cannot be a command, which is for Python to say.
    """
    one = isinstance(command, str | bytes | os.PathLike)
    given = list(command) if isinstance(command, Iterable) and not one else [command]
    found = [os.fsdecode(word) for word in given if isinstance(word, str | bytes | os.PathLike)]
    if len(found) < len(given):
        return []
    return ["sh", "-c", *found] if shell else found


def is_agent(argv: Sequence[str]) -> bool:
    """Tell whether `argv` certainly starts a session of a coding agent, to be watched from here.

    It does not where it only asks one something (``claude --version``), where somebody else
    watches it already, or where the program suppresses instrumentation.
    """
    name, _ = command_line.program(argv) or (None, [])
    if name not in _programs():  # what nearly all are: it costs some microseconds
        return False
    engine = registry.detect_argv(argv)
    if engine is None or engine.manages(argv):
        return False
    return not is_spawning() and not is_suppressed()


@cache
def _programs() -> frozenset[str | None]:
    """Return the names of all programs and packages that are agents."""
    return frozenset().union(*(engine.commands | engine.packages for engine in registry.engines()))
