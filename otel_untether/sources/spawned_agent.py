"""An agent that this program has spawned: its pipes, its session, and its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from otel_untether.kill.killer import Killer
from otel_untether.proc_diag import Tree
from otel_untether.sources.agent_output import EndWatch, OutputPipe
from otel_untether.sources.leaving import Leaver
from otel_untether.watching.subject import End

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.clock import Clock
    from otel_untether.watching.session import WatchedSession

# After the agent's end, how long (s) a descendant may hold its output open before we go on.
DRAIN: Final = 2.0


class SpawnedAgent(Leaver):
    """What watching an agent takes, whatever kind of program spawned it.

    `stdout` and `stderr` are its pipes; `unread_since` tells since when (ns) nobody asks for its
    output, None while somebody does; `left_at` (`time.monotonic()`) when it ended, `on_left` is
    called then, from another thread. `returncode`, set by whoever knows, tells the status it has
    ended with, None while it runs. `grace` in seconds.
    """

    def __init__(self, clock: Clock, grace: float) -> None:
        super().__init__()
        self.stdout, self.stderr = OutputPipe(), OutputPipe()
        self.clock = clock
        self.unread_since: int | None = clock.now()
        self.left_at: float | None = None
        self.on_left: Callable[[], object] = lambda: None
        self.returncode: Callable[[], int | None] = lambda: None
        self.session: WatchedSession
        self._grace = grace
        self._pid = 0
        self._end_watch: EndWatch | None = None
        self.stderr.drain(self._complain)  # before there is anything to undo where that fails

    def open(self, session: WatchedSession) -> None:
        """Begin its session."""
        self.session = session
        self._begin()

    def attend(self, pid: int) -> None:
        """Begin to look after the process that now runs."""
        self._pid = pid
        self.stdout.close_sink()
        self.stderr.close_sink()
        self.session.spawned(pid)
        self._end_watch = EndWatch(pid, self._left)

    def read(self) -> bytes | None:
        """Return bytes of standard output, none at their end, None where it takes some waiting."""
        chunk = self.stdout.read()
        if chunk:
            self.session.feed(chunk, self.clock.now())
        return b"" if chunk is None and self.patience() == 0 else chunk

    def patience(self) -> float | None:
        """Return how long (s) to wait for more output; None while the agent lives.

        Once it has ended, only its descendants can hold its output open, and they may for ever.
        """
        if self.left_at is None:
            return None
        return max(0.0, self.left_at + DRAIN - time.monotonic())

    def end_tree(self) -> None:
        """End the whole tree: SIGTERM, grace, SIGKILL; takes the grace and a second."""
        if not self.ours:
            return
        silence = self.session.silence
        tree = silence.tree if silence is not None else Tree(self._pid)
        Killer(tree, grace=self._grace, record=lambda _event, _facts: None).kill({})

    def finish(self, status: int | None) -> None:
        """End the session; `status` as `subprocess` has it."""
        if self._over.locked():
            return
        if self._end_watch is not None:
            self._end_watch.close()
        self.stderr.close(self._complain)
        self.stdout.close()
        self._end(End.of_status(status, self.clock.now()))

    def leave(self) -> None:
        """End the session while the program ends; whoever reads, in another thread, may go on."""
        status = self.returncode()
        end = End.of_status(status, self.clock.now())
        self._end(end._replace(unheard=status is None))

    def _end(self, end: End) -> None:
        if not self._over.acquire(blocking=False):
            return
        try:
            self.session.finish(end)
        finally:
            self._cease()

    def _left(self) -> None:
        self.left_at = time.monotonic()
        self.on_left()

    def _complain(self, chunk: bytes) -> None:
        self.session.stderr(chunk, self.clock.now())
