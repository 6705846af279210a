"""Qwen Code's chats (``~/.qwen/projects/<project>/chats/<session>.jsonl``) as events.

Each line has a time, and of what took time two kinds of ``ui_telemetry`` tell how long: of a
request (``api_response``) and of a call (``tool_call``). Subagents have files of their own,
``subagents/<session>/agent-….jsonl``, each with a ``.meta.json`` that names the call that
started it. They look like Claude Code's transcripts and are none: their messages have parts.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.salvage import ABSENT, LARGEST, given
from otel_untether.engines.parsing.salvage import read as read_raw
from otel_untether.engines.parsing.values import Code, Count, Milliseconds, Plain, nanoseconds, word
from otel_untether.engines.qwen.shapes import Arguments
from otel_untether.engines.transcript_records import record, records, regular
from otel_untether.session.events import (
    Compaction,
    Event,
    ModelAsked,
    ModelMessage,
    SessionStarted,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["is_part", "is_transcript", "parts", "read"]

_RECEIPT: Final = b"Background agent launched successfully"
_NOTIFIED: Final = re.compile(r"<task-id>([^<\n]{1,256})</task-id>")
_STATUS: Final = re.compile(r"<status>([a-z_]{1,64})</status>")


class FunctionCall(Plain):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = ABSENT


class Part(Plain, rename="camel"):
    text: str | None = None
    function_call: FunctionCall | None = None
    function_response: msgspec.Raw = ABSENT


class Message(Plain):
    role: str | None = None
    parts: list[Part] | None = None


class Tokens(Plain, rename="camel"):
    """Of one answer; the prompt's have the cached ones in them."""

    prompt_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    cached_content_token_count: Count | None = None


class Shown(Plain, rename="camel"):
    exit_code: Code | None = None


class Result(Plain, rename="camel"):
    call_id: str | None = None
    status: str | None = None
    result_display: Shown | str | None = None


class UiEvent(Plain, rename={"name": "event.name", "timestamp": "event.timestamp"}):
    name: str | None = None
    timestamp: str | None = None
    call_id: str | None = None
    duration_ms: Milliseconds | None = None


class Compressed(Plain, rename="camel"):
    original_token_count: Count | None = None
    new_token_count: Count | None = None


class SystemPayload(Plain, rename="camel"):
    """What was compressed is beside `info`, and not read."""

    ui_event: UiEvent | None = None
    info: Compressed | None = None


class Entry(Plain, rename="camel"):
    uuid: str | None = None
    session_id: str | None = None
    timestamp: str | None = None
    type: str | None = None
    subtype: str | None = None
    provenance: str | None = None
    version: str | None = None
    model: str | None = None
    message: Message | None = None
    usage_metadata: Tokens | None = None
    tool_call_result: Result | None = None
    system_payload: SystemPayload | None = None


class Meta(Plain, rename="camel"):
    agent_id: str | None = None
    agent_type: str | None = None
    tool_use_id: str | None = None
    parent_agent_id: str | None = None
    status: str | None = None
    is_backgrounded: bool | None = None


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a chat by the parts that its messages have, and by where its entries came from."""
    entries = [record(line, _decoder, Entry) for line in head]
    return any(
        entry is not None
        and entry.uuid is not None
        and entry.session_id is not None
        and entry.message is not None
        and entry.message.parts is not None
        for entry in entries
    )


def is_part(path: Path) -> bool:
    """Tell by its name whether a file is a subagent's."""
    return path.name.startswith("agent-") and path.parent.parent.name == "subagents"


def parts(path: Path) -> Iterable[Path]:
    """Return the files of a session's subagents."""
    return sorted((path.parent.parent / "subagents" / path.stem).glob("agent-*.jsonl"))


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events in order of time, its subagents' included."""
    events = list(_Chat(path, None).events())
    for part in parts(path):
        events += _subagent(part)
    yield from sorted(events, key=attrgetter("at"))


def _subagent(path: Path) -> Iterator[Event]:
    meta = _meta(path)
    task = meta.agent_id or path.stem.removeprefix("agent-")
    chat = _Chat(path, meta.tool_use_id or task)
    found = list(chat.events())
    if not found:
        return
    yield TaskStarted(
        at=chat.began,
        happened=chat.began,
        id=task,
        kind="agent",
        tool_id=meta.tool_use_id,
        name=meta.agent_type,
        parent_task=meta.parent_agent_id,
        background=meta.is_backgrounded,
    )
    yield from found
    if not meta.is_backgrounded and meta.status != "running":
        yield TaskFinished(at=found[-1].at, id=task, tool_id=meta.tool_use_id)


def _meta(path: Path) -> Meta:
    try:
        with regular(path.with_suffix(".meta.json")) as file:
            return read_raw(file.read(LARGEST), _meta_decoder, Meta)
    except OSError:
        return Meta()


class _Chat:
    """One file; `parent` is the call that started it, None for the main agent's."""

    def __init__(self, path: Path, parent: str | None) -> None:
        self._entries = list(records(path, _decoder, Entry))
        self._parent = parent
        self.began = next(filter(None, (nanoseconds(e.timestamp) for e in self._entries)), 0)
        self._at = 0
        self._answer: str | None = None
        self._working = False
        self._answered = False
        self._failed = False
        self._ended = dict(self._over())

    def _over(self) -> Iterator[tuple[str, int]]:
        """Yield when each call was over: a result is written only once all of them are."""
        for entry in self._entries:
            told = (entry.system_payload or SystemPayload()).ui_event or UiEvent()
            at = nanoseconds(told.timestamp)
            if told.call_id and at:
                yield told.call_id, at

    def events(self) -> Iterator[Event]:
        for number, entry in enumerate(self._entries):
            self._at = max(self._at, nanoseconds(entry.timestamp) or self._at)
            if number == 0 and self._parent is None:
                yield SessionStarted(
                    at=self._at, session_id=entry.session_id, version=entry.version
                )
            if entry.type in ("user", "tool_result"):
                self._answer = None
            if reader := _KINDS.get(entry.type or ""):
                yield from reader(self, entry)
            if entry.type in ("user", "tool_result"):
                self._answered = self._failed = False
        if self._answered or self._failed:
            yield from self._turn_over()

    def _turn_over(self) -> Iterator[Event]:
        if self._working:
            self._working = False
            failed = self._failed and not self._answered
            yield TurnFinished(at=self._at, error="error" if failed else None)

    def _user(self, entry: Entry) -> Iterator[Event]:
        if self._parent is not None:
            return
        if entry.subtype == "notification":
            yield from self._notified(entry)
            return
        yield from self._turn_over()
        self._working = True
        yield TurnStarted(at=self._at)

    def _system(self, entry: Entry) -> Iterator[Event]:
        told = (entry.system_payload or SystemPayload()).ui_event or UiEvent()
        self._failed |= told.name == "qwen-code.api_error"
        if entry.subtype == "chat_compression":
            info = (entry.system_payload or SystemPayload()).info or Compressed()
            yield Compaction(
                at=self._at,
                phase="ended",
                tokens_before=info.original_token_count,
                tokens_after=info.new_token_count,
            )

    def _notified(self, entry: Entry) -> Iterator[Event]:
        """A subagent in the background is done: the main agent is woken with its report."""
        said = (entry.message or Message()).parts or ()
        text = next((part.text for part in said if part.text), "")
        if task := _NOTIFIED.search(text):
            status = _STATUS.search(text)
            well = status is None or status[1] == "completed"
            yield TaskFinished(
                at=self._at, id=task[1], error=None if well else word(status[1] if status else None)
            )
        yield ModelAsked(at=self._at)

    def _assistant(self, entry: Entry) -> Iterator[Event]:
        self._answered = self._answered or self._answer is None
        self._answer = self._answer or entry.uuid  # an answer may be told piece by piece
        yield ModelMessage(
            at=self._at,
            id=self._answer,
            model=entry.model,
            parent=self._parent,
            usage=_usage(entry.usage_metadata) if entry.usage_metadata else None,
            complete=True,
        )
        for part in (entry.message or Message()).parts or ():
            call = part.function_call
            if call is not None and call.id:
                self._answered = False  # it goes on with what that returns
                yield self._started(call, call.id)

    def _started(self, call: FunctionCall, call_id: str) -> ToolStarted:
        agent = None
        if call.name == "agent":
            agent = read_raw(given(call.args), _arguments_decoder, Arguments).subagent_type
        return ToolStarted(
            at=self._at,
            id=call_id,
            name=call.name or "unknown",
            parent=self._parent,
            subagent=agent,
            arguments=given(call.args),
        )

    def _returned(self, entry: Entry) -> Iterator[Event]:
        result = entry.tool_call_result or Result()
        if not result.call_id:
            return
        display = result.result_display
        code = display.exit_code if isinstance(display, Shown) else None
        failed = result.status not in (None, "success")
        error = "tool_error" if failed else None
        if result.status == "cancelled":
            error = "interrupted"
        said = (entry.message or Message()).parts or [Part()]
        yield ToolFinished(
            at=min(self._at, self._ended.get(result.call_id, self._at)),
            id=result.call_id,
            parent=self._parent,
            error=str(code) if code and failed else error,
            exit_code=code,
            detached=_RECEIPT in bytes(said[0].function_response)[:400],
        )


_KINDS: Final = {
    "system": _Chat._system,  # noqa: SLF001
    "user": _Chat._user,  # noqa: SLF001  a table of its own methods
    "assistant": _Chat._assistant,  # noqa: SLF001
    "tool_result": _Chat._returned,  # noqa: SLF001
}


def _usage(tokens: Tokens) -> Usage:
    return Usage(
        input=tokens.prompt_token_count,
        output=tokens.candidates_token_count,
        cache_read=tokens.cached_content_token_count,
        reasoning=tokens.thoughts_token_count,
    )


_decoder: Final = msgspec.json.Decoder(Entry)
_meta_decoder: Final = msgspec.json.Decoder(Meta)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
