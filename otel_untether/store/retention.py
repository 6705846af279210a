"""Which runs may go, and their going."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.store import run_folder
from otel_untether.store.files import lines
from otel_untether.store.remains import all_ended_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Limits(NamedTuple):
    """What is kept: runs up to an age (s), a number, a total size (bytes)."""

    age: float
    runs: int
    size: int


# The newest runs stay before any other: they are what `report` is asked for.
_NEWEST: Final = 10


class Pruned(NamedTuple):
    """What was deleted: folders, and of those how many a collector has not had all of.

    `spans` is the number of spans that are nowhere now.
    """

    folders: list[Path]
    undelivered: int = 0
    spans: int = 0


def prune(
    folders: Iterable[Path],
    now: int,
    limits: Limits,
    *,
    in_use: Callable[[Path, float], bool],
    remove: Callable[[Path], bool] = run_folder.remove,
) -> Pruned:
    """Delete the folders past a limit, given newest first; return which.

    Runs that a collector should have had, and has not, go last: after those that are delivered,
    and the oldest first. `now` is in ns since the epoch. `in_use` is asked, with a folder and its
    age, before it goes; one that stays still counts. `remove` deletes one and says if it is gone.
    """
    pruned = Pruned([])
    total = 0
    for index, path in enumerate(_by_worth(folders)):
        total += _size(path)
        age = _age(path, now)
        if age <= limits.age and index < limits.runs and total <= limits.size:
            continue
        if in_use(path, age):
            continue
        waiting = is_undelivered(path)
        spans = undelivered_spans(path) if waiting else 0
        if remove(path):
            pruned.folders.append(path)
            pruned = Pruned(pruned.folders, pruned.undelivered + waiting, pruned.spans + spans)
    return pruned


def _by_worth(folders: Iterable[Path]) -> list[Path]:
    """Sort folders by how long they are to stay, those given newest first."""
    newest_first = list(folders)
    rest = newest_first[_NEWEST:]
    return newest_first[:_NEWEST] + sorted(rest, key=lambda path: not is_undelivered(path))


def is_undelivered(path: Path) -> bool:
    """Whether something is left in a run's folder that was meant for a collector."""
    return (path / run_folder.UNDELIVERED).exists()


def undelivered_spans(path: Path) -> int:
    """Return how many of the spans in a run's folder no collector has had."""
    delivered: set[bytes] = set()
    with contextlib.suppress(OSError):
        for line in lines(path / run_folder.DELIVERED):
            what, *keys = line.split() or [b""]
            if what.partition(b":")[0] == b"traces":
                delivered.update(keys)
    return max(0, all_ended_in(path / run_folder.TRACES) - len(delivered))


def _files(path: Path) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError):
        yield from os.scandir(path)


def _size(path: Path) -> int:
    size = 0
    for entry in _files(path):
        with contextlib.suppress(OSError):
            size += entry.stat(follow_symlinks=False).st_size
    return size


def _age(path: Path, now: int) -> float:
    """Return the seconds since anything in the folder changed."""
    times = [0.0]
    for entry in (path, *(Path(entry.path) for entry in _files(path))):
        with contextlib.suppress(OSError):
            times.append(entry.stat(follow_symlinks=False).st_mtime)
    return now / 1e9 - max(times)
