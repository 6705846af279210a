"""Pi: ``pi -p --mode json`` and ``--mode rpc``.

One JSON object a line, hardly any times. Everything is said: when a request goes out
(``turn_start``), each piece of the answer, each tool's start and end, that it will ask again.
Its exit status says nothing: after a request that failed for good it is 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import Readers, decoder, given, read
from otel_untether.engines.parsing.values import nanoseconds, word
from otel_untether.engines.pi.shapes import (
    AgentEnd,
    AgentStart,
    Compacted,
    CompactionEnd,
    CompactionStart,
    Cost,
    Message,
    MessageEnd,
    MessageStart,
    MessageUpdate,
    RetryStart,
    Session,
    Tokens,
    ToolEnd,
    ToolStart,
    ToolUpdate,
    TurnStart,
)
from otel_untether.session.events import (
    Compaction,
    Event,
    ModelAsked,
    ModelMessage,
    Retry,
    SessionStarted,
    StrayLine,
    ToolFinished,
    ToolStarted,
    ToolUpdated,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET: Final = frozenset({
    "agent_settled", "auto_retry_end", "bash_execution_update", "entry_appended",
    "extension_error", "extension_ui_request", "queue_update", "response",
    "session_info_changed", "session_tree", "summarization_retry_end",
    "summarization_retry_start", "thinking_level_changed", "turn_end",
})  # fmt: skip
_EXIT_CODE: Final = re.compile(rb"Command exited with code (\d{1,9})\"")
_STATUS: Final = re.compile(r"(\d{3})\b")


def _session(line: Session, at: int) -> Iterator[Event]:
    yield SessionStarted(at=at, happened=nanoseconds(line.timestamp), session_id=line.id)


def _agent_start(_line: AgentStart, at: int) -> Iterator[Event]:
    yield TurnStarted(at=at)


def _turn_start(_line: TurnStart, at: int) -> Iterator[Event]:
    yield ModelAsked(at=at)


def _message_start(line: MessageStart, at: int) -> Iterator[Event]:
    message = line.message or Message()
    if message.role == "assistant":
        yield ModelMessage(at=at, model=message.model)


def _message_update(_line: MessageUpdate, at: int) -> Iterator[Event]:
    yield ModelMessage(at=at)


def _message_end(line: MessageEnd, at: int) -> Iterator[Event]:
    message = line.message or Message()
    if message.role != "assistant":
        return
    usage = usage_of(message.usage) if message.usage else None
    yield ModelMessage(
        at=at,
        model=message.model,
        usage=usage,
        cost_usd=((message.usage or Tokens()).cost or Cost()).total if usage else None,
        finish_reason=word(message.stop_reason),
        error=error_of(message),
        complete=True,
    )


def usage_of(tokens: Tokens) -> Usage | None:
    """Count cached tokens as input; zeros all over are what it prints before it knows."""
    parts = [n for n in (tokens.input, tokens.cache_read, tokens.cache_write) if n is not None]
    if not any(parts) and not tokens.output:
        return None
    return Usage(
        input=sum(parts) if parts else None,
        output=tokens.output,
        cache_read=tokens.cache_read,
        cache_write=tokens.cache_write,
        reasoning=tokens.reasoning,
    )


def error_of(message: Message) -> str | None:
    """Return why an answer failed, None where it did not."""
    if message.stop_reason == "aborted":
        return "interrupted"
    return reason(message.error_message) if message.stop_reason == "error" else None


def _tool_start(line: ToolStart, at: int) -> Iterator[Event]:
    if line.tool_call_id:
        name = line.tool_name or "unknown"
        yield ToolStarted(at=at, id=line.tool_call_id, name=name, arguments=given(line.args))
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_execution_start")


def _tool_update(line: ToolUpdate, at: int) -> Iterator[Event]:
    if line.tool_call_id:
        yield ToolUpdated(at=at, id=line.tool_call_id)
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_execution_update")


def _tool_end(line: ToolEnd, at: int) -> Iterator[Event]:
    if not line.tool_call_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_execution_end")
        return
    result = given(line.result)
    exited = (
        _EXIT_CODE.search(result or b"") if line.is_error and line.tool_name == "bash" else None
    )
    code = int(exited[1]) if exited else None
    error = str(code) if code else "tool_error"
    yield ToolFinished(
        at=at,
        id=line.tool_call_id,
        error=error if line.is_error else None,
        exit_code=code,
        result=result,
    )


def exit_code_of(tool: str | None, result: bytes | None) -> int | None:
    """Return the status that a failed command's text names, None where it names none."""
    exited = _EXIT_CODE.search(result or b"") if tool == "bash" else None
    return int(exited[1]) if exited else None


def _agent_end(line: AgentEnd, at: int) -> Iterator[Event]:
    """The turn is over, unless it says that it will ask again."""
    if line.will_retry:
        return
    last = line.messages[-1] if line.messages else None
    message = read(given(last) if last is not None else None, _message_decoder, Message)
    error = error_of(message)
    yield TurnFinished(
        at=at,
        error=error,
        interrupted=error == "interrupted",
        as_answered=message.role != "assistant",
    )


def _retry_start(line: RetryStart, at: int) -> Iterator[Event]:
    status = _STATUS.match(line.error_message or "")
    yield Retry(
        at=at,
        attempt=line.attempt,
        max_attempts=line.max_attempts,
        delay=None if line.delay_ms is None else line.delay_ms / 1000,
        status=int(status[1]) if status else None,
        error=reason(line.error_message),
    )


def _compaction_start(line: CompactionStart, at: int) -> Iterator[Event]:
    yield Compaction(at=at, phase="began", trigger=word(line.reason))


def _compaction_end(line: CompactionEnd, at: int) -> Iterator[Event]:
    error = reason(line.error_message) if line.error_message else None
    yield Compaction(
        at=at,
        phase="ended",
        trigger=word(line.reason),
        tokens_before=(line.result or Compacted()).tokens_before,
        error="interrupted" if line.aborted else error,
    )


_READERS: Final[Readers] = {
    Session: _session,
    AgentStart: _agent_start,
    TurnStart: _turn_start,
    MessageStart: _message_start,
    MessageUpdate: _message_update,
    MessageEnd: _message_end,
    ToolStart: _tool_start,
    ToolUpdate: _tool_update,
    ToolEnd: _tool_end,
    AgentEnd: _agent_end,
    RetryStart: _retry_start,
    CompactionStart: _compaction_start,
    CompactionEnd: _compaction_end,
}
_decoder: Final = decoder(_READERS, _QUIET)
_message_decoder: Final = msgspec.json.Decoder(Message)
decode: Final = line_reader(_decoder, _READERS, quiet=_QUIET)
