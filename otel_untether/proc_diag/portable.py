"""Processes by psutil, for macOS and whatever else it knows.

What it cannot tell stays unknown: wait channels, the age of a socket's data, I/O on macOS, the
pressure on the host. Children are found by one scan of all processes per pass.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

import psutil

from otel_untether.proc_diag.backend import DeepLooks
from otel_untether.proc_diag.deep_look import CgroupLook, ProcessLook
from otel_untether.proc_diag.snapshot import (
    CgroupDiag,
    HostDiag,
    Identity,
    ProcessSnapshot,
    SocketDiag,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.proc_diag.backend import Handle
    from otel_untether.proc_diag.snapshot import ProcessState, TcpState

_T = TypeVar("_T")

_STATES: Final[dict[str, ProcessState]] = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_WAKING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_PARKED: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    psutil.STATUS_IDLE: "I",
}
_TCP_STATES: Final[dict[str, TcpState]] = {
    psutil.CONN_ESTABLISHED: "ESTABLISHED",
    psutil.CONN_SYN_SENT: "SYN_SENT",
    psutil.CONN_SYN_RECV: "SYN_RECV",
    psutil.CONN_FIN_WAIT1: "FIN_WAIT1",
    psutil.CONN_FIN_WAIT2: "FIN_WAIT2",
    psutil.CONN_CLOSE: "CLOSE",
    psutil.CONN_CLOSE_WAIT: "CLOSE_WAIT",
    psutil.CONN_LAST_ACK: "LAST_ACK",
    psutil.CONN_LISTEN: "LISTEN",
    psutil.CONN_CLOSING: "CLOSING",
}
_UNTOLD: Final = (psutil.AccessDenied, NotImplementedError, AttributeError, OSError)


class PortableBackend:
    """Looks at processes through psutil."""

    def identify(self, pid: int) -> Identity | None:
        """Return who has this pid; None when nobody, or when it cannot be told."""
        try:
            return Identity(pid, psutil.Process(pid).create_time())
        except (psutil.Error, OSError, OverflowError):
            return None

    def presence(self, pid: int) -> bool | None:
        """Whether there is such a process; None for one that may not be looked at."""
        try:
            return None if psutil.pid_exists(pid) else False
        except (OSError, OverflowError):
            return None

    def open(self, pid: int) -> PortableHandle | None:
        """Begin to follow whoever has this pid."""
        try:
            return PortableHandle(psutil.Process(pid))
        except (psutil.Error, OSError, OverflowError):
            return None

    def begin(self) -> PortablePass:
        """Begin a pass."""
        return PortablePass()

    def look_deeper(
        self, members: Sequence[ProcessSnapshot], _: Identity | None, __: Sequence[Handle], /
    ) -> DeepLooks:
        """Look no deeper than a sample does: neither threads' places nor sockets' ends are told."""
        looks = tuple(map(_as_look, members))
        return DeepLooks(looks, None, CgroupLook(), ("this system tells no details",))

    def look_at(self, member: ProcessSnapshot, _: Sequence[Handle], /) -> ProcessLook | None:
        """Look no deeper than a sample does."""
        return _as_look(member)

    def environ(self, pid: int) -> bytes | None:
        """Return a process's environment, NUL-separated."""
        try:
            pairs = psutil.Process(pid).environ().items()
        except (psutil.Error, OSError):
            return None
        return b"\0".join(os.fsencode(f"{name}={value}") for name, value in pairs)

    def directory(self, pid: int) -> str | None:
        """Return a process's working directory."""
        try:
            return str(psutil.Process(pid).cwd())
        except (psutil.Error, OSError):
            return None

    def children_of(self, pid: int) -> Sequence[int]:
        """Return the pids of a process's children."""
        return PortablePass().children_of(pid)


def _as_look(p: ProcessSnapshot) -> ProcessLook:
    return ProcessLook(p.identity, p.ppid, p.pgid, p.sid, p.name, p.state, all_threads=False)


class PortablePass:
    """One pass: whose child everybody is, read when first asked for."""

    def __init__(self) -> None:
        self._children: dict[int, list[int]] | None = None

    def children(self, member: Handle) -> Sequence[int]:
        """Return the pids of a member's children."""
        return self.children_of(member.identity.pid)

    def children_of(self, pid: int) -> Sequence[int]:
        """Return the pids of a process's children."""
        if self._children is None:
            self._children = {}
            for process in psutil.process_iter(["ppid"]):
                self._children.setdefault(process.info["ppid"] or 0, []).append(process.pid)
        return self._children.get(pid, ())

    def host(self) -> HostDiag:
        """Return the state of the machine."""
        return HostDiag(
            memory_available=_told(lambda: psutil.virtual_memory().available),
            load1=_told(lambda: psutil.getloadavg()[0]),
        )

    def cgroup(self, member: Handle) -> CgroupDiag:  # noqa: ARG002  there are none
        """Return nothing: control groups are Linux's."""
        return CgroupDiag()

    def expect(self, members: Sequence[Handle]) -> None:
        """Nothing is read for several trees at once."""

    def sockets(self, members: Sequence[Handle]) -> tuple[SocketDiag, ...] | str:
        """Return the members' TCP sockets, one shared by several once."""
        found: dict[object, SocketDiag] = {}
        for member in members:
            if not isinstance(member, PortableHandle) or member.sockets is None:
                return f"sockets of process {member.identity.pid} cannot be read"
            found |= member.sockets
        return tuple(found.values())


class PortableHandle:
    """A process by psutil."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.identity = Identity(process.pid, process.create_time())
        self.sockets: dict[object, SocketDiag] | None = None

    @property
    def stdio(self) -> tuple[None, None, None]:
        """Not told."""
        return None, None, None

    def look(self, *, afresh: bool = False) -> ProcessSnapshot | None:  # noqa: ARG002  always is
        """Read it; None when it is gone."""
        try:
            if not self._process.is_running():
                return None
            with self._process.oneshot():
                diag = self._read()
            self.sockets = {} if diag.state == "Z" else _told(self._sockets)
        except psutil.ZombieProcess:
            diag, self.sockets = self._ended(), {}
        except psutil.NoSuchProcess:
            return None
        return diag

    def close(self) -> None:
        """Nothing is kept open."""

    def _read(self) -> ProcessSnapshot:
        process = self._process
        state = _STATES.get(_told(process.status) or "")
        if state == "Z":
            return self._ended()
        cpu = _told(process.cpu_times)
        switches = _told(process.num_ctx_switches)
        io = _told(getattr(process, "io_counters", _untold))  # not on macOS
        return ProcessSnapshot(
            self.identity,
            ppid=_told(process.ppid),
            pgid=_told(lambda: os.getpgid(process.pid)),
            sid=_told(lambda: os.getsid(process.pid)),
            name=_told(process.name),
            state=state,
            cpu_user=cpu.user if cpu else None,
            cpu_system=cpu.system if cpu else None,
            cpu_waited=_waited(cpu),
            rss=_told(lambda: process.memory_info().rss),
            threads=_told(process.num_threads),
            fds=_told(process.num_fds),
            voluntary_switches=switches.voluntary if switches else None,
            involuntary_switches=switches.involuntary if switches else None,
            io_read=getattr(io, "read_chars", None),
            io_written=getattr(io, "write_chars", None),
        )

    def _ended(self) -> ProcessSnapshot:
        """Return what is left of a process that nobody has waited for yet."""
        cpu = _told(self._process.cpu_times)
        return ProcessSnapshot(
            self.identity,
            ppid=_told(self._process.ppid),
            name=_told(self._process.name),
            state="Z",
            cpu_user=cpu.user if cpu else None,
            cpu_system=cpu.system if cpu else None,
            cpu_waited=_waited(cpu),
            fds=0,
        )

    def _sockets(self) -> dict[object, SocketDiag]:
        found: dict[object, SocketDiag] = {}
        # Its name before psutil 6.
        read = getattr(self._process, "net_connections", None) or self._process.connections
        for connection in read(kind="tcp"):
            if state := _TCP_STATES.get(connection.status):
                port = connection.raddr.port if connection.raddr else 0
                ends = connection.family, connection.laddr, connection.raddr
                found[ends] = SocketDiag(None, state, port)
        return found


def _told(read: Callable[[], _T]) -> _T | None:
    """Return what `read` says, None where this system or its owner keeps it to itself."""
    try:
        return read()
    except psutil.ZombieProcess:
        return None
    except _UNTOLD:
        return None


def _untold() -> None:
    return None


def _waited(cpu: object) -> float | None:
    user, system = (getattr(cpu, f"children_{mode}", None) for mode in ("user", "system"))
    return None if user is None or system is None else user + system
