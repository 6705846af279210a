"""OpenCode's database (``~/.local/share/opencode/opencode.db``), opened to be read and no more.

It is SQLite's, with a write-ahead log while OpenCode runs: then a reader holds up nobody. Where
there is no log nobody writes, as far as can be told, and the file is read as it lies, without a
lock that a writer might meet. Whatever the file holds, a question ends: after so many steps of
SQLite's machine it is given up.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGIC: Final = b"SQLite format 3\0"
_STEPS: Final = 10_000_000  # about half a second
_ROWS: Final = 100_000
_SUBAGENTS: Final = 1_000
_SESSIONS: Final = "SELECT id, parent_id, time_created, directory, version FROM session"


class Row(NamedTuple):
    """A message, or a part of one: its ids, when it was first written (ms), its JSON."""

    id: str
    message: str
    at: int
    data: bytes


class Kept(NamedTuple):
    """A session: when it began (ms), and whose subagent it is, None for a main agent's."""

    id: str
    parent: str | None
    at: int
    directory: str
    version: str | None


def is_database(head: bytes) -> bool:
    """Tell SQLite's files by their first bytes."""
    return head.startswith(_MAGIC)


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """Open a database. Raises OSError where it is none, or none that can be read."""
    if not path.is_file():
        raise FileNotFoundError(2, "no regular file", str(path))
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=0)
        ) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            db.set_progress_handler(lambda: 1, _STEPS)
            yield Database(db)
    except sqlite3.Error as error:
        raise OSError(5, f"not to be read: {error}", str(path)) from error


class Database:
    """Sessions, their messages and the parts of those; what is not as it should be is left out."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def sessions(self) -> list[Kept]:
        """Return the main agents' sessions, the newest first."""
        return self._kept("parent_id IS NULL ORDER BY time_created DESC", ())

    def session(self, session_id: str) -> Kept | None:
        """Return a session, None where there is no such one."""
        return next(iter(self._kept("id = ?", (session_id,))), None)

    def below(self, session_id: str) -> list[Kept]:
        """Return the subagents' sessions below one, parents before their children."""
        found: list[Kept] = []
        todo = [session_id]
        while todo and len(found) < _SUBAGENTS:
            known = {kept.id for kept in found}
            children = self._kept("parent_id = ? ORDER BY time_created", (todo.pop(0),))
            found += (new := [child for child in children if child.id not in known])
            todo += [child.id for child in new]
        return found

    def messages(self, session_id: str) -> list[Row]:
        """Return a session's messages, in the order in which they were begun."""
        return self._rows(
            "SELECT id, id, time_created, data FROM message WHERE session_id = ?", session_id
        )

    def parts(self, session_id: str) -> list[Row]:
        """Return what a session's messages consist of, in the order of writing."""
        return self._rows(
            "SELECT id, message_id, time_created, data FROM part WHERE session_id = ?", session_id
        )

    def _rows(self, query: str, session_id: str) -> list[Row]:
        rows = self._all(f"{query} ORDER BY time_created, id LIMIT {_ROWS}", (session_id,))
        return [
            Row(id_, message, at, data.encode("utf-8", "replace"))
            for id_, message, at, data in rows
            if isinstance(id_, str)
            and isinstance(message, str)
            and isinstance(at, int)
            and isinstance(data, str)
        ]

    def _kept(self, where: str, values: tuple[str, ...]) -> list[Kept]:
        rows = self._all(f"{_SESSIONS} WHERE {where} LIMIT {_ROWS}", values)
        return [
            Kept(id_, parent if isinstance(parent, str) else None, at, str(directory), str(version))
            for id_, parent, at, directory, version in rows
            if isinstance(id_, str) and isinstance(at, int)
        ]

    def _all(self, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
        return self._db.execute(query, values).fetchall()
