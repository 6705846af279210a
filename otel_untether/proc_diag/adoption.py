"""Processes that somebody was given as children who inherits orphans: members, or strangers.

A subreaper (and PID 1 of a container) becomes the parent of every orphan below it, the agent's
and anybody else's alike, so that being our child says nothing. Only evidence makes one a member:
it was seen below a member while that lived (which `members` remembers), it is in a session or
process group of a member, or it carries this run's TRACEPARENT.

    bash -c './daemon.sh & exec otel-untether run -- claude …'     (we have bash's pid)

    daemon.sh     our child since before the agent was started: a stranger at once
    a job of it   daemon.sh forked it and ended: ours now, no evidence, a stranger
    a dev server  claude's Bash forked it and ended; never seen, but in the session
                  of that Bash, or with our TRACEPARENT in its environment: a member

A stranger is named, never counted and never signalled.

Where we are no subreaper, the orphans of our agent go to one of those above us, to init at the
latest; once the agent has ended, their children are looked through the same way.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from otel_untether.proc_diag.birthmarks import Birthmarks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_untether.proc_diag.backend import Backend, Handle
    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot


class Adoption:
    """Tells whom of the children of `reapers`, pids, the tree of `root` gave them.

    `guest` says that this process started `root`, and that others may be in its trace.
    """

    def __init__(
        self,
        backend: Backend,
        root: Identity | None,
        traceparent: str | None,
        *reapers: int,
        guest: bool = False,
    ) -> None:
        self._backend = backend
        self._root = root
        self._reapers = reapers
        self._guest = guest
        self._shared = _groups_of(os.getpid() if guest else reapers[0])
        ambient = {"TRACEPARENT": traceparent or ""} if guest else os.environ
        self._marks = Birthmarks(traceparent, backend.environ, backend.identify, ambient)
        self._strangers: dict[int, ProcessSnapshot] = {}
        self._undecided: dict[int, Handle] = {}
        self._groups: frozenset[int] = frozenset()

    @property
    def strangers(self) -> tuple[ProcessSnapshot, ...]:
        """Children of the subreaper that nothing connects with the tree, as they were met."""
        return tuple(self._strangers.values())

    @property
    def unsure(self) -> bool:
        """Whether there is a child of which nobody knows yet whose it is."""
        return bool(self._undecided)

    def claim(self, members: Iterable[int], patience: float) -> list[Handle]:
        """Return the children not among `members` that evidence makes members as well.

        An answer about a TRACEPARENT that is not there yet is waited for at most `patience`
        seconds; without it that child is asked about again at the next look.
        """
        # Who watches in its stead is its child as well.
        born = itertools.chain.from_iterable(map(self._backend.children_of, self._reapers))
        children = frozenset(born) - {os.getpid()}
        self._forget_all_but(children)
        for pid in children.difference(members, self._strangers, self._undecided):
            if handle := self._backend.open(pid):
                if self._guest and self._is_older(handle):
                    handle.close()  # nobody names a guest's strangers, and one look costs ten of it
                else:
                    self._undecided[pid] = handle
        claimed = [h for h in tuple(self._undecided.values()) if self._decide(h, patience)]
        for handle in claimed:
            del self._undecided[handle.identity.pid]
        return claimed

    def learn(self, found: Iterable[ProcessSnapshot]) -> None:
        """Learn which sessions and process groups belong to the tree now.

        A number stays taken as long as anybody is in its group, so that one of a member at the
        last look cannot be another's by now. The group and session that the members share with
        the subreaper say nothing. 0 is one outside of this pid namespace.
        """
        groups = {
            number for one in found for number in (one.identity.pid, one.pgid, one.sid) if number
        }
        self._groups = frozenset(groups - self._shared)

    def _decide(self, handle: Handle, patience: float) -> bool:
        """Whether a child is a member; one that is certainly not becomes a stranger."""
        diag = handle.look()
        if diag is None or diag.ppid not in self._reapers:  # has ended, or its pid is another's
            return self._dismiss(handle, None)
        if self._is_older(handle):
            return self._dismiss(handle, diag)
        if not self._groups.isdisjoint((diag.pgid, diag.sid)):
            return True
        carries = self._marks.carried_by(diag.identity, patience)
        if carries is False:
            return self._dismiss(handle, diag)
        return bool(carries)

    def _is_older(self, handle: Handle) -> bool:
        """Whether a process was there before the agent, and so is none of its."""
        return self._root is None or handle.identity.start_time < self._root.start_time

    def _dismiss(self, handle: Handle, diag: ProcessSnapshot | None) -> bool:
        handle.close()
        self._undecided.pop(handle.identity.pid, None)
        if diag is not None:
            self._strangers[handle.identity.pid] = diag
        return False

    def _forget_all_but(self, children: frozenset[int]) -> None:
        for pid in self._strangers.keys() - children:
            self._marks.forget(self._strangers.pop(pid).identity)
        for pid in self._undecided.keys() - children:
            self._dismiss(self._undecided[pid], None)


def above_us(backend: Backend) -> tuple[int, ...]:
    """Return the pids above us, one of which is given our orphans; ours too where we are init.

    Who else is a child of ours has us for a parent: another agent, and nobody's orphan.
    """
    pids, pid = [os.getpid()] if os.getpid() == 1 else [], os.getppid()
    while pid > 0 and pid not in pids:
        pids.append(pid)
        handle = backend.open(pid)
        seen = handle.look() if handle else None
        pid = seen.ppid or 0 if seen else 1
        if handle:
            handle.close()
    return tuple(pids)


def _groups_of(pid: int) -> set[int]:
    """Return the process group and session of whoever started the agent, and so the agent's."""
    try:
        return {os.getpgid(pid), os.getsid(pid)}
    except (OSError, AttributeError):  # it has ended, and will inherit nobody
        return set()
