"""Copilot CLI's sessions (``~/.copilot/session-state/<session>/events.jsonl``) as events.

The lines are those of the stream, without what is of the moment only: that a request began,
pieces of a message. What the stream does not tell, how many tokens a request took, is told here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.copilot.stream import decode
from otel_untether.engines.parsing.values import (
    Count,
    Milliseconds,
    Plain,
    nanoseconds,
)
from otel_untether.engines.transcript_records import record, regular
from otel_untether.session.events import (
    Event,
    MessageUsage,
    ModelAsked,
    ModelMessage,
    TaskFinished,
    TaskStarted,
    TurnFinished,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["hidden", "is_part", "is_transcript", "parts", "read"]


class Spent(Plain, rename="camel"):
    """What one request took; `input_tokens` has the cached ones in it, `duration` is in ms."""

    model: str | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    duration: Milliseconds | None = None
    api_call_id: str | None = None
    parent_tool_call_id: str | None = None


class Data(Plain, rename="camel"):
    session_id: str | None = None
    usage: Spent | None = None
    parent_tool_call_id: str | None = None
    message_id: str | None = None
    api_call_id: str | None = None


class Entry(Plain, rename="camel"):
    id: str | None = None
    type: str | None = None
    timestamp: str | None = None
    agent_id: str | None = None
    data: Data | None = None


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a session's record by its first entry, which the stream has not."""
    first = record(head[0], _decoder, Entry) if head else None
    started = first is not None and first.type == "session.start"
    return started and first is not None and first.data is not None and bool(first.data.session_id)


def is_part(_path: Path) -> bool:
    """Return False: no file belongs to another's session."""
    return False


def parts(_path: Path) -> Iterable[Path]:
    """Return nothing: a session is one file."""
    return ()


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events in order of time."""
    log, told = _Log(), set[str]()
    with regular(path) as file:
        for line in file:
            entry = record(line, _decoder, Entry)
            if entry is None or entry.id in told:
                continue
            told |= {entry.id} if entry.id else set()
            if entry.type != "system.message":
                yield from log.events(entry, line.rstrip(b"\n"))


def hidden(path: Path, _session_id: str | None) -> Iterator[Event]:
    """Yield what its output may not tell: what each answer took, when subagents work."""
    for event in read(path):
        if isinstance(event, TaskStarted | TaskFinished):
            yield event
        elif isinstance(event, ModelMessage) and event.id and event.usage is not None:
            usage = event.usage
            yield MessageUsage(at=event.at, id=event.id, usage=usage, parent=event.parent)


class _Log:
    """A session's file, entry by entry: what a request took is told before what it answered."""

    def __init__(self) -> None:
        self._at = 0
        self._working = False
        self._spent: dict[str | None, Spent] = {}

    def events(self, entry: Entry, line: bytes) -> Iterator[Event]:
        self._at = max(self._at, nanoseconds(entry.timestamp) or self._at)
        data = entry.data or Data()
        if entry.type == "session.usage_record":
            yield from self._requested(data)
        elif entry.type == "session.shutdown":
            yield from self._turn_over()
        else:
            prompt = entry.type == "user.message" and entry.agent_id is None
            yield from self._turn_over() if prompt else ()
            for event in decode(line, self._at):
                self._working = not isinstance(event, TurnFinished) and (prompt or self._working)
                yield event
            if entry.type == "assistant.message":
                yield from self._answered(data)

    def _turn_over(self) -> Iterator[Event]:
        if self._working:
            self._working = False
            yield TurnFinished(at=self._at)

    def _requested(self, data: Data) -> Iterator[Event]:
        spent = data.usage or Spent()
        self._spent = {spent.api_call_id: spent}
        began = self._at - int((spent.duration or 0) * 1e6)
        yield ModelAsked(at=self._at, happened=began, parent=_parent(data))

    def _answered(self, data: Data) -> Iterator[Event]:
        spent = self._spent.pop(data.api_call_id, None)
        if spent is not None:
            yield ModelMessage(
                at=self._at,
                id=data.message_id,
                parent=_parent(data),
                complete=True,
                usage=Usage(
                    input=spent.input_tokens,
                    output=spent.output_tokens,
                    cache_read=spent.cache_read_tokens,
                    cache_write=spent.cache_write_tokens,
                ),
            )


def _parent(data: Data) -> str | None:
    return data.parent_tool_call_id or (data.usage.parent_tool_call_id if data.usage else None)


_decoder: Final = msgspec.json.Decoder(Entry)
