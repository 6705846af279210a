"""Which runs may go, and their going."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_untether.store import run_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Limits(NamedTuple):
    """What is kept: runs up to an age (s), a number, a total size (bytes)."""

    age: float
    runs: int
    size: int


def prune(
    folders: Iterable[Path],
    now: int,
    limits: Limits,
    *,
    in_use: Callable[[Path, float], bool],
) -> list[Path]:
    """Delete the folders past a limit, given newest first; return which.

    `now` is in ns since the epoch. `in_use` is asked, with a folder and its age, before it
    goes; one that stays still counts.
    """
    deleted: list[Path] = []
    total = 0
    for index, path in enumerate(folders):
        total += _size(path)
        age = _age(path, now)
        if age <= limits.age and index < limits.runs and total <= limits.size:
            continue
        if not in_use(path, age) and run_folder.remove(path):
            deleted.append(path)
    return deleted


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
