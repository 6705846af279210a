"""A kill that was decided: recorded, carried out beside the session, and told."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.kill.killer import Killer, KillReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from otel_untether.clock import Clock
    from otel_untether.proc_diag import Tree
    from otel_untether.session.activity import AttributeValue
    from otel_untether.watching.listener import Listener

_log: Final = logging.getLogger(__name__)

# Beyond grace and SIGKILL: for the decision to leave, and to look who is left.
_AFTER_KILL: Final = 3.0


class KillOrder:
    """Ends one tree for `cause`, in a thread of its own, since that may take seconds.

    `grace` is the time, in seconds, between SIGTERM and SIGKILL. `proceed` is asked right before
    the first signal; `flush` has what was told leave, once the decision is recorded. With
    `reap`, orphans that this process inherited are waited for.
    """

    def __init__(
        self,
        tree: Tree,
        cause: str,
        listeners: Sequence[Listener],
        clock: Clock,
        *,
        grace: float,
        reap: bool,
        proceed: Callable[[], bool],
        flush: Callable[[], object],
    ) -> None:
        self.signalled = False
        self._cause = cause
        self._listeners = listeners
        self._clock = clock
        self._flush = flush
        self._deadline = time.monotonic() + grace + _AFTER_KILL
        self._killer = Killer(tree, grace=grace, record=self._record, proceed=proceed, reap=reap)
        self._thread: threading.Thread | None = None

    @property
    def overtime(self) -> float:
        """Seconds that it may still take, 0 once it is over."""
        if self._thread is None or not self._thread.is_alive():
            return 0.0
        return max(0.0, self._deadline - time.monotonic())

    def start(self, facts: Mapping[str, AttributeValue]) -> None:
        """Carry it out; `facts` are the decision's, with its evidence."""
        # Not a daemon: an interpreter that ends must not leave half a tree behind.
        self._thread = threading.Thread(
            target=self._carry_out, args=(facts,), name="otel-untether-kill"
        )
        self._thread.start()

    def join(self) -> None:
        """Wait for its end, as long as it may take."""
        if self._thread is not None:
            self._thread.join(self.overtime)

    def _carry_out(self, facts: Mapping[str, AttributeValue]) -> None:
        report = self._killer.kill(facts)
        for listener in self._listeners:
            self._tell(listener, report)

    def _tell(self, listener: Listener, report: KillReport) -> None:
        try:
            listener.killed(self._cause, report)
        except Exception:  # noqa: BLE001  the others are told all the same
            _log.exception("a kill was not told")

    def _record(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        """Journal, then trace, then the collector: in this order a crash loses least."""
        for listener in self._listeners:
            listener.noted(event, facts, self._clock.now())
        if event == semconv.EVENT_KILL_DECIDED:
            self._flush()
        elif event == semconv.EVENT_KILL_SIGNALLED:
            self.signalled = True
