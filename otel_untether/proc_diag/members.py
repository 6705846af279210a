"""Who belongs to a tree: found by descent, remembered by identity."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from otel_untether.proc_diag.adoption import Adoption, above_us
from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

if TYPE_CHECKING:
    from otel_untether.proc_diag.backend import Backend, Handle, Pass


_SOON: Final = 0.01  # seconds


class Members:
    """The processes of one tree, by pid, in the order they were met."""

    def __init__(
        self,
        backend: Backend,
        leader: Identity | None,
        *,
        reaper: int | None,
        traceparent: str | None = None,
    ) -> None:
        self._backend = backend
        self._handles: dict[int, Handle] = {}
        self._adoption = None if reaper is None else Adoption(backend, leader, traceparent, reaper)
        self._traceparent = traceparent
        self._shaken = False
        self._marked: dict[int, tuple[ProcessSnapshot, ProcessSnapshot]] = {}
        self._home: tuple[int | None, int | None] = (None, None)
        self._leader = leader
        if leader and (handle := backend.open(leader.pid)) and handle.identity == leader:
            self._handles[leader.pid] = handle

    @property
    def handles(self) -> tuple[Handle, ...]:
        """Everybody who was there at the last look."""
        return tuple(self._handles.values())

    @property
    def strangers(self) -> tuple[ProcessSnapshot, ...]:
        """Children of this process that nothing connects with the tree."""
        return self._adoption.strangers if self._adoption else ()

    @property
    def unsure(self) -> bool:
        """Whether there is somebody of whom it is not known yet if he belongs here."""
        return self._adoption is not None and self._adoption.unsure

    def claim_orphans(self, patience: float) -> None:
        """Take in whom the agent, which has ended, left to those above us, by evidence.

        A child that was started after the last look, and lost its parent before the next, was
        never seen to descend from a member. Where orphans are given to us, each look does this.
        """
        if self._adoption is not None or self._leader is None:
            return
        reapers = above_us(self._backend)
        adoption = Adoption(self._backend, self._leader, self._traceparent, *reapers, guest=True)
        adoption.learn(diag for diag, _ in self._marked.values())
        until = time.monotonic() + patience
        while True:
            claimed = adoption.claim(self._handles, patience)
            self._handles.update((handle.identity.pid, handle) for handle in claimed)
            if not adoption.unsure or time.monotonic() >= until:
                return
            time.sleep(_SOON)

    def close(self) -> None:
        """Let go of what is kept open."""
        for handle in self._handles.values():
            handle.close()

    def look(self, pass_: Pass, patience: float = 0.0) -> dict[int, ProcessSnapshot]:
        """Look at every member and at whom they have started; by pid.

        `patience` is how many seconds to wait for evidence about a process we have inherited.
        """
        found: dict[int, ProcessSnapshot] = {}
        hidden: list[int] = []
        adopted = self._adoption.claim(self._handles, patience) if self._adoption else []
        claimed = {handle.identity for handle in adopted}
        queue = [*self._handles.values(), *adopted]
        # When somebody has gone, his children may have become another's who was asleep.
        afresh, self._shaken = self._shaken, False
        for handle in queue:
            pid = handle.identity.pid
            diag = handle.look(afresh=afresh)
            known = pid in self._handles or handle.identity in claimed
            if diag is None or not (known or _descends(diag, found)):
                self._forget(handle)
                continue
            self._handles[pid], found[pid] = handle, diag
            for child in pass_.children(handle):
                if child in self._handles:
                    continue
                if new := self._backend.open(child):
                    queue.append(new)
                elif self._backend.presence(child) is None:  # may not even be identified
                    hidden.append(child)
        pass_.expect(self.handles)
        if self._adoption:
            self._adoption.learn(found.values())
        return self._mark_detached(found) | {pid: _unknown(pid) for pid in hidden}

    def _forget(self, handle: Handle) -> None:
        handle.close()
        if self._handles.get(handle.identity.pid) is handle:
            del self._handles[handle.identity.pid]
            self._shaken = True

    def _mark_detached(self, found: dict[int, ProcessSnapshot]) -> dict[int, ProcessSnapshot]:
        leader = found.get(self._leader.pid) if self._leader else None
        if leader and leader.sid is not None:
            self._home = leader.pgid, leader.sid
        marked = {pid: self._marked_as(diag, found) for pid, diag in found.items()}
        self._marked = {pid: (diag, marked[pid]) for pid, diag in found.items()}
        return marked

    def _marked_as(
        self, diag: ProcessSnapshot, found: dict[int, ProcessSnapshot]
    ) -> ProcessSnapshot:
        detached = self._is_detached(diag, found)
        before = self._marked.get(diag.identity.pid)
        if before and before[0] is diag and before[1].detached == detached:
            return before[1]
        return replace(diag, detached=True) if detached else diag

    def _is_detached(self, diag: ProcessSnapshot, found: dict[int, ProcessSnapshot]) -> bool:
        if diag.identity == self._leader or diag.ppid is None:
            return False
        pgid, sid = self._home
        return diag.ppid not in found or (diag.pgid != pgid and diag.sid != sid)


def _descends(diag: ProcessSnapshot, found: dict[int, ProcessSnapshot]) -> bool:
    """Whether it still is what the list of children said, and not a recycled pid."""
    return diag.ppid is None or diag.ppid in found


def _unknown(pid: int) -> ProcessSnapshot:
    return ProcessSnapshot(Identity(pid, 0.0))
