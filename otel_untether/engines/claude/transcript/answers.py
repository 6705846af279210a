"""What each answer of the main agent took, by its transcript: the one thing its output hides of it.

A transcript may be fifty megabytes long and is looked at again whenever it has grown. To tell this
no more of an entry is read than this, and nothing is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.claude.messages import usage
from otel_untether.engines.claude.shapes import Tokens
from otel_untether.engines.parsing.values import Plain, nanoseconds
from otel_untether.engines.transcript_records import records
from otel_untether.session.events import MessageUsage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Answer(Plain):
    id: str | None = None
    stop_reason: str | None = None
    usage: Tokens | None = None


class _Entry(Plain, rename="camel"):
    type: str | None = None
    timestamp: str | None = None
    is_sidechain: bool | None = None
    message: _Answer | None = None


class Answers:
    """The answers in a main agent's file.

    `nested` says, once all were told, that the file tells of subagents as well, as those of
    older versions do.
    """

    def __init__(self, path: Path) -> None:
        self.nested = False
        self._path = path

    def took(self) -> Iterator[MessageUsage]:
        """Yield what each answer took that is over. Raises OSError."""
        for entry in records(self._path, _decoder, _Entry):
            self.nested |= bool(entry.is_sidechain) or entry.type == "progress"
            said = entry.message
            if entry.type == "assistant" and said is not None and not entry.is_sidechain:
                took = usage(said.usage, final=said.stop_reason is not None)
                if said.id and took is not None:
                    yield MessageUsage(at=nanoseconds(entry.timestamp) or 0, id=said.id, usage=took)


_decoder: Final = msgspec.json.Decoder(_Entry)
