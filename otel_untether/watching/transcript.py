"""The transcript of a live session: where its CLI writes it down, and when it last did.

CLIs open it, append a line and close it again, so that nobody is seen to hold it. It is looked
for by the session's id; and since a home may lie on a file system that does not answer, on a
thread of its own, for which nobody waits: what a look tells was found since the one before it.
"""

from __future__ import annotations

import glob
import itertools
import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from otel_untether.engines import registry
from otel_untether.proc_diag.deep_look import TranscriptLook
from otel_untether.watching.surroundings import variables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from otel_untether.session.state import SessionState

_log: Final = logging.getLogger(__name__)
_MOST: Final = 200  # files of one session
# Threads that look at a time; some may never come back.
_threads: Final = threading.BoundedSemaphore(4)


class TranscriptWatch:
    """Finds the transcript of the session that `state` is of, and its subagents'.

    `environ` reads the environment of the agent, NUL-separated, which may take for ever; None
    where it is not told, and ours is taken for it.
    """

    def __init__(self, state: SessionState, environ: Callable[[], bytes | None]) -> None:
        self._state = state
        self._read = environ
        self._environ: Mapping[str, str] | None = None
        self._newest: TranscriptLook | None = None
        self._looking = threading.Lock()

    def look(self) -> TranscriptLook | None:
        """Return the file last written, as far as found by now, and have it looked at again."""
        if self._state.session_id is not None and self._looking.acquire(blocking=False):
            if _threads.acquire(blocking=False):
                threading.Thread(target=self._look, name="untether-transcript", daemon=True).start()
            else:
                self._looking.release()
        return self._newest

    def _look(self) -> None:
        try:
            if self._environ is None:
                self._environ = variables(self._read() or b"") or os.environ
            self._newest = newest(self._state, self._environ)
        except Exception:  # noqa: BLE001  it is known less, and that is all
            _log.debug("the transcript could not be looked for", exc_info=True)
        finally:
            _threads.release()
            self._looking.release()


def newest(state: SessionState, environ: Mapping[str, str]) -> TranscriptLook | None:
    """Return which file of a session's transcript was written last; None where there is none."""
    if state.session_id is None:
        return None
    patterns = transcripts(state.engine, state.session_id, environ)
    paths = itertools.chain.from_iterable(map(glob.iglob, patterns))
    looks = filter(None, map(_look_at, itertools.islice(paths, _MOST)))
    return max(looks, key=lambda look: look.modified, default=None)


def transcripts(engine: str, session_id: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the globs of the files of a session, in the folder that its CLI has.

    >>> list(transcripts("pi", "4711", {"HOME": "/home/u"}))
    ['/home/u/.pi/agent/sessions/*/*_4711.jsonl']
    """
    files = registry.get(engine).session_files
    home = files.home(environ) if files is not None else None
    if files is not None and home is not None:
        yield from (f"{glob.escape(home)}/{each}" for each in files.written_by(session_id))


def _look_at(path: str) -> TranscriptLook | None:
    try:
        stat = os.stat(path)  # noqa: PTH116  as `glob` names it
    except OSError:
        return None
    return TranscriptLook(path, stat.st_size, stat.st_mtime)
