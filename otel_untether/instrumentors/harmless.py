"""Faults of ours, kept from the program that we are a guest in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from otel_untether.watching.interruptions import is_the_programs

if TYPE_CHECKING:
    from types import TracebackType

_log: Final = logging.getLogger("otel_untether")
_failed: Final[set[str]] = set()


class harmless:  # noqa: N801  read as a word, as those of contextlib are
    """Lets no fault out of a hook; says it with its traceback, the first time of each hook.

    :param hook: what was to be done, for a person to read.
    """

    # Not a generator: it is around every chunk that an agent prints, and costs a third of one.
    __slots__ = ("_hook",)

    def __init__(self, hook: str) -> None:
        self._hook = hook

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        """Keep what is ours; what asks the program to end, and what it raises itself, is not."""
        if kind is None or not issubclass(kind, Exception) or is_the_programs(error):
            return False
        _say(self._hook)
        return True


def _say(hook: str) -> None:
    first = hook not in _failed
    _failed.add(hook)
    level = logging.ERROR if first else logging.DEBUG
    _log.log(level, "a mistake of otel-untether, not of this program: %s", hook, exc_info=True)
