"""What one look at a process tree says.

Every value may be None, which means *unknown* (no permission, vanished, not supported here)
and never zero: unknown must not count as idle, and never supports a kill. Times in seconds,
sizes in bytes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

# Linux's one-letter process states (proc(5)): R running, S sleeping, D disk sleep, Z zombie,
# T stopped, t tracing stop, X dead, I idle kernel thread.

ProcessState: TypeAlias = Literal["R", "S", "D", "Z", "T", "t", "X", "I"]
TcpState: TypeAlias = Literal[
    "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
    "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
]  # fmt: skip


class Identity(Struct, frozen=True):
    """A process that cannot be mistaken for another: pids are recycled, start times are not.

    `start_time` is in clock ticks since boot on Linux (field 22 of /proc/pid/stat), seconds
    since the epoch elsewhere; compare it only for equality.
    """

    pid: int
    start_time: float


class ProcessSnapshot(Struct, frozen=True):
    """One process of the tree.

    `name` is the kernel's (comm), never from the command line. `cpu_waited` is the CPU time of
    children that have ended and were waited for, so that a burst of short ones is not lost
    between two samples. The context switches are those of the main thread. `io_read` and
    `io_written` count what passed through read and write calls, pipes included; receiving from
    a socket does not count. `wchan` is None also while the process runs.
    """

    identity: Identity
    ppid: int | None = None
    pgid: int | None = None
    sid: int | None = None
    name: str | None = None
    state: ProcessState | None = None
    cpu_user: float | None = None
    cpu_system: float | None = None
    cpu_waited: float | None = None
    rss: int | None = None
    threads: int | None = None
    fds: int | None = None
    wchan: str | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    io_read: int | None = None
    io_written: int | None = None
    detached: bool = False  # left the leader's process group and session, or was reparented


class SocketDiag(Struct, frozen=True):
    """One TCP socket that a process of the tree holds; ages in seconds, queues in bytes.

    `receive_age` and `send_age` are the time since data last came and went, or since the
    connection was made. A socket that several processes share is listed once.
    """

    inode: int | None
    state: TcpState
    remote_port: int
    send_queue: int | None = None
    receive_queue: int | None = None
    receive_age: float | None = None
    send_age: float | None = None


class HostDiag(Struct, frozen=True):
    """The machine. Pressures are PSI averages over 10 s, in per cent."""

    memory_available: int | None = None
    load1: float | None = None
    pressure_cpu_some: float | None = None
    pressure_memory_some: float | None = None
    pressure_memory_full: float | None = None
    pressure_io_some: float | None = None


class CgroupDiag(Struct, frozen=True):
    """The cgroup (v2) of the leader; `memory_max` None also where there is no limit."""

    path: str | None = None
    memory_current: int | None = None
    memory_max: int | None = None
    oom_kills: int | None = None
    throttled: float | None = None


class TreeSnapshot(Struct, frozen=True):
    """A process tree at one moment.

    `at` is `time.monotonic()`. `alive` is that of the process that was spawned: True, False, or
    None when that cannot be told; a zombie is not alive. `leader` is the agent itself: the same
    process, or the one that it launched in its place (`agent` tells how that is found out), in
    which case `launchers` are the spawned process and whoever stands between. `remote_client`
    names the agent's program if that is but a client of something elsewhere (docker, ssh).

    Sums are None when the value is unknown for any living member. `cpu_rate` is in cores, over
    the time since the previous sample, and None in the first one. `cpu_time` never goes back: it
    keeps what members used that have ended since. `sockets` is None when the tree's own sockets
    could not be told. `problems` says, in words, why something is unknown. `continuous` is False
    in the first sample after a gap, a beat of the sampler skipped or the machine suspended: what
    was seen before says nothing about this one. `strangers` are processes that became children
    of this one without being the tree's; they count nowhere else.
    """

    at: float
    alive: bool | None
    leader: ProcessSnapshot | None = None
    launchers: tuple[ProcessSnapshot, ...] = ()
    remote_client: str | None = None
    processes: tuple[ProcessSnapshot, ...] = ()
    sockets: tuple[SocketDiag, ...] | None = None
    cpu_time: float | None = None
    cpu_rate: float | None = None
    leader_cpu_rate: float | None = None
    rss: int | None = None
    threads: int | None = None
    fds: int | None = None
    io_read: int | None = None
    io_written: int | None = None
    host: HostDiag = field(default_factory=HostDiag)
    cgroup: CgroupDiag = field(default_factory=CgroupDiag)
    problems: tuple[str, ...] = ()
    continuous: bool = True
    strangers: tuple[ProcessSnapshot, ...] = ()

    def member(self, identity: Identity) -> ProcessSnapshot | None:
        """Return a process of the tree, None where it is not among them."""
        pid, begun = identity.pid, identity.start_time
        for process in self.processes:  # by its numbers: to compare identities takes tenfold
            if process.identity.pid == pid and process.identity.start_time == begun:
                return process
        return None

    @property
    def zombies(self) -> int:
        """Members that have ended and were not waited for."""
        return sum(process.state == "Z" for process in self.processes)

    @property
    def children(self) -> tuple[ProcessSnapshot, ...]:
        """Living members other than the leader and its launchers."""
        spared = {one.identity for one in (self.leader, *self.launchers) if one is not None}
        return tuple(
            p for p in self.processes if p.identity not in spared and p.state not in ("Z", "X")
        )
