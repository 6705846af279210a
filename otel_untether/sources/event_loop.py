"""The event loop that runs now, to be reached from other threads: asyncio's, uvloop, or trio's."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class EventLoop(NamedTuple):
    """What of a loop can be used where no task runs.

    `schedule` runs a function in the loop's thread, called from any other; `time` is the clock
    of its deadlines (s).
    """

    schedule: Callable[[Callable[[], object]], object]
    time: Callable[[], float]

    def soon(self, call: Callable[[], object]) -> None:
        """Have the loop call this; not at all once the loop is gone."""
        with contextlib.suppress(RuntimeError):
            self.schedule(call)


def current_loop() -> EventLoop:
    """Return the loop that runs this task."""
    if "trio" in sys.modules:
        import trio  # noqa: PLC0415  only where the program has it

        with contextlib.suppress(RuntimeError):
            token = trio.lowlevel.current_trio_token()
            return EventLoop(token.run_sync_soon, trio.current_time)
    loop = asyncio.get_running_loop()
    return EventLoop(loop.call_soon_threadsafe, loop.time)
