"""Finds the file in which a running agent writes its session down.

Where the agent says which session it is, that is its name. Where it does not, because it was
not asked for events, its process may be named (Claude Code keeps a file for each), or there is
exactly one file that was begun since it was started and in the folder in which it works. Of two
agents that were started at once in one folder neither is guessed at.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.values import nanoseconds
from otel_untether.engines.transcript_records import regular
from otel_untether.session.patterns import lazily
from otel_untether.store.digest import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_untether.engines.session_files import SessionFiles
    from otel_untether.engines.transcripts import Transcripts
    from otel_untether.watching.surroundings import Surroundings

_MOST: Final = 20_000
_HEAD: Final = 65_536
# A file may say that it was begun a little before its process was seen to be, and some file systems
# count in seconds.
_EARLY: Final = 2 * 10**9
_DIRECTORY: Final = lazily(rb'"cwd":\s*"((?:[^"\\]|\\.){1,4096})"')
_HASH: Final = lazily(rb'"projectHash":\s*"([0-9a-f]{64})"')
_BEGUN: Final = lazily(rb'"(?:timestamp|startTime)":\s*"([^"\\]{1,64})"')


class _Process(msgspec.Struct, rename="camel"):
    session_id: str | None = None
    cwd: str | None = None


_process_decoder: Final = msgspec.json.Decoder(_Process)


class SessionFile(msgspec.Struct, frozen=True):
    """A file, below which folder it must lie, and which of the sessions in it is meant."""

    path: Path
    home: Path
    session_id: str | None


class Finder:
    """Looks for the file of one session.

    :param files: where its CLI writes sessions down.
    :param reader: what reads them.
    :param started: when its process was started, in ns since the epoch.
    """

    def __init__(self, files: SessionFiles, reader: Transcripts, started: int) -> None:
        self._files = files
        self._reader = reader
        self._started = started

    @property
    def asks_by_session(self) -> bool:
        """Whether a file holds many sessions, of which one is read, and not the file."""
        return self._files.holds_all

    @property
    def guesses(self) -> bool:
        """Whether the file is looked for before its agent has said which session it is."""
        return self._files.named_late

    def find(
        self, session_id: str | None, around: Surroundings, pids: Sequence[int], *, guess: bool
    ) -> SessionFile | None:
        """Return the session's file, None while it is not to be told. Raises OSError.

        :param session_id: which session it is, as far as the agent said so.
        :param around: the agent's environment, and where it works.
        :param pids: its process, and whoever launched it.
        :param guess: whether it may be told by when and where it was begun.
        """
        home = self._files.home(around.environ)
        if home is None:
            return None
        root = Path(home)
        session_id = session_id or self._of_process(root, pids)
        if self._files.holds_all:
            return self._in_database(root, session_id, around.directory, guess=guess)
        glob = self._files.of_session(session_id)
        if glob is None or (session_id is None and not guess):
            return None
        paths: Iterable[Path] = islice(root.glob(glob), _MOST)
        if session_id is None:  # most of what there is is old, and one look each is enough
            paths = filter(self._is_of_now, paths)
        found = [path for path in paths if lies_within(path, root)]
        if session_id is None:
            found = [path for path in found if self._is_its_own(path, around.directory)]
        return SessionFile(found[0], root, session_id) if len(found) == 1 else None

    def _of_process(self, root: Path, pids: Iterable[int]) -> str | None:
        for pid in pids if self._files.process is not None else ():
            path = root / (self._files.process or "").format(pid=pid)
            if lies_within(path, root):
                told = _process(path)
                if told.session_id:
                    return told.session_id
        return None

    def _in_database(
        self, root: Path, session_id: str | None, directory: str, *, guess: bool
    ) -> SessionFile | None:
        path = root / self._files.pattern
        if not lies_within(path, root):
            return None
        begun = getattr(self._reader, "sessions_begun", None)
        if session_id is None and guess and begun is not None:
            found = begun(path, directory, self._started - _EARLY)
            session_id = found[0] if len(found) == 1 else None
        return SessionFile(path, root, session_id) if session_id else None

    def _is_of_now(self, path: Path) -> bool:
        """Whether a file was written to since the process was started."""
        try:
            return path.stat().st_mtime_ns >= self._started - _EARLY
        except OSError:
            return False

    def _is_its_own(self, path: Path, directory: str) -> bool:
        """Whether a file was begun since the process was, where the process works."""
        if self._reader.is_part(path):
            return False
        with regular(path) as file:
            head = file.read(_HEAD)
        begun = _BEGUN.search(head)
        at = nanoseconds(begun[1].decode("ascii", "replace")) if begun else None
        return at is not None and at >= self._started - _EARLY and _names(head, directory)


def _names(head: bytes, directory: str) -> bool:
    """Whether the head of a file names a folder, or what such a name comes to."""
    if told := _DIRECTORY.search(head):
        try:
            named = msgspec.json.decode(b'"' + told[1] + b'"')
        except msgspec.DecodeError:
            return False
        return bool(named == directory)
    hashed = _HASH.search(head)
    return hashed is not None and hashed[1].decode() == _hash(directory)


def _hash(directory: str) -> str:
    return digest_of(directory.encode("utf-8", "surrogateescape"))


def lies_within(path: Path, root: Path) -> bool:
    """Tell whether a path is a file, and whatever links lead there, below a folder.

    :param path: the path.
    :param root: the folder.
    """
    try:
        return path.is_file() and path.resolve().is_relative_to(root.resolve())
    except OSError:
        return False


def _process(path: Path) -> _Process:
    try:
        with regular(path) as file:
            return _process_decoder.decode(file.read(_HEAD))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Process()


def existing(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield those paths at which something is.

    :param paths: the paths.
    """
    return (path for path in paths if path.exists())
