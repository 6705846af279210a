"""Says whether a silence is a stall; with this come all modules that a finding takes.

A process of our own imports it at the first tick of its session, and most short runs end before
that: its modules are a third of what such a run would import of ours. It is not put off until
somebody is silent, though. Memory may be short then, or the agent has removed what we are
installed in, and that must not cost the diagnosis, nor the kill. A guest imports it at once: in a
program that forks whenever it likes nothing is to be imported on a thread of ours.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.proc_diag.gather import look_at_agent, look_deeper
from otel_untether.stall import StallDetector, describe
from otel_untether.watching.interruptions import let_through
from otel_untether.watching.kill_order import KillOrder
from otel_untether.watching.stall_dump import stall_dump
from otel_untether.watching.transcript import TranscriptWatch

if TYPE_CHECKING:
    from collections.abc import Reversible
    from contextlib import AbstractContextManager

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.deep_look import DeepLook, ProcessLook
    from otel_untether.proc_diag.snapshot import TreeSnapshot
    from otel_untether.proc_diag.tree import Tree
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding
    from otel_untether.watching.subject import Subject

__all__ = ["Judge", "KillOrder", "describe", "stall_dump"]

_log: Final = logging.getLogger(__name__)


class Judge:
    """Judges the silence of one session, and looks deeper at `tree` where that tells more."""

    def __init__(
        self, subject: Subject, tree: Tree, state: SessionState, config: WatchdogConfig
    ) -> None:
        self._subject = subject
        self._tree = tree
        self._state = state
        self._detector = StallDetector(config, from_monotonic=subject.clock.from_monotonic)
        self._transcript = TranscriptWatch(state, lambda: tree.backend.environ(tree.pid))

    def taint(self) -> None:
        """Give the session less time to begin: it continues one that froze."""
        self._detector.tainted = True

    def judge(
        self, window: Reversible[TreeSnapshot], now: int, lock: AbstractContextManager[object]
    ) -> Finding | None:
        """Return what is worth telling, if anything; `now` in ns, the state read under `lock`."""
        with lock:
            return self._detector.tick(
                self._state,
                window,
                now,
                blocked_since=self._subject.blocked_since(),
                look=self._look_deeper,
                glance=self._look_at_agent,
            )

    def _look_at_agent(self) -> ProcessLook | None:
        """Look at the agent's own process; None, which is *unknown*, where that fails."""
        try:
            return look_at_agent(self._tree)
        except Exception:  # noqa: BLE001  as below
            let_through()
            _log.exception("the agent's process could not be looked at")
            return None

    def _look_deeper(self) -> DeepLook | None:
        """Look at the tree in detail; None, which is *unknown*, where that fails."""
        try:
            return replace(look_deeper(self._tree), transcript=self._transcript.look())
        except Exception:  # noqa: BLE001  a look that fails must not end the watching
            let_through()
            _log.exception("the process tree could not be looked at")
            return None
