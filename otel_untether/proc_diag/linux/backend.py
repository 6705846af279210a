"""Processes by procfs, sockets by sock_diag.

Why this stands beside the portable backend: for a tree of ten processes with two TCP sockets,
twenty descriptors and four threads each, psutil takes some 70 ms a look, most of it reading
/proc/net/tcp once per process; this takes about 0.5 ms (1.5 ms when all of them have just been
busy), and does not slow down as other processes appear on the host. See benchmarks/sampling.py.

Two things make it so. Sockets are asked for once per pass and network namespace. And a process
none of whose threads has run since the last look, by the kernel's own count of their time
slices, can have changed nothing but its memory: its other facts are not read again.

No look may wait for a sick process, so none opens `cmdline`, `environ`, `maps` or `smaps`: they
take the target's mmap lock, which a hung mount may hold for ever. (`environ` is read all the
same, once, of a process that we are said to have inherited: on a thread of its own.)
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs
from otel_untether.proc_diag.linux.host import HostReader
from otel_untether.proc_diag.linux.process import LinuxHandle, children_of, signalable
from otel_untether.proc_diag.linux.socket_tables import SocketTables
from otel_untether.proc_diag.snapshot import CgroupDiag, HostDiag, Identity, SocketDiag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.proc_diag.backend import DeepLooks, Handle
    from otel_untether.proc_diag.deep_look import ProcessLook
    from otel_untether.proc_diag.linux import deep
    from otel_untether.proc_diag.snapshot import ProcessSnapshot


class LinuxBackend:
    """Reads `root`, which is /proc but for tests."""

    def __init__(self, root: str = "/proc") -> None:
        self.root = root
        self.budget = files.Budget()
        self.host = HostReader(root)

    @cached_property
    def _memory(self) -> deep.Memory:
        from otel_untether.proc_diag.linux.deep import Memory  # noqa: PLC0415  as `gather` says

        return Memory()

    def identify(self, pid: int) -> Identity | None:
        """Return who has this pid; None when nobody, a mere thread, or it cannot be told."""
        if (raw := files.read(f"{self.root}/{pid}/stat")) is None:
            return None
        status = files.read(f"{self.root}/{pid}/status")
        if procfs.parse_field(status, b"Tgid") not in (pid, None):
            return None
        return Identity(pid, procfs.parse_stat(raw).start_time)

    def presence(self, pid: int) -> bool | None:
        """Whether there is such a process; None for one that /proc does not show (hidepid)."""
        if not signalable(pid):
            return False
        status = files.read(f"{self.root}/{pid}/status")
        return None if status is None else procfs.parse_field(status, b"Tgid") == pid

    def open(self, pid: int) -> LinuxHandle | None:
        """Begin to follow whoever has this pid."""
        if (identity := self.identify(pid)) is None:
            return None
        return LinuxHandle(self.root, identity, self.budget)

    def begin(self) -> LinuxPass:
        """Begin a pass."""
        return LinuxPass(self)

    def look_deeper(
        self,
        members: Sequence[ProcessSnapshot],
        agent: Identity | None,
        handles: Sequence[Handle],
    ) -> DeepLooks:
        """Look at living members in every detail, at the agent's control group as well."""
        from otel_untether.proc_diag.linux import deep  # noqa: PLC0415  as above

        turns = {one.identity: one.turns for one in handles if isinstance(one, LinuxHandle)}
        return deep.look(self.root, members, agent, turns, self._memory)

    def look_at(self, member: ProcessSnapshot, handles: Sequence[Handle]) -> ProcessLook | None:
        """Look at one living member in every detail; None where it cannot be looked at."""
        from otel_untether.proc_diag.linux import deep  # noqa: PLC0415  as above

        known = (one for one in handles if isinstance(one, LinuxHandle))
        turns = next((one.turns for one in known if one.identity == member.identity), None)
        return deep.look_at_one(self.root, member, turns, self._memory)

    def environ(self, pid: int) -> bytes | None:
        """Return a process's environment, NUL-separated; may wait for a hung process for ever."""
        return files.read(f"{self.root}/{pid}/environ")

    def directory(self, pid: int) -> str | None:
        """Return a process's working directory."""
        return files.link(f"{self.root}/{pid}/cwd")

    def children_of(self, pid: int) -> Sequence[int]:
        """Return the pids of a process's children."""
        base = f"{self.root}/{pid}"
        return children_of(base, files.listing(f"{base}/task") or ()) or ()


class LinuxPass:
    """One pass: socket tables and the host's state are read when first asked for."""

    def __init__(self, backend: LinuxBackend) -> None:
        self._backend = backend
        self._parents: dict[int, list[int]] | None = None
        self._cgroups: dict[str | None, CgroupDiag] = {}
        self.tables = SocketTables(backend.root)

    def host(self) -> HostDiag:
        """Return the state of the machine."""
        return self._backend.host.read()

    def cgroup(self, member: Handle) -> CgroupDiag:
        """Return the state of the control group a member is in."""
        path = member.cgroup() if isinstance(member, LinuxHandle) else None
        if path not in self._cgroups:
            self._cgroups[path] = self._backend.host.cgroup(path)
        return self._cgroups[path]

    def children(self, member: Handle) -> Sequence[int]:
        """Return the pids of a member's children."""
        if isinstance(member, LinuxHandle) and member.children is not None:
            return member.children
        return self._scan_children(member.identity.pid)

    def expect(self, members: Sequence[Handle]) -> None:
        """Note whose sockets will be asked for."""
        for member in members:
            if isinstance(member, LinuxHandle) and member.inodes:
                self.tables.wanted |= member.inodes

    def sockets(self, members: Sequence[Handle]) -> tuple[SocketDiag, ...] | str:
        """Join the members' socket inodes with their namespaces' tables."""
        found: dict[int, SocketDiag] = {}
        for member in members:
            if not isinstance(member, LinuxHandle) or member.inodes is None:
                return f"descriptors of process {member.identity.pid} cannot be read"
            table = self.tables.lookup(member.identity.pid, member.inodes)
            if isinstance(table, str):
                return table
            found |= table
        return tuple(found.values())

    def _scan_children(self, pid: int) -> list[int]:
        """Find children by a scan of all processes (kernels without CONFIG_PROC_CHILDREN)."""
        if self._parents is None:
            self._parents = {}
            for name in files.listing(self._backend.root) or ():
                if name.isdecimal() and (raw := files.read(f"{self._backend.root}/{name}/stat")):
                    self._parents.setdefault(procfs.parse_stat(raw).ppid, []).append(int(name))
        return self._parents.get(pid, [])
