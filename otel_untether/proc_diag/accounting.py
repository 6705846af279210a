"""How much a tree used, though its members come and go.

The kernel adds what a child used to its parent's account when the parent waits for it: without
that a build of a thousand short compilers, none of which a sample ever meets, would cost
nothing. With it, care is needed to count nobody twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.proc_diag.snapshot import Identity


class Account(Struct, frozen=True):
    """What a member used, waited-for children included, and whose child it is."""

    used: float
    ppid: int | None


def used_between(before: Mapping[Identity, Account], after: Mapping[Identity, Account]) -> float:
    """Return what the tree used between two looks.

    What a vanished member had used is found again in the account of its nearest ancestor still
    there, and is taken off that; an ancestor that never waited for it (SIGCHLD ignored) does
    not go below zero for it.
    """
    grown = {
        identity: account.used - (before[identity].used if identity in before else 0)
        for identity, account in after.items()
    }
    pids_before = {identity.pid: identity for identity in before}
    for identity in before.keys() - after.keys():
        if heir := _heir(identity, before, pids_before, after):
            grown[heir] -= before[identity].used
    return sum(max(0.0, growth) for growth in grown.values())


def _heir(
    identity: Identity,
    before: Mapping[Identity, Account],
    pids_before: Mapping[int, Identity],
    after: Mapping[Identity, Account],
) -> Identity | None:
    seen = {identity}
    while (ppid := before[identity].ppid) is not None and (parent := pids_before.get(ppid)):
        if parent in after or parent in seen:
            return parent if parent in after else None
        seen.add(parent)
        identity = parent
    return None


class Meter:
    """A total that never goes back; unknown readings leave a gap that the next one closes."""

    def __init__(self) -> None:
        self._accounts: Mapping[Identity, Account] | None = None
        self._known = False
        self._at = 0.0
        self._total = 0.0

    def same(self, at: float) -> tuple[float | None, float | None]:
        """Return what `read` would for the very same accounts as last time, cheaply."""
        if self._accounts is None or not self._known:
            return None, None
        elapsed, self._at = at - self._at, at
        return self._total, 0.0 if elapsed > 0 else None

    def read(
        self, at: float, accounts: Mapping[Identity, Account] | None
    ) -> tuple[float | None, float | None]:
        """Return the total and the rate since the last known reading, None where unknown."""
        self._known = accounts is not None
        if accounts is None:
            return None, None
        before, elapsed = self._accounts, at - self._at
        used = used_between(before or {}, accounts)
        self._total += used
        self._accounts, self._at = accounts, at
        return self._total, used / elapsed if before is not None and elapsed > 0 else None
