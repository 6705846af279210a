"""Pi's sessions on disk (``~/.pi/agent/sessions/…/<time>_<id>.jsonl``) as the events of its stream.

One entry a line, each with a time. A session begins like the stream of the same name, but what
follows has an `id` and a `parentId`, and a message comes whole. What a person did not like and
went back from is another branch of the tree: all of it happened, so all of it is read, and the
turn that goes on from an earlier entry says from which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.salvage import ABSENT, BROKEN, given
from otel_untether.engines.parsing.values import (
    Count,
    Plain,
    from_milliseconds,
    nanoseconds,
    word,
)
from otel_untether.engines.pi.shapes import Cost, Message, Tokens
from otel_untether.engines.pi.stream import error_of, exit_code_of, usage_of
from otel_untether.engines.transcript_records import record, regular
from otel_untether.session.events import (
    Compaction,
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

_START: Final = "start"  # of a tree: before its first entry


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
    # What is no message: a compaction, the summary of a branch that was left, a warmed cache.
    usage: Tokens | None = None
    model: str | None = None
    tokens_before: Count | None = None


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
    session = _Session()
    with regular(path) as lines:
        for entry in filter(None, map(_entry, lines)):
            yield from session.events(entry)
    yield from session.over()


def parts(_path: Path) -> Iterable[Path]:
    """Return nothing: a session is one file."""
    return ()


def is_part(_path: Path) -> bool:
    """Return False: no file belongs to another's session."""
    return False


class _Session:
    """A session, entry by entry: what has been told of it, and where in its tree it is.

    Each entry names the one before it. Who goes back to an earlier one makes a branch::

        1 prompt ─ 2 answer ─ 3 prompt ─ 4 answer
                      └────── 5 prompt ─ 6 answer      a turn branched from 2
    """

    def __init__(self) -> None:
        self._last = 0
        self._copied_until = 0
        self._told: set[str] = set()
        self._leaf: str | None = None
        self._branch: str | None = None
        self._answer: Said | None = None

    def events(self, entry: Entry) -> Iterator[Event]:
        at = nanoseconds(entry.timestamp) or self._last
        if at < self._copied_until or self._is_told(entry):
            return
        self._copied_until = at if entry.parent_session is not None else 0
        self._last = max(self._last, at)
        self._move(entry)
        if entry.type == "session":
            yield SessionStarted(at=self._last, session_id=entry.id)
        elif entry.type == "message":
            yield from self._message(_said(given(entry.message)))
        else:
            yield from _aside(entry, self._last)

    def over(self) -> Iterator[Event]:
        """The file is at its end: its last turn is over only where the model had the last word."""
        if self._answer is not None and self._answer.stop_reason != "toolUse":
            yield self._turn_over()

    def _is_told(self, entry: Entry) -> bool:
        told = entry.id in self._told
        if entry.id:
            self._told.add(entry.id)
        return told

    def _move(self, entry: Entry) -> None:
        if entry.type == "session" or entry.parent_id is msgspec.UNSET or not entry.id:
            return
        if self._leaf is not None and entry.parent_id != self._leaf:
            self._branch = entry.parent_id or _START
        self._leaf = entry.id

    def _message(self, said: Said) -> Iterator[Event]:
        if said.role == "user":
            if self._is_answered():
                yield self._turn_over()
            self._answer = None
            yield TurnStarted(at=self._last, branched_from=self._branch)
            self._branch = None
        elif said.role == "assistant":
            self._answer = said
        yield from _message(said, self._last)

    def _is_answered(self) -> bool:
        """Whether a prompt is another turn's, and no word to one that is under way."""
        answer = self._answer
        return answer is not None and (answer.stop_reason != "toolUse" or self._branch is not None)

    def _turn_over(self) -> TurnFinished:
        failed = error_of(self._answer) if self._answer is not None else None
        return TurnFinished(at=self._last, error=failed, interrupted=failed == "interrupted")


def _aside(entry: Entry, at: int) -> Iterator[Event]:
    """What is no message: that it was compacted, and what such requests to the model took."""
    if entry.usage is not None and (usage := usage_of(entry.usage)) is not None:
        cost = (entry.usage.cost or Cost()).total
        yield ModelAsked(at=at)
        yield ModelMessage(at=at, model=entry.model, usage=usage, cost_usd=cost, complete=True)
    if entry.type == "compaction":
        yield Compaction(at=at, phase="ended", tokens_before=entry.tokens_before)


def _message(said: Said, at: int) -> Iterator[Event]:
    if said.role == "assistant":
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
        pass
    try:
        members = _members_decoder.decode(raw or b"[]")
    except BROKEN:
        return []
    return [block for each in members if (block := record(bytes(each), _block_decoder, Block))]


def _entry(line: bytes) -> Entry | None:
    return record(line, _entry_decoder, Entry)


def _said(raw: bytes | None) -> Said:
    return record(raw or b"{}", _said_decoder, Said) or Said()


_entry_decoder: Final = msgspec.json.Decoder(Entry)
_blocks_decoder: Final = msgspec.json.Decoder(list[Block])
_members_decoder: Final = msgspec.json.Decoder(list[msgspec.Raw])
_block_decoder: Final = msgspec.json.Decoder(Block)
_said_decoder: Final = msgspec.json.Decoder(Said)
