"""What a deep look saw of processes that have not run since: it holds still.

A process none of whose threads was given a CPU since the last look, by the kernel's own count,
waits where it waited, with the descriptors it had; so does a single thread, but for these. Of a
silent tree that is nearly everybody, and deep looks at it come one after the other. Sockets,
standard input and control groups change without it, and are looked at each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.proc_diag.linux import kernel_files as files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.proc_diag.deep_look import ProcessLook, ThreadLook
    from otel_untether.proc_diag.linux.sockets import Holder
    from otel_untether.proc_diag.snapshot import Identity

    # Each thread's schedstat, by its number; read before anything else of the process is.
    Turns = Mapping[str, bytes]

_MOST: Final = 4096  # processes
_UNCOUNTED: Final = b" 0\n"
_ASLEEP: Final = ("S", "D")


class Seen(NamedTuple):
    """What was seen of a process when its threads had had so many `turns`.

    `still` is whether all of them slept.
    """

    turns: Turns
    holder: Holder
    look: ProcessLook
    still: bool


class Unmoved:
    """Remembers processes from look to look."""

    def __init__(self) -> None:
        self._seen: dict[Identity, Seen] = {}

    def recall(self, identity: Identity, turns: Turns | None) -> Seen | None:
        """Return what was seen of a process if it has not run since, else None."""
        seen = self._seen.get(identity)
        return seen if seen is not None and seen.still and seen.turns == turns else None

    def threads(self, identity: Identity, turns: Turns | None) -> dict[str, ThreadLook]:
        """Return, by number, what was seen of those threads of a process that have not run since.

        Not of one that waits for a descriptor: another may have put something else in its place.
        """
        seen = self._seen.get(identity)
        if seen is None or not turns:
            return {}
        return {
            tid: thread
            for thread in seen.look.threads or ()
            if turns.get(tid := str(thread.tid)) == seen.turns[tid]
            and _sleeps(thread)
            and thread.waits_on is None
        }

    def keep(self, turns: Turns | None, holder: Holder, look: ProcessLook) -> None:
        """Remember what was seen, but of one whose turns nobody counts."""
        if len(self._seen) >= _MOST:
            self._seen.clear()
        if turns and look.all_threads and len(look.threads or ()) == len(turns):
            still = all(map(_sleeps, look.threads or ()))
            self._seen[look.identity] = Seen(turns, holder, look, still=still)
        else:
            self._seen.pop(look.identity, None)


def _sleeps(thread: ThreadLook) -> bool:
    """Whether a thread is asleep for good: on its way there it has the state, but no place yet."""
    return thread.state in _ASLEEP and thread.wchan is not None and thread.placed


def read_turns(base: str, limit: int) -> Turns | None:
    """Return the schedstat of each thread of the process at `base`.

    None where there are more than `limit`, or the kernel does not count.
    """
    tids = files.listing(f"{base}/task")
    if tids is None or len(tids) > limit:
        return None
    turns = {tid: files.read(f"{base}/task/{tid}/schedstat") for tid in tids}
    known = {tid: raw for tid, raw in turns.items() if raw and not raw.endswith(_UNCOUNTED)}
    return known if len(known) == len(turns) else None
