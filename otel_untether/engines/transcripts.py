"""The contract of a reader of transcripts: of what a CLI writes down about its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from otel_untether.session.events import Event


class Transcripts(Protocol):
    """A reader of what a CLI writes down about its sessions; a module will do.

    What follows a running session asks for more, where a reader has it:

    - ``hidden(path, session_id)`` yields what the CLI's output does not tell of a session, if
      that is not what lies below a call of the file's own ids;
    - ``read_session(path, session_id)`` is `read` where one file holds many sessions, and
      ``sessions_begun(path, directory, since)`` returns the ids of those begun in a working
      directory since a time in ns.
    """

    def is_transcript(self, head: Sequence[bytes], /) -> bool:
        """Tell whether the first lines of a file (32 at most) are those of a session's record."""

    def read(self, path: Path, /) -> Iterator[Event]:
        """Yield the events of a session, with their own times. Raises OSError."""

    def parts(self, path: Path, /) -> Iterable[Path]:
        """Return the other files that are read together with a session's, in a stable order."""

    def is_part(self, path: Path, /) -> bool:
        """Tell by its name whether a file is one of those, and no session of its own."""
