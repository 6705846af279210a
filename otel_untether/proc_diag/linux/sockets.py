"""The sockets of a tree, of every family, and where each leads.

Whose a socket is, only the inodes among a process's descriptors say; what it is, the tables of
its network namespace. Joined, the two ends of a socket pair, or of a connection to a server of
the tree's own, are recognised, and are no way in from outside.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.proc_diag.deep_look import SocketLook
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import raw_sockets
from otel_untether.proc_diag.linux.descriptors import socket_inode
from otel_untether.proc_diag.linux.raw_sockets import RawSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from otel_untether.proc_diag.deep_look import Reach, SocketFamily
    from otel_untether.proc_diag.linux.met_sockets import MetSockets
    from otel_untether.proc_diag.snapshot import Identity

# The kernel's own name of a socket's protocol (struct proto), as an attribute of its descriptor.
_PROTOCOL: Final = "system.sockprotoname"
_FAMILIES: Final[Mapping[str, SocketFamily]] = {
    "TCP": "tcp", "TCPv6": "tcp", "UDP": "udp", "UDPv6": "udp", "UNIX": "unix",
    "UNIX-STREAM": "unix", "NETLINK": "netlink", "PACKET": "packet", "AF_VSOCK": "vsock",
}  # fmt: skip


class Holder(NamedTuple):
    """A member and its descriptors; `base` is its directory in /proc."""

    identity: Identity
    name: str | None
    base: str
    targets: Mapping[int, str]


class _Held(NamedTuple):
    """Who holds a socket: its first holder, the descriptors there, and the pids of all."""

    owner: Holder
    numbers: tuple[int, ...]
    pids: tuple[int, ...]


def look_at_sockets(
    holders: Sequence[Holder], root: str, met: MetSockets
) -> tuple[SocketLook, ...]:
    """Return every socket that the members hold, each once, in the order of its owners.

    `met` remembers from look to look what they were.
    """
    held: dict[int, _Held] = {}
    for holder in holders:
        _hold(holder, held)
    if not held:
        return ()
    tables = _Tables(held, root, met)
    return tuple(tables.describe(inode, one) for inode, one in held.items())


def _hold(holder: Holder, held: dict[int, _Held]) -> None:
    pid = holder.identity.pid
    for number, target in holder.targets.items():
        if (inode := socket_inode(target)) is None:
            continue
        one = held.setdefault(inode, _Held(holder, (), ()))
        numbers = (*one.numbers, number) if one.owner is holder else one.numbers
        pids = one.pids if pid in one.pids else (*one.pids, pid)
        held[inode] = _Held(one.owner, numbers, pids)


class _Tables:
    """What the kernel's tables say of the sockets held, for one look.

    `_own` are the inodes of this process, which watches: the other end may be here. `_told` is
    whether netlink answered, `_whole` whether it or the text tables told all.
    """

    def __init__(self, held: Mapping[int, _Held], root: str, met: MetSockets) -> None:
        self._held = held
        self._own = own_sockets(root)
        self._here = namespace(f"{root}/self")
        self._whole = True
        self._met = met
        self._found = self._read_own(held.keys() | self._own, root)
        self._read_others()
        self._ends = {(one.local, one.remote): one.inode for one in self._found.values()}

    def _read_own(self, wanted: AbstractSet[int], root: str) -> dict[int, RawSocket]:
        """Read our own network namespace: by netlink, and by its text tables where that fails.

        Each dump is a walk over all sockets of its kind, so the next is asked for only while
        something is missing, and the first only if not all was met before.
        """
        found = self._met.ask(wanted)
        if found is not None:
            return self._read_on(found, wanted, root, raw_sockets.unix, raw_sockets.udp)
        keys: dict[int, bytes] = {}

        def tcp(wanted: AbstractSet[int]) -> dict[int, RawSocket]:
            return raw_sockets.tcp(wanted, keys)

        found = self._read_on({}, wanted, root, tcp, raw_sockets.unix, raw_sockets.udp)
        if self._told:  # of our own those that are in no dump may be anything but connected
            self._met.learn(keys, (found.keys() | self._own) - keys.keys())
        return found

    def _read_on(
        self,
        found: dict[int, RawSocket],
        wanted: AbstractSet[int],
        root: str,
        *readers: Callable[[AbstractSet[int]], dict[int, RawSocket]],
    ) -> dict[int, RawSocket]:
        failed = False
        for read in readers:
            if found.keys() >= self._held.keys():
                break
            try:
                found |= read(wanted)
            except OSError:
                failed = True
        self._told = not failed
        if failed:
            tables = raw_sockets.from_tables(f"{root}/self/net", wanted)
            self._whole = tables is not None
            found = {**(tables or {}), **found}
        return found

    def _read_others(self) -> None:
        """Read the namespaces of members who hold what is not in ours."""
        seen = {self._here}
        for base in {one.owner.base for inode, one in self._held.items() if self._lacks(inode)}:
            if (there := namespace(base)) not in seen:
                seen.add(there)
                tables = raw_sockets.from_tables(f"{base}/net", self._held.keys())
                self._found = {**(tables or {}), **self._found}

    def _lacks(self, inode: int) -> bool:
        return inode not in self._found

    def describe(self, inode: int, held: _Held) -> SocketLook:
        """Put together what is known of a socket."""
        raw = self._found.get(inode)
        raw, reach = (raw, self._reach(raw)) if raw else self._unlisted(inode, held)
        return SocketLook(
            inode,
            raw.family,
            held.owner.identity,
            held.owner.name,
            held.pids,
            held.numbers,
            raw.state,
            raw.local,
            raw.remote,
            reach,
            raw.peer_inode,
            raw.send_queue,
            raw.receive_queue,
            raw.send_age,
            raw.receive_age,
            raw.bytes_sent,
            raw.bytes_received,
        )

    def _reach(self, raw: RawSocket) -> Reach | None:
        if raw.state == "LISTEN":
            return "outside"
        if raw.family == "unix":
            return self._reach_of_unix(raw)
        if raw.remote is None:
            return "outside" if raw.family == "udp" else "nowhere"
        return self._holder_of(self._ends.get((raw.remote, raw.local))) or "outside"

    def _reach_of_unix(self, raw: RawSocket) -> Reach | None:
        if raw.state == "CLOSE" and raw.local is None and not raw.peer_inode:
            return "nowhere"  # neither connected nor named
        if not raw.peered:
            return None
        if raw.peer_inode is None and raw.state == "CLOSE_WAIT":
            return "nowhere"  # the other end is closed for good
        return self._holder_of(raw.peer_inode) or "outside"

    def _holder_of(self, inode: int | None) -> Reach | None:
        if inode in self._held:
            return "inside"
        return "watcher" if inode in self._own else None

    def _unlisted(self, inode: int, held: _Held) -> tuple[RawSocket, Reach | None]:
        """Tell what a socket is that is in no table, by the name of its protocol."""
        family = protocol(f"{held.owner.base}/fd/{held.numbers[0]}")
        raw = RawSocket(inode, family or "other")
        if family is None:
            return raw, None
        if family == "netlink":
            return raw, "kernel"
        if family not in ("tcp", "udp", "unix"):
            return raw, "outside"
        here = self._here is not None and namespace(held.owner.base) == self._here
        if family == "unix" or not (here and self._whole):
            return raw, None
        return raw._replace(state="CLOSE"), "nowhere"  # the tables omit what was never bound


def own_sockets(root: str) -> frozenset[int]:
    """Return the inodes of this process's own sockets."""
    directory = f"{root}/self/fd"
    links = (files.link(f"{directory}/{name}") for name in files.listing(directory) or ())
    return frozenset(inode for link in links if link and (inode := socket_inode(link)) is not None)


def namespace(base: str) -> int | None:
    """Return the network namespace of the process at `base`, None if that is not told."""
    link = files.link(f"{base}/ns/net")
    return None if link is None else int(link.removeprefix("net:[").removesuffix("]"))


def protocol(path: str) -> SocketFamily | None:
    """Return the family of the socket behind a descriptor, None if that is not told."""
    with contextlib.suppress(OSError):
        name = os.getxattr(path, _PROTOCOL).rstrip(b"\0").decode(errors="replace")
        return _FAMILIES.get(name, "other")
    return None
