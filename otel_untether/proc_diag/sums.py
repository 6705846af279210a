"""Adding up a tree: a sum is unknown as soon as a living member's part of it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .accounting import Account, Meter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .model import Identity, ProcessDiag

ENDED: Final = ("Z", "X")


def total(values: Iterable[int | None]) -> int | None:
    """Add up; None when there is a None."""
    result = 0
    for value in values:
        if value is None:
            return None
        result += value
    return result


def living(processes: Iterable[ProcessDiag]) -> list[ProcessDiag]:
    """Leave out those that ended and only wait to be waited for."""
    return [process for process in processes if process.state not in ENDED]


class Meters:
    """What a tree has used so far, from look to look."""

    def __init__(self) -> None:
        self._cpu, self._leader, self._read, self._written = Meter(), Meter(), Meter(), Meter()

    def cpu(self, at: float, processes: Sequence[ProcessDiag]) -> tuple[float | None, float | None]:
        """Return CPU seconds, and cores since the previous reading."""
        return self._cpu.read(at, _accounts(processes, _cpu_used))

    def leader_cpu(self, at: float, leader: ProcessDiag | None) -> float | None:
        """Return the leader's own cores since the previous reading."""
        return self._leader.read(at, _accounts([leader], _cpu_own) if leader else None)[1]

    def io(self, at: float, processes: Sequence[ProcessDiag]) -> tuple[int | None, int | None]:
        """Return bytes read and bytes written."""
        read, _ = self._read.read(at, _accounts(processes, lambda process: process.io_read))
        written, _ = self._written.read(at, _accounts(processes, lambda p: p.io_written))
        return _whole(read), _whole(written)


def _accounts(
    processes: Iterable[ProcessDiag], used: Callable[[ProcessDiag], float | None]
) -> Mapping[Identity, Account] | None:
    accounts = {}
    for process in processes:
        if (amount := used(process)) is not None:
            accounts[process.identity] = Account(amount, process.ppid)
        elif process.state not in ENDED:
            return None
    return accounts


def _cpu_own(process: ProcessDiag) -> float | None:
    if process.cpu_user is None or process.cpu_system is None:
        return None
    return process.cpu_user + process.cpu_system


def _cpu_used(process: ProcessDiag) -> float | None:
    own = _cpu_own(process)
    return None if own is None else own + (process.cpu_waited or 0.0)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
