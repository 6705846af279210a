"""A process tree, followed from look to look."""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from otel_untether.proc_diag.agent import Agent, Member, find_agent
from otel_untether.proc_diag.members import Members
from otel_untether.proc_diag.snapshot import (
    CgroupDiag,
    HostDiag,
    Identity,
    ProcessSnapshot,
    TreeSnapshot,
)
from otel_untether.proc_diag.sums import ENDED, Adder, living

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_untether.proc_diag.agent import Stdio
    from otel_untether.proc_diag.backend import Backend, Handle, Pass


@lru_cache(maxsize=1)
def default_backend() -> Backend:
    """Return the backend for this system: procfs on Linux, psutil elsewhere.

    The other one is not even imported: psutil alone takes 14 ms.
    """
    if sys.platform == "linux":
        from otel_untether.proc_diag.linux.backend import LinuxBackend  # noqa: PLC0415  as said

        return LinuxBackend()
    from otel_untether.proc_diag.portable import PortableBackend  # noqa: PLC0415  as said

    return PortableBackend()


def identify(pid: int) -> Identity | None:
    """Return who has this pid now; None when nobody, a mere thread, or it cannot be told."""
    return default_backend().identify(pid) if pid > 0 else None


def sample(trees: Sequence[Tree]) -> list[TreeSnapshot]:
    """Look at all trees in one pass and return a snapshot of each, in order."""
    passes = {backend: backend.begin() for backend in {tree.backend for tree in trees}}
    walks = [tree.walk(passes[tree.backend]) for tree in trees]
    hosts = {backend: pass_.host() for backend, pass_ in passes.items()}
    return [
        tree.conclude(walk, passes[tree.backend], hosts[tree.backend])
        for tree, walk in zip(trees, walks, strict=True)
    ]


class Walk(Struct, frozen=True):
    """Whom one walk over a tree met; times as `time.monotonic()`. No `agent` without a root."""

    at: float
    handles: tuple[Handle, ...]
    found: dict[int, ProcessSnapshot]
    agent: Agent | None = None
    strangers: tuple[ProcessSnapshot, ...] = ()


class Tree:
    """The process `target`, all that descends from it, and all that was ever seen to.

    A member is found by descent while its parent lives, and remembered by its identity when
    the parent is gone. With `subreaper` (for a process that set PR_SET_CHILD_SUBREAPER, or is
    PID 1), orphans that this process has inherited are members too if there is evidence for it;
    with `reaper`, the pid of another such process, those that it has
    (see `adoption`): a session or process group of a member, or `traceparent`, the trace context
    that the target was given in its environment. Others are `strangers`.

    A pid that nobody has, or that is only a thread's, gives a tree that is not alive; a process
    that takes the pid over later is not followed. Raises ValueError for what cannot be a pid.
    """

    def __init__(
        self,
        target: int | Identity,
        *,
        subreaper: bool = False,
        reaper: int | None = None,
        traceparent: str | None = None,
        backend: Backend | None = None,
    ) -> None:
        pid = target.pid if isinstance(target, Identity) else target
        if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
            raise ValueError(f"a process tree needs a positive pid, not {pid!r}")
        self.pid = pid
        self.backend = backend or default_backend()
        self.identity = target if isinstance(target, Identity) else self.backend.identify(pid)
        self._hidden = self.identity is None and self.backend.presence(pid) is None
        self._members = Members(
            self.backend,
            self.identity,
            reaper=os.getpid() if subreaper else reaper,
            traceparent=traceparent,
        )
        self._adder = Adder()
        self._stdio: dict[Identity, Stdio] = {}
        self._searched: tuple[ProcessSnapshot, ...] | None = None
        self._agent: Agent | None = None
        self._lock = threading.RLock()

    def left_behind(self, patience: float = 0.2) -> tuple[ProcessSnapshot, ...]:
        """Return the living members other than the root: after its end, what it left behind.

        `patience` is how many seconds to wait for evidence about each process that this one, or
        one above it, has just inherited.
        """
        with self._lock:
            self._members.claim_orphans(patience)
        found = self.walk(self.backend.begin(), patience).found.values()
        return tuple(one for one in living(found) if one.identity != self.identity)

    @property
    def unsure(self) -> bool:
        """Whether the last walk met somebody of whom it is not known yet if he is a member."""
        return self._members.unsure

    def close(self) -> None:
        """Let go of what is kept open; a later look opens it again."""
        with self._lock:
            self._members.close()

    def walk(self, pass_: Pass, patience: float = 0.0) -> Walk:
        """Look at every member, and at whom they have started.

        `patience` is how many seconds to wait for evidence about a process we have inherited,
        which may not be there at the first look.
        """
        with self._lock:
            at = time.monotonic()
            found = self._members.look(pass_, patience)
            handles = self._members.handles
            agent = self._find_agent(handles, found)
            return Walk(at, handles, found, agent, self._members.strangers)

    def _find_agent(
        self, handles: Sequence[Handle], found: Mapping[int, ProcessSnapshot]
    ) -> Agent | None:
        """Find the agent among those who have not changed their descriptors since the last look.

        For an instant a child has all of its parent's, until it has redirected them.
        """
        processes = tuple(found.values())
        if processes == self._searched:  # mostly the very same objects
            return self._agent
        before, self._stdio = self._stdio, {one.identity: one.stdio for one in handles}
        members = {
            identity: Member(found[identity.pid], stdio)
            for identity, stdio in self._stdio.items()
            if before.get(identity) == stdio or identity == self.identity
        }
        root = members.get(self.identity) if self.identity else None
        self._agent = find_agent(root, members.values()) if root else None
        self._searched = processes if before == self._stdio else None
        return self._agent

    def conclude(self, walk: Walk, pass_: Pass, host: HostDiag) -> TreeSnapshot:
        """Make a snapshot of a walk, once all trees of the pass have been walked."""
        at, processes = walk.at, tuple(walk.found.values())
        root = walk.found.get(self.pid)
        alive = self._alive(root)
        if alive is None and root is None:
            return TreeSnapshot(at, None, host=host, problems=(_hidden(self.pid),))
        leader = walk.agent.process if walk.agent else root
        with self._lock:
            sums = self._adder.add(at, processes, leader)
        problems = [_hidden(pid) for pid, process in walk.found.items() if process.state is None]
        sockets = pass_.sockets(walk.handles)
        if isinstance(sockets, str):
            problems.append(sockets)
        return TreeSnapshot(
            at,
            alive,
            leader=leader,
            launchers=walk.agent.launchers if walk.agent else (),
            remote_client=walk.agent.remote_client if walk.agent else None,
            processes=processes,
            sockets=None if problems or isinstance(sockets, str) else sockets,
            **asdict(sums),
            host=host,
            cgroup=self._cgroup(walk, pass_),
            problems=tuple(problems),
            strangers=walk.strangers,
        )

    def _cgroup(self, walk: Walk, pass_: Pass) -> CgroupDiag:
        roots = (handle for handle in walk.handles if handle.identity == self.identity)
        return next(map(pass_.cgroup, roots), CgroupDiag())

    def _alive(self, root: ProcessSnapshot | None) -> bool | None:
        if root is None:
            return None if self._hidden and self.backend.presence(self.pid) is None else False
        if root.state is None:
            return None
        return root.state not in ENDED


def _hidden(pid: int) -> str:
    return f"process {pid} is hidden"
