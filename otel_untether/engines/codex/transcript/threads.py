"""Which of Codex' files are whose: each thread has one, and its first entry names its parent.

A day's folder may hold thousands of them, and is asked about each second while a session is
followed, and once for each of its files while it is replayed. So a file's first entry is read
once, and a folder is listed again only when something was made in it.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.values import Plain
from otel_untether.engines.transcript_records import first_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY: Final = re.compile(r"([12]\d{3})/(\d{2})/(\d{2})")
_DAYS: Final = 7  # for so long a session's subagents are looked for in the folders of later days
_FOLDERS: Final = 16


class _Meta(Plain):
    id: str | None = None
    parent_thread_id: str | None = None


class _Head(Plain):
    payload: _Meta | None = None


class _Folder:
    """One day's files: which thread each is, and what lies below which.

    Several sessions may ask at once, from threads of their own: what one of them does not see
    yet, or both learn, costs a look and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listed = (0, 0)
        self._unread: dict[Path, int] = {}
        self.thread_of: dict[str, str] = {}
        self.below: dict[str, list[Path]] = {}

    def refresh(self) -> None:
        """Learn of the files that were made since; none where there is no such folder.

        A folder's time may be the same before and after, if both were within a moment, so it is
        listed twice for each.
        """
        try:
            changed = self._path.stat().st_mtime_ns
        except OSError:
            return
        if self._listed != (changed, changed):
            self._listed = (self._listed[1], changed)
            for file in sorted(self._path.glob("rollout-*.jsonl")):
                if file.name not in self.thread_of and file not in self._unread:
                    self._learn(file)
        for file, size in tuple(self._unread.items()):
            if _size(file) != size:  # its first entry was not whole
                self._learn(file)

    def _learn(self, file: Path) -> None:
        self._unread[file] = _size(file)
        meta = _meta(file)
        if meta.id is None:
            return
        self._unread.pop(file, None)
        self.thread_of[file.name] = meta.id
        if meta.parent_thread_id is not None:
            self.below.setdefault(meta.parent_thread_id, []).append(file)


_folders: Final[dict[Path, _Folder]] = {}


def parent_of(path: Path) -> str | None:
    """Return the thread that started a file's; None for a session's own file.

    :param path: the file.
    """
    return _meta(path).parent_thread_id


def thread_of(path: Path) -> str | None:
    """Return which thread a file is.

    :param path: the file.
    """
    return _folder(path.parent).thread_of.get(path.name) or _meta(path).id


def threads_below(path: Path) -> list[Path]:
    """Return the files of the threads below a session's, subagents' subagents included.

    :param path: the session's file.
    """
    folders = [_folder(day) for day in _days(path.parent)]
    for folder in folders:
        folder.refresh()
    found: dict[Path, None] = {}
    above = [thread_of(path)]
    while above:
        files = [file for folder in folders for file in folder.below.get(above[0] or "", ())]
        more = [file for file in files if file not in found and file != path]
        found.update(dict.fromkeys(more))
        above = [*above[1:], *map(thread_of, more)]
    return list(found)


def _folder(path: Path) -> _Folder:
    folder = _folders.pop(path, None) or _Folder(path)
    _folders[path] = folder
    for old in tuple(_folders)[:-_FOLDERS]:
        _folders.pop(old, None)
    return folder


def _days(folder: Path) -> Iterator[Path]:
    """Yield a day's folder and those of the days after, in which its sessions may go on."""
    yield folder
    told = _DAY.fullmatch("/".join(folder.parts[-3:]))
    try:
        first = date(*map(int, told.groups())) if told else None
        days = [first + timedelta(n) for n in range(1, _DAYS + 1)] if first else []
    except (ValueError, OverflowError):
        return  # no day of any month
    for day in days:
        yield folder.parents[2] / f"{day:%Y}" / f"{day:%m}" / f"{day:%d}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _meta(path: Path) -> _Meta:
    head = first_record(path, _decoder, _Head)
    return (head.payload if head else None) or _Meta()


_decoder: Final = msgspec.json.Decoder(_Head)
