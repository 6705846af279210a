"""Which runs may go, and their going."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from otel_untether.store import run_folder
from otel_untether.store.files import lines
from otel_untether.store.remains import all_ended_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


class Limits(Struct, frozen=True):
    """What is kept: runs up to an age (s), a number, a total size (bytes).

    One that has changed within `fresh` seconds does not go for the number alone.
    """

    age: float
    runs: int
    size: int
    fresh: float = 0.0

    def keep(self, index: int, age: float, total: int) -> bool:
        """Tell whether the run at this place is kept, of this age, with so many bytes until it."""
        fresh = self.fresh > 0 and age <= self.fresh
        many = max(self.runs, _MOST_FRESH) if fresh else self.runs
        return age <= self.age and index < many and total <= self.size


# The newest runs stay before any other: they are what `report` is asked for.
_NEWEST: Final = 10
# Each run looks at all that are kept.
_MOST_FRESH: Final = 1_000


class Pruned(Struct, frozen=True):
    """What was deleted: folders, and of those how many a collector has not had all of.

    `spans` is the number of spans that are nowhere now. `held_back` folders stay past a limit, as
    nobody could be told.
    """

    folders: list[Path]
    undelivered: int = 0
    spans: int = 0
    held_back: int = 0


def prune(
    folders: Iterable[Path],
    now: int,
    limits: Limits,
    *,
    in_use: Callable[[Path, float], bool],
    remove: Callable[[Path], bool] = run_folder.remove,
    may_forget: Callable[[], bool] = lambda: True,
) -> Pruned:
    """Delete the folders past a limit, given newest first; return which.

    Runs that a collector should have had, and has not, go last: after those that are delivered,
    and the oldest first. `now` is in ns since the epoch. `in_use` is asked, with a folder and its
    age, before it goes; one that stays still counts. `remove` deletes one and says if it is gone.
    `may_forget` is asked before one goes that no collector has had, which somebody is to be told.
    """
    pruned = Pruned([])
    held_back = total = 0
    for index, found in enumerate(_by_worth(map(_look, folders))):
        path, age = found.path, now / 1e9 - found.changed
        total += found.size
        if limits.keep(index, age, total) or in_use(path, age):
            continue
        waiting = found.undelivered
        if waiting and not may_forget():
            held_back += 1
            continue
        spans = undelivered_spans(path) if waiting else 0
        if remove(path):
            pruned.folders.append(path)
            pruned = Pruned(pruned.folders, pruned.undelivered + waiting, pruned.spans + spans)
    return msgspec.structs.replace(pruned, held_back=held_back)


class _Look(Struct, frozen=True):
    """A folder; `changed` is when anything in it was, in s since the epoch."""

    path: Path
    size: int
    changed: float
    undelivered: bool


def _look(path: Path) -> _Look:
    """Look at a folder, once and without much ado: each run looks at two hundred."""
    size, changed, undelivered = 0, 0.0, False
    with contextlib.suppress(OSError):
        changed = path.lstat().st_mtime
        with os.scandir(path) as entries:
            for entry in entries:
                undelivered |= entry.name == run_folder.UNDELIVERED
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size
                    changed = max(changed, status.st_mtime)
    return _Look(path, size, changed, undelivered)


def _by_worth(newest_first: Iterable[_Look]) -> list[_Look]:
    """Sort folders by how long they are to stay."""
    found = list(newest_first)
    return found[:_NEWEST] + sorted(found[_NEWEST:], key=lambda each: not each.undelivered)


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
