"""OpenCode's sessions in its database as events, subagents' sessions included.

A message of the model is a row that tells when its turn began; what it consists of are rows of
their own: text, calls with their own times, at the end what the answer took. A call is there
from the moment it begins, which the stream does not tell::

    message  msg_1  created 12.0                           the model's turn begins
    part     text   12.5 - 12.7
    part     tool   running since 12.8, then 12.8 - 15.0   one row, written anew
    part     step-finish                                   tokens, cost, why it ended

A subagent is a session whose parent is this one; the call that started it names it.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.opencode import stream
from otel_untether.engines.opencode.shapes import Failure, Metadata, Part, Period, ToolState
from otel_untether.engines.opencode.transcript.database import Database, Kept, is_database, opened
from otel_untether.engines.parsing.salvage import given
from otel_untether.engines.parsing.salvage import read as read_raw
from otel_untether.engines.parsing.values import EpochMilliseconds, Plain, from_milliseconds, word
from otel_untether.session.events import (
    Event,
    MessageUsage,
    ModelAsked,
    ModelMessage,
    SessionStarted,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from otel_untether.session.merging import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["is_part", "is_transcript", "parts", "read", "read_session"]

_MS: Final = 1_000_000


class Spoken(Plain):
    created: EpochMilliseconds | None = None
    completed: EpochMilliseconds | None = None


class Message(Plain, rename={"model_id": "modelID"}):
    role: str | None = None
    model_id: str | None = None
    time: Spoken | None = None
    error: Failure | None = None


class Written(Part, rename={"message_id": "messageID", "call_id": "callID"}):
    type: str | None = None


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a database by its first bytes."""
    return bool(head) and is_database(head[0])


def is_part(_path: Path) -> bool:
    """Return False: no file belongs to another's session."""
    return False


def parts(_path: Path) -> Iterable[Path]:
    """Return nothing: all sessions are in one file."""
    return ()


def read(path: Path) -> Iterator[Event]:
    """Yield the events of the newest session, in order of time."""
    with opened(path) as database:
        kept = next(iter(database.sessions()), None)
    yield from read_session(path, kept.id) if kept else ()


def read_session(path: Path, session_id: str) -> Iterator[Event]:
    """Yield one session's events in order of time; none where there is no such session."""
    with opened(path) as database:
        kept = database.session(session_id)
        events = list(_whole(database, kept)) if kept else []
    yield from sorted(events, key=attrgetter("at"))


def hidden(path: Path, session_id: str) -> Iterator[Event]:
    """Yield what its output does not tell: subagents, that a call begins, what an answer took.

    The last its own output tells; as a server of ACP it does not.
    """
    for event in read_session(path, session_id):
        if is_below(event) or isinstance(event, ToolStarted):
            yield event
        elif isinstance(event, ModelMessage) and event.id and event.usage is not None:
            yield MessageUsage(at=event.at, id=event.id, usage=event.usage)


def sessions_begun(path: Path, directory: str, since: int) -> list[str]:
    """Return the main agents' sessions that were begun in a folder since `since` (ns)."""
    with opened(path) as database:
        kept = database.sessions()
    return [one.id for one in kept if one.directory == directory and one.at * _MS >= since]


def _whole(database: Database, kept: Kept) -> Iterator[Event]:
    main = _Session(database, kept, None)
    yield SessionStarted(at=kept.at * _MS, session_id=kept.id, version=word(kept.version))
    yield from main.events()
    launched = main.launched
    for below in database.below(kept.id):
        call, began = launched.get(below.id, (None, 0))
        session = _Session(database, below, call or below.id)
        yield from session.as_task(call, began)
        launched |= session.launched


class _Session:
    """One session; `call` is the call that started it, None for the main agent's.

    `launched` tells by which call each subagent's session was started, and when.
    """

    def __init__(self, database: Database, kept: Kept, call: str | None) -> None:
        self._kept, self._call = kept, call
        self._messages = [
            (row, read_raw(row.data, _message_decoder, Message))
            for row in database.messages(kept.id)
            if row.at >= kept.at  # else it was copied from the session of which this is a fork
        ]
        self._parts = [
            (row, read_raw(row.data, _part_decoder, Written)) for row in database.parts(kept.id)
        ]
        self.launched = dict(self._launches())

    def _launches(self) -> Iterator[tuple[str, tuple[str, int]]]:
        """Yield each subagent's session, with the call that started it and when that began."""
        for row, part in self._parts:
            metadata = _metadata(part.state) if part.tool == "task" else Metadata()
            if metadata.session_id and part.call_id:
                call = stream.call_began(part, row.at * _MS)
                yield metadata.session_id, (part.call_id, call.happened or call.at)

    def as_task(self, call: str | None, began: int) -> Iterator[Event]:
        """Yield a subagent's beginning, below its call, what it did, and its end."""
        at = max(began, self._kept.at * _MS)
        yield TaskStarted(
            at=at,
            happened=at,
            id=self._kept.id,
            kind="agent",
            tool_id=call,
            parent_task=self._kept.parent,
        )
        yield from self.events()
        if (ended := self._over()) is not None:
            yield TaskFinished(at=ended, id=self._kept.id, tool_id=call)

    def _over(self) -> int | None:
        """Return when a subagent was done, None while its last answer goes on."""
        last = next((p for _, p in reversed(self._parts) if p.type == "step-finish"), None)
        if last is None or last.reason in stream.GOES_ON or not self._messages:
            return None
        return from_milliseconds((self._messages[-1][1].time or Spoken()).completed)

    def events(self) -> Iterator[Event]:
        """Yield what the model was asked and said, and its calls."""
        for row, message in self._messages:
            at = from_milliseconds((message.time or Spoken()).created) or row.at * _MS
            if message.role == "user" and self._call is None:
                yield TurnStarted(at=at)
            elif message.role == "assistant":
                yield ModelAsked(at=at, parent=self._call)
                yield from self._failed(message, at)
        models = {row.id: message.model_id for row, message in self._messages}
        spoken = {row.id for row, message in self._messages if message.role == "assistant"}
        for row, part in self._parts:
            if row.message in spoken:
                yield from self._part(part, row.message, models.get(row.message), row.at * _MS)

    def _failed(self, message: Message, at: int) -> Iterator[Event]:
        """A message that holds an error is a request that failed for good, or was interrupted."""
        if message.error is None:
            return
        ended = from_milliseconds((message.time or Spoken()).completed) or at
        for event in stream.failed(message.error, ended, None):
            if self._call is None:
                yield event
            elif isinstance(event, ModelMessage):
                yield msgspec.structs.replace(event, parent=self._call)

    def _part(self, part: Written, message: str, model: str | None, at: int) -> Iterator[Event]:
        if part.type in ("step-start", "text", "reasoning"):
            end = from_milliseconds((part.time or Period()).end)
            yield ModelMessage(at=end or at, id=message, model=model, parent=self._call)
        elif part.type == "tool" and part.call_id:
            yield from self._tool(part, at)
        elif part.type == "step-finish":
            yield from self._finished(part, message, model, at)

    def _tool(self, part: Written, at: int) -> Iterator[Event]:
        began = stream.call_began(part, at)
        yield _below(began, self._call)
        if (part.state or ToolState()).status in ("completed", "error"):
            yield _below(stream.call_ended(part, began.at), self._call)

    def _finished(self, part: Written, message: str, model: str | None, at: int) -> Iterator[Event]:
        yield ModelMessage(
            at=at,
            id=message,
            model=model,
            parent=self._call,
            usage=stream.usage_of(part.tokens) if part.tokens else None,
            finish_reason=word(part.reason),
            complete=True,
            late=True,
            cost_usd=part.cost,
        )
        if self._call is None and part.reason is not None and part.reason not in stream.GOES_ON:
            yield TurnFinished(at=at, error="error" if part.reason == "error" else None)


def _below(event: ToolStarted | ToolFinished, call: str | None) -> Event:
    """Return an event of a subagent's call, at the time at which it happened."""
    at = event.happened or event.at
    return msgspec.structs.replace(event, at=at, happened=None, parent=call)


def _metadata(state: ToolState | None) -> Metadata:
    return read_raw(given(state.metadata) if state else None, _metadata_decoder, Metadata)


_message_decoder: Final = msgspec.json.Decoder(Message)
_part_decoder: Final = msgspec.json.Decoder(Written)
_metadata_decoder: Final = msgspec.json.Decoder(Metadata)
