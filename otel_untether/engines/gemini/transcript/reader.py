"""Gemini CLI's chats (``~/.gemini/tmp/<project>/chats/session-<time>-<id>.jsonl``) as events.

A header, then messages, each with a time, told again whenever more is known of it: the last
telling counts. A message of the model holds its calls, each with when it was over; they run one
after another. A subagent's chat is a file of its own, below a folder named after its parent's
session; which call started it, only its prompt and its time can tell.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.salvage import ABSENT, given
from otel_untether.engines.parsing.salvage import read as read_raw
from otel_untether.engines.parsing.values import Count, Plain, nanoseconds
from otel_untether.engines.transcript_records import first_record, record, records
from otel_untether.session.events import (
    Event,
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

_CONTEXT: Final = "<session_context>"
_FAILED: Final = frozenset({"error", "cancelled"})
_OVER: Final = _FAILED | {"success"}


class Part(Plain, rename="camel"):
    """Of what somebody said: text, or a file that was put in or is named."""

    text: str | None = None
    inline_data: msgspec.Raw = ABSENT
    file_data: msgspec.Raw = ABSENT


class Tokens(Plain):
    """Of one answer; `input` has the cached ones in it, `output` not the thoughts."""

    input: Count | None = None
    output: Count | None = None
    cached: Count | None = None
    thoughts: Count | None = None


class Call(Plain):
    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = ABSENT
    status: str | None = None
    timestamp: str | None = None


class Arguments(Plain):
    """What the model gives to ``invoke_agent``."""

    agent_name: str | None = None
    prompt: str | None = None


class Entry(Plain, rename={"session_id": "sessionId", "project_hash": "projectHash",
                           "start_time": "startTime", "tool_calls": "toolCalls"}):  # fmt: skip
    """A header or a message, laid over each other."""

    session_id: str | None = None
    project_hash: str | None = None
    start_time: str | None = None
    kind: str | None = None
    id: str | None = None
    timestamp: str | None = None
    type: str | None = None
    content: list[Part] | str | None = None
    model: str | None = None
    tokens: Tokens | None = None
    tool_calls: list[Call] | None = None


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a chat by its header."""
    first = record(head[0], _decoder, Entry) if head else None
    return first is not None and first.session_id is not None and first.project_hash is not None


def is_part(path: Path) -> bool:
    """Tell whether a file is a subagent's chat, which its parent's is read with."""
    if path.parent.parent.name != "chats":
        return False
    header = first_record(path, _decoder, Entry)
    return header is not None and header.kind == "subagent"


def parts(path: Path) -> Iterable[Path]:
    """Return the chats of a session's subagents."""
    header = first_record(path, _decoder, Entry)
    if header is None or not header.session_id:
        return []
    return sorted((path.parent / header.session_id).glob("*.jsonl"))


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events in order of time, its subagents' included."""
    header, messages = _load(path)
    calls = [call for message in messages for call in message.tool_calls or ()]
    events = list(_main(header, messages))
    for part in parts(path):
        events += _subagent(*_load(part), calls)
    yield from sorted(events, key=attrgetter("at"))


def _load(path: Path) -> tuple[Entry, list[Entry]]:
    """Return a chat's header and its messages, in the order in which they were first told."""
    header, messages = Entry(), dict[str, Entry]()
    for entry in records(path, _decoder, Entry):
        if entry.project_hash is not None:
            header = entry
        elif entry.id:
            messages[entry.id] = entry
    return header, list(messages.values())


def _main(header: Entry, messages: list[Entry]) -> Iterator[Event]:
    began = nanoseconds(header.start_time) or 0
    yield SessionStarted(at=began, session_id=header.session_id)
    last, working, answered = began, False, False
    for message in messages:
        at = last = max(last, nanoseconds(message.timestamp) or last)
        if _is_prompt(message):
            if working:
                yield TurnFinished(at=at)
            working = True
            yield TurnStarted(at=at)
        elif message.type == "error" and working:
            working = False
            yield TurnFinished(at=at, error="error")
        if message.type in ("user", "gemini"):
            # Not while there are calls: it goes on with what those return.
            answered = message.type == "gemini" and not message.tool_calls
        for event in _answer(message, None, at):
            last = max(last, event.at)
            yield event
    if working and answered:
        yield TurnFinished(at=last)


def _is_prompt(message: Entry) -> bool:
    """Whether it is a person's: an image alone is one, what a tool answered is none."""
    said = message.content or ()
    parts = [Part(said)] if isinstance(said, str) else said
    asked = [it for it in parts if it.text or given(it.inline_data) or given(it.file_data)]
    return message.type == "user" and bool(asked) and not (asked[0].text or "").startswith(_CONTEXT)


def _answer(message: Entry, parent: str | None, at: int) -> Iterator[Event]:
    """Yield what the model said, and its calls: each begins when the one before is over."""
    if message.type != "gemini":
        return
    yield ModelMessage(
        at=at,
        id=message.id,
        model=message.model,
        parent=parent,
        usage=_usage(message.tokens) if message.tokens else None,
        complete=True,
    )
    for call in message.tool_calls or ():
        if call.id:
            yield _started(call, call.id, parent, at)
            ended = max(at, nanoseconds(call.timestamp) or at)
            if call.status in _OVER:
                yield _finished(call, call.id, parent, ended)


def _started(call: Call, call_id: str, parent: str | None, at: int) -> ToolStarted:
    agent = None
    if call.name == "invoke_agent":
        agent = _arguments(call).agent_name
    return ToolStarted(
        at=at,
        id=call_id,
        name=call.name or "unknown",
        parent=parent,
        subagent=agent,
        arguments=given(call.args),
    )


def _finished(call: Call, call_id: str, parent: str | None, at: int) -> ToolFinished:
    error = "tool_error" if call.status in _FAILED else None
    return ToolFinished(
        at=at,
        id=call_id,
        parent=parent,
        error="interrupted" if call.status == "cancelled" else error,
    )


def _subagent(header: Entry, messages: list[Entry], calls: list[Call]) -> Iterator[Event]:
    began = nanoseconds(header.start_time) or 0
    call = _caller(messages, began, calls)
    if call is None or not call.id:
        return  # nobody knows where it belongs
    name = _arguments(call).agent_name
    task = header.session_id or call.id
    yield TaskStarted(at=began, happened=began, id=task, kind="agent", tool_id=call.id, name=name)
    last = began
    for message in messages:
        at = max(last, nanoseconds(message.timestamp) or last)
        for event in _answer(message, call.id, at):
            last = max(last, event.at)
            yield event
    if call.status in _OVER:
        yield TaskFinished(at=last, id=task, tool_id=call.id)


def _caller(messages: list[Entry], began: int, calls: list[Call]) -> Call | None:
    """Return the call whose prompt is the subagent's, the last that was not over when it began."""
    prompts = [m.content for m in messages if m.type == "user" and isinstance(m.content, list)]
    said = [part.text for content in prompts[:1] for part in content]
    fitting = [
        call
        for call in calls
        if call.name == "invoke_agent"
        and _arguments(call).prompt in said
        and (nanoseconds(call.timestamp) or began) >= began
    ]
    return fitting[0] if fitting else None


def _arguments(call: Call) -> Arguments:
    return read_raw(given(call.args), _arguments_decoder, Arguments)


def _usage(tokens: Tokens) -> Usage:
    parts = [count for count in (tokens.output, tokens.thoughts) if count is not None]
    return Usage(
        input=tokens.input,
        output=sum(parts) if parts else None,
        cache_read=tokens.cached,
        reasoning=tokens.thoughts,
    )


_decoder: Final = msgspec.json.Decoder(Entry)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
