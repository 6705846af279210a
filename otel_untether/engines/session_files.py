"""Where a CLI writes down its sessions, as data: nothing here looks at a disk."""

# Without annotations from __future__: named tuples are made of real ones in half the time.
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_NONE: Final = "*"


class SessionFiles(NamedTuple):
    """The folder of a CLI, and where in it a session's file is.

    An example, of Codex, whose folder is ``$CODEX_HOME``, or else ``~/.codex``::

        SessionFiles((("CODEX_HOME", ""), ("HOME", ".codex")),
                     "sessions/*/*/*/rollout-*-{session}.jsonl")

    :ivar homes: variables of its environment, each with what follows its value; the first that
        is set counts.
    :ivar pattern: the file, below that: a glob in which ``{session}`` is the session's id and
        ``{start}`` the first eight characters of that.
    :ivar process: likewise a JSON file with a running process's ``sessionId``; ``{pid}`` in it.
    :ivar subagents: likewise the files of its subagents, where they have their own.
    :ivar holds_all: that file holds all sessions there are.
    :ivar named_late: its output names the session at its end alone, so that the file is looked
        for like that of one whose output names none.
    """

    homes: tuple[tuple[str, str], ...]
    pattern: str
    process: str | None = None
    subagents: str | None = None
    holds_all: bool = False
    named_late: bool = False

    def home(self, environ: Mapping[str, str]) -> str | None:
        """Return the CLI's folder, None where its environment does not tell.

        :param environ: the environment of the agent, not ours.
        """
        for variable, below in self.homes:
            value = environ.get(variable, "")
            if value.startswith("/"):
                return f"{value.rstrip('/')}/{below}".rstrip("/")
        return None

    def of_session(self, session_id: str | None) -> str | None:
        """Return the glob of a session's file; of any session's for None.

        It is None for an id that is no plain word: nothing that an agent prints may lead us
        anywhere else.

        :param session_id: the session's own name for itself.
        """
        if session_id is None:
            return self.pattern.format(session=_NONE, start=_NONE)
        return next(self._named(session_id, self.pattern), None)

    def written_by(self, session_id: str) -> Iterator[str]:
        """Yield the globs of all files that a session alone writes, its subagents' included.

        There is none for an id that is no plain word.

        :param session_id: the session's own name for itself.
        """
        if not self.holds_all:
            yield from self._named(session_id, self.pattern, self.subagents)

    @staticmethod
    def _named(session_id: str, *patterns: str | None) -> Iterator[str]:
        if _PLAIN_ID.fullmatch(session_id):
            start = session_id[:8]
            yield from (each.format(session=session_id, start=start) for each in patterns if each)
