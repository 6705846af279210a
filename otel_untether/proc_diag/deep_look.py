"""What a deep look at a process tree says: every thread, every socket, every descriptor.

A sample (`snapshot`) is cheap and taken all the time; a deep look is taken only of a session
that has been silent for long, before a verdict and with each sample that is to confirm it.

Every value may be None, which means *unknown* and never zero or "none". A tuple that is empty
was read and found empty; one that could not be read is None. Times in seconds, sizes in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct, field

if TYPE_CHECKING:
    from otel_untether.proc_diag.snapshot import Identity, ProcessState, TcpState

SocketFamily: TypeAlias = Literal["tcp", "udp", "unix", "netlink", "packet", "vsock", "other"]
# Where the other end of a socket or pipe is: nowhere, because it was never connected nor given
# an address; held in the tree itself; held by this process, which watches; the kernel
# (netlink); or anywhere else, on this machine or another.
Reach: TypeAlias = Literal["nowhere", "inside", "watcher", "kernel", "outside"]
StdinKind: TypeAlias = Literal["pipe", "socket", "terminal", "null", "file", "closed", "other"]


class ThreadLook(Struct, frozen=True):
    """One thread: its state, where in the kernel it waits, and the CPU time it has used.

    `wchan` is None while it runs, and also where the kernel does not tell us (another user's):
    see `placed`. `cpu_ticks` are clock ticks (usually 10 ms), user and system together.
    `waits_on` is the target of the descriptor that its system call is about (`pipe:[4711]`,
    `/home/u/.lock`), None where it waits in a call about no descriptor, or that is not told.
    `runs` is how often it was given a CPU: a thread that sleeps on never is. `wanted` is for how
    long it ran or waited for its turn: a loop that never sleeps wants all the time, however
    little a crowded machine gives it.
    """

    tid: int
    name: str | None = None
    state: ProcessState | None = None
    wchan: str | None = None
    cpu_ticks: int | None = None
    waits_on: str | None = None
    runs: int | None = None
    wanted: float | None = None

    @property
    def placed(self) -> bool:
        """Whether it is known what it does: it runs, has ended, or waits in a known place."""
        return self.state is not None and (self.state in "RZX" or self.wchan is not None)


class DescriptorLook(Struct, frozen=True):
    """An open descriptor: its number and what it points to, as the kernel names it.

    `target` is a path, `pipe:[inode]`, `socket:[inode]`, `anon_inode:[eventpoll]`, …
    """

    number: int
    target: str


class StdinLook(Struct, frozen=True):
    """Descriptor 0 of a process.

    `unread` is how many bytes lie in it that the process has not taken. `writer` says where
    the other end is held: in the tree, by this process, or elsewhere; `open_ended` whether
    anybody still holds it, so that input may yet come (False: at its end once `unread` is
    taken). For a terminal, `open_ended` is True: somebody may type. `target` is its name.
    """

    kind: StdinKind | None = None
    target: str | None = None
    unread: int | None = None
    writer: Reach | None = None
    open_ended: bool | None = None


class SocketLook(Struct, frozen=True):
    """A socket that a process of the tree holds.

    `owner` is the first process that holds it (members in the order they were met, the agent
    before its children), `holders` are the pids of all of them, `numbers` the descriptors it
    has in the owner. `local` and `remote` are `address:port` (`[address]:port` for IPv6), or a
    UNIX socket's path (`@name` for an abstract one); for a UNIX socket `remote` is the name its
    peer is bound to. `reach` tells where the other end is; "inside" is no connection at all: both
    ends are held in the tree. A listening socket and an unconnected one (UDP, datagrams) reach
    "outside": anybody may send something there. Ages are the time since data last came or went,
    or since the connection was made; only TCP has them, and the byte counts.
    """

    inode: int
    family: SocketFamily
    owner: Identity
    owner_name: str | None = None
    holders: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    state: TcpState | None = None
    local: str | None = None
    remote: str | None = None
    reach: Reach | None = None
    peer_inode: int | None = None
    send_queue: int | None = None
    receive_queue: int | None = None
    send_age: float | None = None
    receive_age: float | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None

    @property
    def listening(self) -> bool:
        """Whether it waits for others to connect."""
        return self.state == "LISTEN"

    @property
    def leads_out(self) -> bool:
        """Whether something may come in on it from outside the tree, as far as is known."""
        if self.reach == "watcher":
            return min(self.numbers, default=3) > 2
        return self.reach not in ("inside", "nowhere")


class ProcessLook(Struct, frozen=True):
    """One living process of the tree, in detail.

    `threads` are all of them, unless it has more than are looked at: then `all_threads` is
    False, and what the rest do is unknown. `terminal` is whether it has a controlling terminal,
    `holds_terminal` whether it has one open (/dev/tty, /dev/pts/N, …), `polls_terminal` whether
    its event loop waits for input there. `frozen` is its control
    group's state. `io_read` and `io_written` count what passed through read and write calls,
    pipes included (not what a socket received); `disk_read` and `disk_written` what reached
    the disk. `at` is when its threads were read (`time.monotonic()`).
    """

    identity: Identity
    ppid: int | None = None
    pgid: int | None = None
    sid: int | None = None
    name: str | None = None
    state: ProcessState | None = None
    threads: tuple[ThreadLook, ...] | None = None
    all_threads: bool = True
    descriptors: tuple[DescriptorLook, ...] | None = None
    stdin: StdinLook = field(default_factory=StdinLook)
    terminal: bool | None = None
    holds_terminal: bool | None = None
    polls_terminal: bool | None = None
    frozen: bool | None = None
    io_read: int | None = None
    io_written: int | None = None
    disk_read: int | None = None
    disk_written: int | None = None
    at: float = 0.0


class CgroupLook(Struct, frozen=True):
    """The control group of the agent, v2 or v1.

    `frozen` is whether it, or a group above it, is frozen (`docker pause`, `systemctl freeze`).
    The pressures are PSI averages over 10 s in per cent, of the nearest group that tells.
    `memory_max` is None also where there is no limit.
    """

    path: str | None = None
    frozen: bool | None = None
    memory_current: int | None = None
    memory_max: int | None = None
    memory_some: float | None = None
    memory_full: float | None = None
    oom_kills: int | None = None


class PipeLook(Struct, frozen=True):
    """A pipe that a process of the tree reads, and to which others can write.

    `target` is `pipe:[inode]`, or the path of a FIFO that an event loop watches; `owner` the first
    process that holds it.
    """

    target: str
    owner: Identity
    owner_name: str | None = None


class TranscriptLook(Struct, frozen=True):
    """The file of the session's transcript that was written last.

    `size` is bytes, `modified` when it was written, in seconds since the epoch.
    """

    path: str
    size: int
    modified: float


class DeepLook(Struct, frozen=True):
    """A process tree in detail, at one moment (`at`, `time.monotonic()`).

    `agent` is the process that is the agent itself: the one that was spawned, or the one that
    a launcher (a shell, `timeout`, npm's shim) started and that holds the same standard output.
    `launchers` are those before it. `remote_client` names the program when the agent is only a
    client of something that runs elsewhere (`docker`, `ssh`, `kubectl`): of the real agent
    nothing is seen. `processes` are the living members in the order they were met; `sockets`
    those of all families, None when not all members' could be told. `pipes` are those, standard
    input left aside, on which something may come in from outside the tree. `refusals` counts
    attempts to connect that failed, by anybody in the agent's network. `complete` is False when
    there was more than is looked at, or something could not be read: then `problems` say why.
    `transcript` is what the agent writes down about its session, None where it was not found.
    """

    at: float
    agent: Identity | None = None
    launchers: tuple[Identity, ...] = ()
    remote_client: str | None = None
    processes: tuple[ProcessLook, ...] = ()
    sockets: tuple[SocketLook, ...] | None = None
    pipes: tuple[PipeLook, ...] = ()
    cgroup: CgroupLook = field(default_factory=CgroupLook)
    refusals: int | None = None
    complete: bool = True
    problems: tuple[str, ...] = ()
    transcript: TranscriptLook | None = None

    @property
    def agent_process(self) -> ProcessLook | None:
        """The agent's own process, None when it was not met."""
        return next((one for one in self.processes if one.identity == self.agent), None)

    @property
    def outward(self) -> tuple[SocketLook, ...] | None:
        """Sockets on which something may come from outside, listening ones included.

        None when they are not all known. A socket of unknown reach counts: unknown is not none.
        Standard input and output that lead to this process do not: `stdin` speaks of those.
        """
        if self.sockets is None:
            return None
        return tuple(s for s in self.sockets if s.leads_out)

    @property
    def threads(self) -> tuple[ThreadLook, ...] | None:
        """Every thread of every member; None when there are some that were not looked at."""
        if not all(one.threads is not None and one.all_threads for one in self.processes):
            return None
        return tuple(thread for one in self.processes for thread in one.threads or ())
