"""What a backend of `proc_diag` offers: looks at single processes, within one pass.

The walk over a tree, what is remembered and all arithmetic are common (`tree`); a backend only
reads. The pass exists so that what concerns many trees (socket tables, the host) is read once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.proc_diag.deep_look import CgroupLook, PipeLook, ProcessLook, SocketLook
    from otel_untether.proc_diag.snapshot import (
        CgroupDiag,
        HostDiag,
        Identity,
        ProcessSnapshot,
        SocketDiag,
    )


class DeepLooks(NamedTuple):
    """What a deep look at some processes found; `problems` say, in words, what is unknown.

    `sockets` is None when those of some process could not be told.
    """

    processes: tuple[ProcessLook, ...]
    sockets: tuple[SocketLook, ...] | None
    cgroup: CgroupLook
    problems: tuple[str, ...]
    refusals: int | None = None
    pipes: tuple[PipeLook, ...] = ()


class Handle(Protocol):
    """One process being followed."""

    @property
    def identity(self) -> Identity:
        """Which one it is, for good."""

    @property
    def stdio(self) -> tuple[str | None, str | None, str | None]:
        """What its descriptors 0, 1 and 2 pointed to at the last look; None where unknown."""

    def look(self, *, afresh: bool = False) -> ProcessSnapshot | None:
        """Read it; None when it is gone. `afresh` forbids to reuse an earlier look."""

    def close(self) -> None:
        """Let go of whatever is kept open for it."""


class Pass(Protocol):
    """One pass over all trees."""

    def host(self) -> HostDiag:
        """Return the state of the machine."""

    def cgroup(self, member: Handle) -> CgroupDiag:
        """Return the state of the control group a member is in."""

    def children(self, member: Handle) -> Sequence[int]:
        """Return the pids of a member's children, after it was looked at."""

    def expect(self, members: Sequence[Handle]) -> None:
        """Note whose sockets will be asked for, so that one dump can serve all trees."""

    def sockets(self, members: Sequence[Handle]) -> tuple[SocketDiag, ...] | str:
        """Return the TCP sockets they hold, each once, or why that is unknown."""


class Backend(Protocol):
    """A way to look at processes."""

    def identify(self, pid: int) -> Identity | None:
        """Return who has this pid, None when nobody (or a mere thread) or it cannot be told."""

    def presence(self, pid: int) -> bool | None:
        """Whether there is such a process: False, True, or None when that cannot be told."""

    def open(self, pid: int) -> Handle | None:
        """Begin to follow whoever has this pid; None when that is not possible."""

    def begin(self) -> Pass:
        """Begin a pass."""

    def look_deeper(
        self,
        members: Sequence[ProcessSnapshot],
        agent: Identity | None,
        handles: Sequence[Handle],
        /,
    ) -> DeepLooks:
        """Look at living members in every detail, at the agent's control group as well.

        `handles` are those of the walk that met them, just now.
        """

    def look_at(self, member: ProcessSnapshot, handles: Sequence[Handle], /) -> ProcessLook | None:
        """Look at one living member in every detail; None where it cannot be looked at.

        `handles` are as for `look_deeper`.
        """

    def environ(self, pid: int) -> bytes | None:
        """Return a process's environment, NUL-separated; may wait for a hung process for ever."""

    def directory(self, pid: int) -> str | None:
        """Return a process's working directory."""

    def children_of(self, pid: int) -> Sequence[int]:
        """Return the pids of a process's children."""
