"""What a program that leaves does about sessions whose ends do not come."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

from otel_untether.sources import leaving

if TYPE_CHECKING:
    import pytest


class Never(threading.Event):
    """An event that does not come; each wait for it takes as long as it may."""

    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self.clock = clock
        self.waited = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.waited += timeout or 0.0
        self.clock.now += timeout
        return False


class Stuck(leaving.Leaver):
    """Its end is being told, for ever."""

    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self._over.acquire()
        self._done = self.end = Never(clock)

    def leave(self) -> None:
        """Do nothing: somebody is at it."""


def test_all_ends_together_are_waited_for_as_long_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(leaving, "time", clock)
    leaving._until.cache_clear()
    agents = [Stuck(clock) for _ in range(3)]
    for agent in (*agents, *agents):
        agent.at_exit()
    leaving._until.cache_clear()
    assert [agent.end.waited for agent in agents] == [10.0, 0.0, 0.0]
