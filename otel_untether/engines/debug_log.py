"""Where a CLI writes down what it does: the files of its transcripts, its debug log."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.engines import argv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# A session's id comes from outside, and becomes part of a path.
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SPECIAL: Final = re.compile(r"([*?[])")


class Files(NamedTuple):
    """What a CLI calls its files.

    :param folder: where they are, below the user's home.
    :param variable: the environment variable that names another folder, if there is one.
    :param transcripts: patterns below it, as of `glob`; ``{session}`` is the session's id. The
        first is the main agent's, others are its subagents'.
    :param log_options: the options that name its debug log.
    :param log_variable: the environment variable that does.
    """

    folder: str
    variable: str | None = None
    transcripts: tuple[str, ...] = ()
    log_options: tuple[str, ...] = ()
    log_variable: str | None = None

    def transcript_patterns(self, session: str, environ: Mapping[str, str]) -> Iterator[str]:
        """Yield the patterns of the files of a session; none for what can be no session's id.

        >>> list(Files(".demo", transcripts=("*/{session}.jsonl",))
        ...      .transcript_patterns("4711", {"HOME": "/home/u"}))
        ['/home/u/.demo/*/4711.jsonl']

        :param session: the session's id, as the CLI printed it.
        :param environ: the environment that the CLI has.
        """
        home, own = environ.get("HOME"), environ.get(self.variable or "")
        folder = own or (f"{home}/{self.folder}" if home else None)
        if folder is None or not _ID.fullmatch(session):
            return
        folder = _SPECIAL.sub(r"[\1]", folder)
        yield from (f"{folder}/{each.replace('{session}', session)}" for each in self.transcripts)

    def debug_log(self, words: Sequence[str], environ: Mapping[str, str]) -> str | None:
        """Return the debug log that a command line or environment names, None if neither does.

        :param words: the arguments of the CLI.
        :param environ: the environment that it has.
        """
        named = argv.option(words, *self.log_options) if self.log_options else False
        if isinstance(named, str):
            return named
        return environ.get(self.log_variable) if self.log_variable else None
