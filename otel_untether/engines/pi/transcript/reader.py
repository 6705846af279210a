"""Pi's sessions on disk (``~/.pi/agent/sessions/…/<time>_<id>.jsonl``) as the events of its stream.

One entry a line, each with a time. A session begins like the stream of the same name, but what
follows has an `id` and a `parentId`, and a message comes whole. What a person did not like and
went back from is another branch of the tree: all of it happened, so all of it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.salvage import ABSENT, BROKEN, given
from otel_untether.engines.parsing.values import Plain, from_milliseconds, nanoseconds, word
from otel_untether.engines.pi.shapes import Cost, Message, Tokens
from otel_untether.engines.pi.stream import error_of, exit_code_of, usage_of
from otel_untether.engines.transcript_records import record, regular
from otel_untether.session.events import (
    Event,
    ModelAsked,
    ModelMessage,
    SessionStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["is_part", "is_transcript", "parts", "read"]


class Block(Plain):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: msgspec.Raw = ABSENT


class Said(Message, rename="camel"):
    """A message with what is in it; `timestamp` is when it was begun, in ms."""

    content: msgspec.Raw = ABSENT
    timestamp: float | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    is_error: bool | None = None


class Entry(Plain, rename="camel"):
    type: str | None = None
    id: str | None = None
    parent_id: str | msgspec.UnsetType | None = msgspec.UNSET
    timestamp: str | None = None
    parent_session: str | None = None
    message: msgspec.Raw = ABSENT


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a session's record, whose entries know what came before, from a stream."""
    entries = [_entry(line) for line in head]
    header = entries[0] if entries else None
    if header is None or header.type != "session":
        return False
    return any(entry and entry.id and entry.parent_id is not msgspec.UNSET for entry in entries)


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events, each at the time of its entry. Raises OSError.

    A session that was forked begins with a copy of another's entries, which are told there.
    """
    last, begun, failed = 0, 0, None
    with regular(path) as lines:
        for entry in filter(None, map(_entry, lines)):
            at = nanoseconds(entry.timestamp) or last
            if at < begun:
                continue
            if entry.parent_session is not None:
                begun = at
            last = max(last, at)
            for event in _events(entry, last):
                if isinstance(event, ModelMessage):
                    failed = event.error
                yield event
    yield TurnFinished(at=last, error=failed, interrupted=failed == "interrupted")


def parts(_path: Path) -> Iterable[Path]:
    """Return nothing: a session is one file."""
    return ()


def is_part(_path: Path) -> bool:
    """Return False: no file belongs to another's session."""
    return False


def _events(entry: Entry, at: int) -> Iterator[Event]:
    if entry.type == "session":
        yield SessionStarted(at=at, session_id=entry.id)
    elif entry.type == "message":
        yield from _message(_said(given(entry.message)), at)


def _message(said: Said, at: int) -> Iterator[Event]:
    if said.role == "user":
        yield TurnStarted(at=at)
    elif said.role == "assistant":
        yield from _answer(said, at)
    elif said.role == "toolResult" and said.tool_call_id:
        code = exit_code_of(said.tool_name, given(said.content)) if said.is_error else None
        error = str(code) if code else "tool_error"
        yield ToolFinished(
            at=at, id=said.tool_call_id, error=error if said.is_error else None, exit_code=code
        )


def _answer(said: Said, at: int) -> Iterator[Event]:
    usage = usage_of(said.usage) if said.usage else None
    yield ModelAsked(at=at, happened=from_milliseconds(said.timestamp))
    yield ModelMessage(
        at=at,
        model=said.model,
        usage=usage,
        cost_usd=((said.usage or Tokens()).cost or Cost()).total if usage else None,
        finish_reason=word(said.stop_reason),
        error=error_of(said),
        complete=True,
    )
    for block in _blocks(given(said.content)):
        if block.type == "toolCall" and block.id:
            arguments = given(block.arguments)
            yield ToolStarted(at=at, id=block.id, name=block.name or "unknown", arguments=arguments)


def _blocks(raw: bytes | None) -> list[Block]:
    try:
        return _blocks_decoder.decode(raw or b"[]")
    except BROKEN:
        return []


def _entry(line: bytes) -> Entry | None:
    return record(line, _entry_decoder, Entry)


def _said(raw: bytes | None) -> Said:
    try:
        return _said_decoder.decode(raw or b"{}")
    except BROKEN:
        return Said()


_entry_decoder: Final = msgspec.json.Decoder(Entry)
_blocks_decoder: Final = msgspec.json.Decoder(list[Block])
_said_decoder: Final = msgspec.json.Decoder(Said)
