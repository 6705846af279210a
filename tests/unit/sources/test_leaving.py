"""What a program that leaves does about sessions whose ends do not come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from otel_untether.sources import leaving

if TYPE_CHECKING:
    import pytest


class Stuck(leaving.Leaver):
    """Its end is being told, for ever; each wait for that takes as long as it may."""

    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self._over.acquire()
        self._clock = clock
        self._done = SimpleNamespace(wait=self._wait)  # type: ignore[assignment]
        self.waited: list[float] = []

    def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self._clock.now += seconds

    def leave(self) -> None:
        """Do nothing: somebody is at it."""


def test_all_ends_together_are_waited_for_as_long_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(leaving, "time", clock)
    leaving._until.cache_clear()
    agents = [Stuck(clock) for _ in range(3)]
    for agent in (*agents, *agents):
        agent._leave()
    leaving._until.cache_clear()
    assert [sum(agent.waited) for agent in agents] == [10.0, 0.0, 0.0]
