"""The contract of a reader of transcripts: of what a CLI writes down about its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from otel_untether.session.events import Event


class Transcripts(Protocol):
    """A reader of what a CLI writes down about its sessions; a module will do."""

    def is_transcript(self, head: Sequence[bytes], /) -> bool:
        """Tell whether the first lines of a file (32 at most) are those of a session's record."""

    def read(self, path: Path, /) -> Iterator[Event]:
        """Yield the events of a session, with their own times. Raises OSError."""

    def parts(self, path: Path, /) -> Iterable[Path]:
        """Return the other files that are read together with a session's, in a stable order."""

    def is_part(self, path: Path, /) -> bool:
        """Tell by its name whether a file is one of those, and no session of its own."""
