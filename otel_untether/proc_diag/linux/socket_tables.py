"""TCP sockets by network namespace, each table read at most once per pass.

`/proc/<pid>/net/tcp` lists the whole namespace of that process, other people's connections
included: whose a socket is, only the inodes among a process's descriptors say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import procfs, sock_diag

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from otel_untether.proc_diag.snapshot import SocketDiag


class SocketTables:
    """The tables of one pass. Fill `wanted` with all inodes before the first lookup."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.wanted: set[int] = set()
        self._own: dict[int, SocketDiag] | None = None
        self._own_namespace = _namespace(f"{root}/self")
        self._others: dict[int, dict[int, SocketDiag] | None] = {}

    def lookup(self, pid: int, inodes: AbstractSet[int]) -> dict[int, SocketDiag] | str:
        """Return which of a process's socket inodes are TCP, or why that cannot be told."""
        if not inodes:
            return {}
        if self._own is None:
            self._own = self._read_own()
        found = {inode: self._own[inode] for inode in inodes if inode in self._own}
        if len(found) == len(inodes):
            return found
        # The rest are of another kind (unix, udp), or belong to another namespace.
        namespace = _namespace(f"{self._root}/{pid}")
        if namespace is None:
            return f"network namespace of process {pid} cannot be told"
        table = self._table(namespace, pid)
        if table is None:
            return f"TCP table of process {pid}'s network namespace cannot be read"
        return found | {inode: table[inode] for inode in inodes if inode in table}

    def _table(self, namespace: int, pid: int) -> dict[int, SocketDiag] | None:
        if namespace not in self._others:
            self._others[namespace] = read_net_tcp(f"{self._root}/{pid}/net")
        return self._others[namespace]

    def _read_own(self) -> dict[int, SocketDiag]:
        """Read this process's own namespace, unless both ways are barred."""
        try:
            table = sock_diag.dump(self.wanted)
        except OSError:
            return {}
        if self._own_namespace is not None:
            self._others[self._own_namespace] = table
        return table


def read_net_tcp(directory: str) -> dict[int, SocketDiag] | None:
    """Read `tcp` and `tcp6` of a /proc/<pid>/net; None when there is no reading them."""
    if (tcp := files.read(f"{directory}/tcp")) is None:
        return None
    tcp6 = files.read(f"{directory}/tcp6")  # absent where IPv6 is compiled out
    return procfs.parse_net_tcp(tcp) | procfs.parse_net_tcp(tcp6 or b"")


def _namespace(base: str) -> int | None:
    link = files.link(f"{base}/ns/net")
    return None if link is None else int(link.removeprefix("net:[").removesuffix("]"))
