"""A deep look at the members of a tree by procfs and sock_diag.

Bounded, so that a runaway tree does not hold up its watcher: what is beyond is unknown. Nothing
here can wait for a hung member: no file is opened but under /proc and the control groups, and
of those none that takes a process's memory lock.
"""

from __future__ import annotations

import time
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from otel_untether.proc_diag.backend import DeepLooks
from otel_untether.proc_diag.deep_look import DescriptorLook, ProcessLook
from otel_untether.proc_diag.linux import descriptors, procfs
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux.cgroups import Cgroups
from otel_untether.proc_diag.linux.met_sockets import MetSockets
from otel_untether.proc_diag.linux.pipes import look_at_pipes
from otel_untether.proc_diag.linux.sockets import Holder, look_at_sockets
from otel_untether.proc_diag.linux.threads import look_at_threads
from otel_untether.proc_diag.linux.unmoved import Unmoved, read_turns
from otel_untether.proc_diag.sums import ENDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_untether.proc_diag.deep_look import Reach, SocketLook, StdinLook, ThreadLook
    from otel_untether.proc_diag.linux.unmoved import Turns
    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

MAX_PROCESSES: Final = 50
MAX_THREADS: Final = 200
# Where the kernel holds a thread of a frozen group (v2, v1), for where no group can be read.
_FREEZERS: Final = ("do_freezer_trap", "__refrigerator", "refrigerator")


class Memory:
    """What is remembered from look to look: processes that do not run, and their sockets."""

    def __init__(self) -> None:
        self.unmoved = Unmoved()
        self.sockets = MetSockets()


def look(
    root: str,
    members: Sequence[ProcessSnapshot],
    agent: Identity | None,
    turns: Mapping[Identity, Turns | None],
    memory: Memory,
) -> DeepLooks:
    """Look at living members in detail; the agent's control group is the one looked at.

    `turns` are those that their threads had had just before, as far as known.
    """
    met = [
        _meet(root, member, turns.get(member.identity), memory.unmoved)
        for member in members[:MAX_PROCESSES]
    ]
    # Some end while they are looked at; only of those who have not is something unknown.
    shown = [one for one in met if one.holder is not None or _lives(root, one.member.identity)]
    problems = list(_unseen(shown, len(members) - len(met)))
    whole = not problems
    known = [one.holder for one in shown if one.holder is not None]
    sockets = look_at_sockets(known, root, memory.sockets)
    found = _Look(root, known, sockets)
    looks = [found.again(one) or found.process(one) for one in shown]
    for one, seen in zip(shown, looks, strict=True):
        if one.holder is not None and one.before is None:
            memory.unmoved.keep(one.turns, one.holder, seen)
    processes = tuple(one for one in looks if one.threads or _lives(root, one.identity))
    problems += [
        f"process {one.identity.pid} has threads that were not looked at"
        for one in processes
        if not one.all_threads
    ]
    base = f"{root}/{agent.pid if agent else 0}"
    cgroup = found.cgroups.look(base)
    net = f"{base}/net"
    refusals = procfs.parse_refusals(files.read(f"{net}/snmp"), files.read(f"{net}/snmp6"))
    pipes = tuple(look_at_pipes(known))
    known_sockets = sockets if whole else None
    return DeepLooks(processes, known_sockets, cgroup, tuple(problems), refusals, pipes)


def look_at_one(
    root: str, member: ProcessSnapshot, turns: Turns | None, memory: Memory
) -> ProcessLook | None:
    """Look at one living member as `look` does; None where its descriptors cannot be read.

    `turns` are as there. Of one that has not run since it was last seen only standard input is
    looked at again, and not whether its control group is frozen.
    """
    met = _meet(root, member, turns, memory.unmoved)
    if met.holder is None:
        return None
    met_sockets = met.holder.targets.get(0, "").startswith("socket:[")
    sockets = look_at_sockets([met.holder], root, memory.sockets) if met_sockets else ()
    found = _Look(root, [met.holder], sockets)
    if met.before is not None:
        return replace(met.before, stdin=found.stdin(met.holder.base, met.holder.targets))
    seen = found.process(met)
    memory.unmoved.keep(met.turns, met.holder, seen)
    return seen


def _unseen(shown: Sequence[_Met], left: int) -> Iterator[str]:
    """Yield whose descriptors are not known, and how many members were left out."""
    for one in shown:
        if one.holder is None:
            yield f"descriptors of process {one.member.identity.pid} cannot be read"
    if left:
        yield f"{left} more processes were not looked at"


def _lives(root: str, identity: Identity) -> bool:
    raw = files.read(f"{root}/{identity.pid}/stat")
    if raw is None:
        return False
    stat = procfs.parse_stat(raw)
    return stat.start_time == identity.start_time and stat.state not in ENDED


class _Met(NamedTuple):
    """A member, the turns that its threads have had, and what it holds.

    `before` is what was seen of it earlier if it has not run since, else `threads` are those of
    its threads that have not.
    """

    member: ProcessSnapshot
    turns: Turns | None
    holder: Holder | None
    before: ProcessLook | None = None
    threads: Mapping[str, ThreadLook] = MappingProxyType({})


def _meet(root: str, member: ProcessSnapshot, turns: Turns | None, unmoved: Unmoved) -> _Met:
    base = f"{root}/{member.identity.pid}"
    if turns is None or len(turns) > MAX_THREADS:
        turns = read_turns(base, MAX_THREADS)  # first: what runs meanwhile is seen to have run
    seen = unmoved.recall(member.identity, turns)
    if seen is not None:
        return _Met(member, turns, seen.holder, seen.look)
    targets = descriptors.read_targets(base)
    if not targets and (living := _living_thread(base)):
        base, targets = living, descriptors.read_targets(living)
    holder = None
    if targets is not None:
        holder = Holder(member.identity, member.name, base, targets)
    return _Met(member, turns, holder, threads=unmoved.threads(member.identity, turns))


def _living_thread(base: str) -> str | None:
    """Return the directory of a living thread if the main one has ended: that shows nothing."""
    raw = files.read(f"{base}/stat")
    if raw is None or procfs.parse_stat(raw).state not in ENDED:
        return None
    for tid in files.listing(f"{base}/task") or ():
        raw = files.read(f"{base}/task/{tid}/stat")
        if raw and procfs.parse_stat(raw).state not in ENDED:
            return f"{base}/task/{tid}"
    return None


class _Look:
    """One look; what the members have in common is read once."""

    def __init__(self, root: str, holders: Sequence[Holder], sockets: Sequence[SocketLook]) -> None:
        self._root = root
        self._holders = holders
        self._sockets = {socket.inode: socket for socket in sockets}
        self._writers: dict[str, Reach] = {}

    @cached_property
    def cgroups(self) -> Cgroups:
        """The control groups."""
        return Cgroups(self._root)

    def again(self, met: _Met) -> ProcessLook | None:
        """Look at what may have changed of a member that has not run, None for any other."""
        if met.before is None or met.holder is None:
            return None
        member, base = met.member, met.holder.base
        return replace(
            met.before,
            ppid=member.ppid,
            pgid=member.pgid,
            sid=member.sid,
            stdin=self.stdin(base, met.holder.targets),
            frozen=self._frozen(base, met.before.threads),
            at=time.monotonic(),
        )

    def process(self, met: _Met) -> ProcessLook:
        """Look at one member."""
        member = met.member
        base = f"{self._root}/{member.identity.pid}"
        targets = met.holder.targets if met.holder else None
        shown = met.holder.base if met.holder else base
        at = time.monotonic()
        threads, whole = look_at_threads(base, MAX_THREADS, targets or {}, met.turns, met.threads)
        io = files.read(f"{base}/io")
        raw = files.read(f"{base}/stat")
        stat = procfs.parse_stat(raw) if raw else None
        return ProcessLook(
            member.identity,
            member.ppid,
            member.pgid,
            member.sid,
            stat.name if stat else member.name,
            stat.state if stat else None,
            threads,
            all_threads=whole,
            descriptors=None if targets is None else _as_looks(targets),
            stdin=self.stdin(shown, targets),
            terminal=None if stat is None else stat.tty != 0,
            holds_terminal=None if targets is None else _holds_terminal(targets),
            polls_terminal=None if targets is None else _polls_terminal(shown, targets),
            frozen=self._frozen(base, threads),
            io_read=procfs.parse_field(io, b"rchar"),
            io_written=procfs.parse_field(io, b"wchar"),
            disk_read=procfs.parse_field(io, b"read_bytes"),
            disk_written=procfs.parse_field(io, b"write_bytes"),
            at=at,
        )

    def _frozen(self, base: str, threads: Sequence[ThreadLook] | None) -> bool | None:
        frozen = self.cgroups.frozen(base)
        if frozen is None and threads and all(thread.placed for thread in threads):
            frozen = any((thread.wchan or "").startswith(_FREEZERS) for thread in threads)
        return frozen

    def stdin(self, base: str, targets: Mapping[int, str] | None) -> StdinLook:
        """Look at the standard input of a member."""
        target = (targets or {}).get(0, "")
        writer = self._writer(target) if target.startswith("pipe:[") else None
        return descriptors.look_at_stdin(base, targets, writer, self._sockets)

    def _writer(self, pipe: str) -> Reach:
        """Return who holds the writing end of a pipe: this process, a member, or anybody else."""
        if pipe not in self._writers:
            self._writers[pipe] = self._find_writer(pipe)
        return self._writers[pipe]

    def _find_writer(self, pipe: str) -> Reach:
        if descriptors.own_writing_end(self._root, pipe):
            return "watcher"
        inside = (descriptors.holds_writing_end(h.base, h.targets, pipe) for h in self._holders)
        return "inside" if any(inside) else "outside"


def _as_looks(targets: Mapping[int, str]) -> tuple[DescriptorLook, ...]:
    return tuple(DescriptorLook(number, target) for number, target in targets.items())


def _holds_terminal(targets: Mapping[int, str]) -> bool:
    return any(map(descriptors.is_terminal, targets.values()))


def _polls_terminal(base: str, targets: Mapping[int, str]) -> bool:
    """Whether an epoll set waits for input of a terminal: as libuv's, so node's, and tokio's do."""
    if not _holds_terminal(targets):
        return False
    watched = descriptors.polled_by(base, targets)
    return any(descriptors.is_terminal(targets.get(number, "")) for number in watched)
