"""How a command is run."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Options:
    """How to run. A plain class, since `dataclasses` would delay the agent by 12 ms.

    `environ` is the agent's environment, by default ours, and `unwatched` what it is where
    nobody observes it, None for the same. `terminal` says that its stdout is
    relayed even if that is a terminal. `dedicated` says that this process exists for this run:
    it adopts and reaps the agent's orphans, lets go of stdout as soon as the agent did, and may
    become the agent where nothing is left for a second process. `exit_timeout` is how long, in
    seconds, we wait for the observer once the agent is gone, `finish_timeout` how long it may
    go on by itself after that, and `drain_timeout` how long descendants that hold the agent's
    output are observed. `summary` asks for the observer's closing line on stderr.

    `prepare` is called, in the observer's process, with the time in ns right before the spawn,
    which waits for it a little; `abandon` there, if there was nothing to spawn.
    """

    def __init__(self, *, dedicated: bool = False) -> None:
        self.environ: Mapping[str, str] = os.environ
        self.unwatched: Mapping[str, str] | None = None
        self.terminal = False
        self.dedicated = dedicated
        self.exit_timeout = 2.0
        self.finish_timeout = 60.0
        self.drain_timeout = 0.5
        self.summary = True
        self.prepare: Callable[[int], object] = _nothing
        self.abandon: Callable[[], object] = _nothing


def _nothing(*_: object) -> None:
    """Do nothing."""
