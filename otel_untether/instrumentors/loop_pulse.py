"""Whether an event loop is held up, seen from another thread.

While it is, what an agent has printed may lie in its pipe, or in the loop's own queue: nobody
hears it, and the agent is not to blame.
"""

from __future__ import annotations

import time
import weakref
from typing import Any, Final

_EVERY: Final = 0.25  # seconds between two questions
_HELD_UP: Final = 0.2  # seconds without an answer


class LoopPulse:
    """Asks one loop, a few times a second at most, to answer."""

    def __init__(self, loop: Any) -> None:
        self._loop = weakref.proxy(loop)
        self._asked = 0.0
        self._answered = True

    def held_up(self) -> bool:
        """Tell whether the loop leaves a question unanswered."""
        now = time.monotonic()
        if self._answered and now - self._asked > _EVERY:
            self._asked, self._answered = now, False
            self._loop.call_soon_threadsafe(self._answer)
        return not self._answered and now - self._asked > _HELD_UP

    def _answer(self) -> None:
        self._answered = True


_pulses: Final[weakref.WeakKeyDictionary[Any, LoopPulse]] = weakref.WeakKeyDictionary()


def pulse_of(loop: Any) -> LoopPulse:
    """Return the pulse of a loop, the same for all of its agents."""
    return _pulses.setdefault(loop, LoopPulse(loop))
