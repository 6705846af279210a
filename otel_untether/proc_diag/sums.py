"""Adding up a tree: a sum is unknown as soon as a living member's part of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from otel_untether.proc_diag.accounting import Account, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_untether.proc_diag.snapshot import Identity, ProcessSnapshot

ENDED: Final = ("Z", "X")


def total(values: Iterable[int | None]) -> int | None:
    """Add up; None when there is a None."""
    result = 0
    for value in values:
        if value is None:
            return None
        result += value
    return result


def living(processes: Iterable[ProcessSnapshot]) -> list[ProcessSnapshot]:
    """Leave out those that ended and only wait to be waited for."""
    return [process for process in processes if process.state not in ENDED]


class Sums(Struct, frozen=True):
    """What the living members have, and what all members have used."""

    rss: int | None
    threads: int | None
    fds: int | None
    cpu_time: float | None
    cpu_rate: float | None
    leader_cpu_rate: float | None
    io_read: int | None
    io_written: int | None


class Adder:
    """Adds a tree up, from look to look."""

    def __init__(self) -> None:
        self._cpu, self._leader, self._read, self._written = Meter(), Meter(), Meter(), Meter()
        self._leads: Identity | None = None
        self._last: tuple[ProcessSnapshot, ...] | None = None
        self._sums: Sums | None = None

    def add(
        self, at: float, processes: tuple[ProcessSnapshot, ...], leader: ProcessSnapshot | None
    ) -> Sums:
        """Add up what a look at `at` (monotonic, seconds) found."""
        unchanged = self._sums and processes == self._last  # mostly the very same objects
        if self._sums and unchanged and self._leads == (leader and leader.identity):
            return self._same(at, self._sums)
        alive = living(processes)
        if leader and self._leads not in (leader.identity, None):
            self._leader = Meter()  # another one's account says nothing about this one's
        self._leads = leader.identity if leader else None
        cpu_time, cpu_rate = self._cpu.read(at, _accounts(processes, _cpu_used))
        _, leader_rate = self._leader.read(at, _accounts([leader], _cpu_own) if leader else None)
        read, _ = self._read.read(at, _accounts(processes, lambda process: process.io_read))
        written, _ = self._written.read(at, _accounts(processes, lambda p: p.io_written))
        self._last = processes
        self._sums = Sums(
            rss=total(process.rss for process in alive),
            threads=total(process.threads for process in alive),
            fds=total(process.fds for process in alive),
            cpu_time=cpu_time,
            cpu_rate=cpu_rate,
            leader_cpu_rate=leader_rate,
            io_read=_whole(read),
            io_written=_whole(written),
        )
        return self._sums

    def _same(self, at: float, sums: Sums) -> Sums:
        _, cpu_rate = self._cpu.same(at)
        _, leader_rate = self._leader.same(at)
        self._read.same(at)
        self._written.same(at)
        return replace(sums, cpu_rate=cpu_rate, leader_cpu_rate=leader_rate)


def _accounts(
    processes: Iterable[ProcessSnapshot], used: Callable[[ProcessSnapshot], float | None]
) -> Mapping[Identity, Account] | None:
    accounts = {}
    for process in processes:
        if (amount := used(process)) is not None:
            accounts[process.identity] = Account(amount, process.ppid)
        elif process.state not in ENDED:
            return None
    return accounts


def _cpu_own(process: ProcessSnapshot) -> float | None:
    if process.cpu_user is None or process.cpu_system is None:
        return None
    return process.cpu_user + process.cpu_system


def _cpu_used(process: ProcessSnapshot) -> float | None:
    own = _cpu_own(process)
    return None if own is None else own + (process.cpu_waited or 0.0)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
