"""Having telemetry leave at once, without waiting longer for it than can be afforded."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

from otel_untether.watching.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_untether.stall import Finding

_TIMEOUT: Final = 1.0  # seconds


class Flushing(Listener):
    """Has what was found leave at once: a frozen session must be seen while it is frozen."""

    def __init__(self, flush: Callable[[], object]) -> None:
        self._flush = flush

    def found(self, finding: Finding) -> None:
        """Flush, without waiting for it; before a kill somebody does wait."""
        if not finding.carried_out:
            in_background(self._flush)


def flush(
    providers: Iterable[Any], more: Callable[[float], object] = lambda _seconds: None
) -> None:
    """Flush providers, then call `more` with the seconds that it may take.

    The SDK's flush may outlast its own timeout many times over against a dead collector, and a
    kill waits for this: it is left behind when its time is up.
    """

    def work() -> None:
        for provider in providers:
            force_flush = getattr(provider, "force_flush", None)
            if force_flush is not None:
                with contextlib.suppress(Exception):
                    force_flush(_TIMEOUT * 1000)
        more(_TIMEOUT)

    in_background(work).join(_TIMEOUT)


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Do what nobody has to wait for, and whose failure is nobody's concern."""

    def quietly() -> None:
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=quietly, name="otel-untether-aside", daemon=True)
    thread.start()
    return thread
