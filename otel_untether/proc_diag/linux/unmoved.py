"""What a deep look saw of processes that have not run since: it holds still.

A process none of whose threads was given a CPU since the last look, by the kernel's own count,
waits where it waited, with the descriptors it had. Of a silent tree that is nearly everybody, and
deep looks at it come one after the other. Sockets, standard input and control groups change
without it, and are looked at each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.proc_diag.linux import kernel_files as files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.proc_diag.deep_look import ProcessLook
    from otel_untether.proc_diag.linux.sockets import Holder
    from otel_untether.proc_diag.snapshot import Identity

    # Each thread's schedstat, by its number; read before anything else of the process is.
    Turns = Mapping[str, bytes]

_MOST: Final = 4096  # processes
_UNCOUNTED: Final = b" 0\n"


class Seen(NamedTuple):
    """What was seen of a process when its threads had had so many `turns`."""

    turns: Turns
    holder: Holder
    look: ProcessLook


class Unmoved:
    """Remembers processes from look to look."""

    def __init__(self) -> None:
        self._seen: dict[Identity, Seen] = {}

    def recall(self, identity: Identity, turns: Turns | None) -> Seen | None:
        """Return what was seen of a process if it has not run since, else None."""
        seen = self._seen.get(identity)
        return seen if seen is not None and seen.turns == turns else None

    def keep(self, turns: Turns | None, holder: Holder, look: ProcessLook) -> None:
        """Remember what was seen, but of one that was met running, or whose turns nobody counts."""
        if len(self._seen) >= _MOST:
            self._seen.clear()
        still = look.threads is not None and all(t.state in ("S", "D") for t in look.threads)
        if turns and still and look.all_threads and len(look.threads or ()) == len(turns):
            self._seen[look.identity] = Seen(turns, holder, look)
        else:
            self._seen.pop(look.identity, None)


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
