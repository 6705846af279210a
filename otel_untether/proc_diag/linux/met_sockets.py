"""TCP sockets that an earlier look met, asked for one by one.

A dump is a walk over the kernel's whole table, 1.3 ms for one of 262,144 buckets however few
sockets there are; a socket asked for by its addresses and cookie costs a few µs. Deep looks at a
silent tree come one after the other, and mostly find the very same sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.proc_diag.linux import raw_sockets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from otel_untether.proc_diag.linux.raw_sockets import RawSocket

_FEW: Final = 64  # more than these are dumped
_MOST: Final = 4096  # remembered


class MetSockets:
    """Remembers, by inode, how to ask for TCP sockets, and which sockets are none."""

    def __init__(self) -> None:
        self._keys: dict[int, bytes] = {}
        self._others: set[int] = set()

    def ask(self, wanted: AbstractSet[int]) -> dict[int, RawSocket] | None:
        """Return the wanted TCP sockets as they are now.

        None if one of the wanted was never met, or is not what it was: then only a dump tells.
        """
        keys = {inode: key for inode in wanted if (key := self._keys.get(inode))}
        if len(keys) > _FEW or not keys.keys() | self._others >= wanted:
            return None
        try:
            found = raw_sockets.tcp_one_by_one(keys.values())
        except OSError:  # one is gone, or this is a kernel that tells only dumps
            found = {}
        if found.keys() != keys.keys():
            self._keys = {inode: key for inode, key in self._keys.items() if inode not in keys}
            return None
        return found

    def learn(self, keys: Mapping[int, bytes], others: Iterable[int]) -> None:
        """Remember TCP sockets by their keys (`raw_sockets.tcp`), and inodes of other families."""
        if len(self._keys) + len(self._others) >= _MOST:
            self._keys, self._others = {}, set()
        self._keys.update(keys)
        self._others.update(others)
