"""Gemini CLI: ``gemini --output-format stream-json``.

Every line says when it happened. An answer comes in deltas without an id; after a repeated
request its beginning comes again. Results of parallel tools are printed together when the last
is over. What a subagent does is not printed, nor that a request is repeated; a shell command
that exits with a status is a success.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.gemini.shapes import (
    Arguments,
    ErrorLine,
    Failure,
    Init,
    Message,
    Printed,
    Result,
    Stats,
    ToolResult,
    ToolUse,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import Readers, decoder, given, read
from otel_untether.engines.parsing.values import nanoseconds, word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    SessionStarted,
    StrayLine,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_FROM_OUTSIDE: Final = ("mcp_", "google_web_search", "web_fetch")
_INTERRUPTED: Final = "FatalCancellationError"
_OF_THE_MODEL: Final = "[API Error"


def _init(line: Init, at: int) -> Iterator[Event]:
    yield SessionStarted(
        at=at, happened=_happened(line), session_id=line.session_id, model=line.model
    )


def _message(line: Message, at: int) -> Iterator[Event]:
    if line.role == "user":
        yield TurnStarted(at=at, happened=_happened(line))
    else:
        yield ModelMessage(at=at, happened=_happened(line))


def _tool_use(line: ToolUse, at: int) -> Iterator[Event]:
    if not line.tool_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_use")
        return
    name, agent = line.tool_name or "unknown", None
    if name == "invoke_agent":
        agent = read(given(line.parameters), _arguments_decoder, Arguments).agent_name
    yield ToolStarted(
        at=at,
        happened=_happened(line),
        id=line.tool_id,
        name=name,
        type="extension" if name.startswith(_FROM_OUTSIDE) else "function",
        subagent=agent,
        arguments=given(line.parameters),
    )
    if name == "invoke_agent":
        yield TaskStarted(
            at=at,
            happened=_happened(line),
            id=f"{line.tool_id}/agent",
            kind="agent",
            tool_id=line.tool_id,
            name=agent,
        )


def _tool_result(line: ToolResult, at: int) -> Iterator[Event]:
    if not line.tool_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_result")
        return
    error = None
    if line.status == "error" or line.error is not None:
        error = word(line.error.type if line.error else None) or "tool_error"
    elif line.status in ("cancelled", "canceled"):
        error = "interrupted"
    denied = error == "policy_violation"
    yield ToolFinished(
        at=at,
        happened=_happened(line),
        id=line.tool_id,
        error="permission_denied" if denied else error,
        denied=denied,
        result=given(line.output),
    )


def _error(_line: ErrorLine, _at: int) -> Iterator[Event]:
    return iter(())


def _result(line: Result, at: int) -> Iterator[Event]:
    happened, error = _happened(line), _error_of(line)
    if error and _is_models(line.error or Failure()):
        yield ModelMessage(at=at, happened=happened, complete=True, error=error)
    yield TurnFinished(
        at=at,
        happened=happened,
        error=error,
        usage=_usage(line.stats) if line.stats else None,
        interrupted=error == "interrupted",
    )


def _error_of(line: Result) -> str | None:
    if line.status != "error" and line.error is None:
        return None
    failure = line.error or Failure()
    if failure.type == _INTERRUPTED:
        return "interrupted"
    type_ = word(failure.type)
    return reason(failure.message) if type_ in (None, "unknown", "Error") else type_


def _is_models(failure: Failure) -> bool:
    return (failure.message or "").startswith(_OF_THE_MODEL)


def _usage(stats: Stats) -> Usage | None:
    """Return what was used, None where nothing was counted: a refused request counts zeros."""
    if not stats.total_tokens and not stats.input_tokens and not stats.output_tokens:
        return None
    return Usage(input=stats.input_tokens, output=stats.output_tokens, cache_read=stats.cached)


def _happened(line: Printed) -> int | None:
    return nanoseconds(line.timestamp)


_READERS: Final[Readers] = {
    Init: _init,
    Message: _message,
    ToolUse: _tool_use,
    ToolResult: _tool_result,
    ErrorLine: _error,
    Result: _result,
}
_decoder: Final = decoder(_READERS)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
decode: Final = line_reader(_decoder, _READERS)
