"""Follows what a running agent writes down about its own session, where its output hides it.

The files are read, never written, and only when they have changed; then from the beginning, by
the same readers as a recording is. What a reading took in processor time is waited a hundred
times over before the next look, so that following costs one per cent of a core at most, however
large the files.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from otel_untether.engines.parsing.names import clean
from otel_untether.session import events as ev
from otel_untether.session.merging import Merger, is_below, is_lacking, is_placeable
from otel_untether.watching.session_files import Finder, SessionFile, existing, lies_within
from otel_untether.watching.surroundings import Inquiry, Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from otel_untether.engines.engine import Engine
    from otel_untether.engines.transcripts import Transcripts
    from otel_untether.proc_diag.snapshot import TreeSnapshot
    from otel_untether.session.state import SessionState

_PATIENCE: Final = 125  # less than one percent of a core, the way here included
# Looking for the file becomes rarer the longer it is not there, in ns.
_SEARCH: Final = 1 * 10**9
_LONGEST_SEARCH: Final = 30 * 10**9
_FILES: Final = 2_000


class Follower:
    """Reads the files of one session.

    :param state: the session.
    :param finder: what finds them.
    :param reader: what reads them.
    :param plain: that its output tells no events, so that the files tell all there is.
    :param tree: what was last seen of its processes.
    :param limit: bytes of all files together beyond which they are not read.
    :param expected: with what it was started, as far as that is known.
    """

    def __init__(
        self,
        state: SessionState,
        finder: Finder,
        reader: Transcripts,
        *,
        plain: bool,
        tree: Callable[[], TreeSnapshot | None],
        limit: int,
        expected: Surroundings | None = None,
    ) -> None:
        self.merger = Merger()
        self._state = state
        self._finder = finder
        self._reader = reader
        self._plain = plain
        self._tree = tree
        self._limit = limit
        self._inquiry = Inquiry(expected)
        self._file: SessionFile | None = None
        self._known: tuple[object, ...] = ()
        self._incomplete = False
        self._due = 0
        self._search = _SEARCH

    @classmethod
    def of(
        cls,
        engine: Engine,
        state: SessionState,
        *,
        plain: bool,
        tree: Callable[[], TreeSnapshot | None],
        limit: int,
        expected: Surroundings | None = None,
    ) -> Follower | None:
        """Return what follows a session of `engine`; None where nobody knows where it is.

        :param engine: the session's engine; the rest is as for the class.
        """
        reader = engine.transcripts_reader
        if engine.session_files is None or reader is None:
            return None
        finder = Finder(engine.session_files, reader, state.started)
        follower = cls(
            state, finder, reader, plain=plain, tree=tree, limit=limit, expected=expected
        )
        if state.pid is not None:
            follower._inquiry.ask(state.pid)
        return follower

    def is_due(self, now: int) -> bool:
        """Tell whether `read` would look.

        :param now: in ns since the epoch.
        """
        return now >= self._due

    def hurry(self) -> None:
        """Look at the next opportunity, however long the last look took: something waits for it."""
        self._due, self._search = 0, _SEARCH

    def read(self, now: int, *, last: bool = False) -> Sequence[ev.Event]:
        """Return what the files tell, all of it, if they have changed; nothing raises.

        :param now: in ns since the epoch.
        :param last: that the agent has ended, and nobody will ask again.
        """
        if not last and not self.is_due(now):
            return ()
        began = time.thread_time_ns()
        try:
            return self._read(now, last=last)
        except OSError:
            return ()
        finally:
            spent = time.thread_time_ns() - began
            self._due = max(self._due, now + _PATIENCE * spent)

    def _read(self, now: int, *, last: bool) -> Sequence[ev.Event]:
        if self._file is None or self._is_anothers(self._file):
            self._file = self._find(now)
        if self._file is None:
            return ()
        looked = self._look(self._file)
        if looked == self._known and not self._incomplete and not last:
            return ()
        self._known = looked
        return [clean(event) for event in self._events(self._file)] if looked else ()

    def _is_anothers(self, file: SessionFile) -> bool:
        """Whether the process has gone on to another session, as servers do."""
        names = file.session_id, self._state.session_id
        return None not in names and names[0] != names[1]

    def _find(self, now: int) -> SessionFile | None:
        tree, state = self._tree(), self._state
        leader = tree.leader if tree is not None else None
        pid = leader.identity.pid if leader is not None else state.pid
        if pid is None or (tree is not None and tree.remote_client):
            return None
        around = self._inquiry.ask(pid)
        self._due, self._search = now + self._search, min(2 * self._search, _LONGEST_SEARCH)
        guess = self._plain or self._finder.guesses
        if around is None or not (guess or state.session_id):
            self._due, self._search = now, _SEARCH
            return None
        pids = [pid, *(p.identity.pid for p in (tree.launchers if tree is not None else ()))]
        return self._finder.find(state.session_id, around, pids, guess=guess)

    def _look(self, file: SessionFile) -> tuple[object, ...]:
        """Return what tells whether the files have changed; nothing, where none may be read."""
        log = file.path.with_name(file.path.name + "-wal")
        paths = [file.path, *existing([log]), *self._reader.parts(file.path)]
        stats = [stat for stat in map(_stat, paths[:_FILES]) if stat is not None]
        safe = not any(_leads_astray(path, file.home) for path in paths)
        size = 0 if self._finder.asks_by_session else sum(s.st_size for s in stats)
        if not safe or len(paths) > _FILES or size > self._limit:
            self._state.odd("session_files_not_read")
            return ()
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)

    def _events(self, file: SessionFile) -> Iterable[ev.Event]:
        whole = _whole(self._reader, file.path, file.session_id)
        if self._plain:
            return whole
        hidden = getattr(self._reader, "hidden", None)
        if hidden is not None:
            return filter(self._may_be_news, hidden(file.path, file.session_id))
        return filter(self._may_be_news, map(_of_main, whole))

    def _may_be_news(self, event: ev.Event) -> bool:
        """Whether an event is one of those that the output hides."""
        if isinstance(event, ev.MessageUsage):
            return is_lacking(self._state, event)
        return is_below(event) or isinstance(event, ev.TurnFinished)

    def news(self, events: Sequence[ev.Event], *, last: bool = False) -> Iterator[ev.Event]:
        """Yield what of a reading is new, each when what was yielded before it has been applied.

        :param events: all that the files tell, in order of time.
        :param last: as for `read`.
        """
        self.merger.reread()
        self._incomplete = False
        final = None if last else _final_turn(events)
        for number, event in enumerate(events):
            if event.at < self._state.started or self._is_of_main(event):
                self._learn_past(event)
            elif isinstance(event, ev.MessageUsage):
                if is_lacking(self._state, event):
                    yield event
            elif number != final and not isinstance(event, ev.StrayLine):
                placed = self._plain or is_placeable(self._state, event)
                new = self.merger.written(event, now=placed)
                self._incomplete |= new and not placed
                if new and placed:
                    yield event

    def _learn_past(self, event: ev.Event) -> None:
        """What a session used before this process resumed it is not this process's."""
        if not isinstance(event, ev.TurnFinished) or event.session_usage is None:
            return
        if event.at < self._state.started:
            self._state.resumes(event.session_usage, event.session_cost_usd)
        elif event.new_usage is not None:
            self._state.resumes(event.session_usage - event.new_usage, None)

    def _is_of_main(self, event: ev.Event) -> bool:
        """Whether it is a turn's end that the output tells, too; what is past it does not say."""
        return not self._plain and isinstance(event, ev.TurnFinished)


def _stat(path: Path) -> os.stat_result | None:
    """Return a file's; None where it has gone since its folder was listed.

    CLIs write a file under a name of its own (`agent-7.meta.json.tmp.3f7a0b11`) and rename it.
    """
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _leads_astray(path: Path, home: Path) -> bool:
    """Whether a path is there, and is no file that lies below `home`."""
    return not lies_within(path, home) and os.path.lexists(path) and not lies_within(path, home)


def _of_main(event: ev.Event) -> ev.Event:
    """Return of a message of the main agent what its output may not tell: what it took."""
    if isinstance(event, ev.ModelMessage) and event.parent is None and event.id and event.usage:
        return ev.MessageUsage(at=event.at, id=event.id, usage=event.usage)
    return event


def _whole(reader: Transcripts, path: Path, session_id: str | None) -> Iterable[ev.Event]:
    read_session = getattr(reader, "read_session", None)
    return reader.read(path) if read_session is None else read_session(path, session_id)


def _final_turn(events: Sequence[ev.Event]) -> int | None:
    """Return which event ends the last turn; while the agent runs that may be a conjecture."""
    for number in range(len(events) - 1, -1, -1):
        if isinstance(events[number], ev.TurnStarted):
            return None
        if isinstance(events[number], ev.TurnFinished):
            return number
    return None
