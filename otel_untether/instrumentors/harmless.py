"""Faults of ours, kept from the program that we are a guest in."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_log: Final = logging.getLogger("otel_untether")
_failed: Final[set[str]] = set()


@contextmanager
def harmless(hook: str) -> Iterator[None]:
    """Let no fault out of a hook; say it with its traceback, the first time of each hook.

    :param hook: what was to be done, for a person to read.
    """
    try:
        yield
    except Exception:  # noqa: BLE001  whatever it is, it is ours and not the program's
        first = hook not in _failed
        _failed.add(hook)
        level = logging.ERROR if first else logging.DEBUG
        _log.log(level, "a mistake of otel-untether, not of this program: %s", hook, exc_info=True)
