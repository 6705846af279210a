"""Copilot's tools and subagents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.copilot.shapes import (
    Arguments,
    Data,
    Failure,
    Line,
    Properties,
    Shell,
    SubagentFailed,
    Telemetry,
)
from otel_untether.engines.parsing.salvage import given, read
from otel_untether.engines.parsing.values import nanoseconds, word
from otel_untether.session.events import (
    Event,
    StrayLine,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    ToolUpdated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_FROM_OUTSIDE: Final = frozenset({"web_fetch", "web_search"})
_DENIED: Final = frozenset({"denied", "rejected"})


def tool_start(line: Line, at: int) -> Iterator[Event]:
    """Yield the start of a call."""
    data = line.data or Data()
    if not data.tool_call_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool.execution_start")
        return
    name = data.mcp_tool_name or data.tool_name or "unknown"
    agent = None
    if name == "task":
        agent = read(given(data.arguments), _arguments_decoder, Arguments).agent_type
    outside = data.mcp_server_name is not None or name in _FROM_OUTSIDE
    yield ToolStarted(
        at=at,
        happened=nanoseconds(line.timestamp),
        id=data.tool_call_id,
        name=name,
        parent=data.parent_tool_call_id,
        type="extension" if outside else "function",
        mcp_server=data.mcp_server_name,
        subagent=agent,
        arguments=given(data.arguments),
    )


def tool_update(line: Line, at: int) -> Iterator[Event]:
    """Yield a running call's sign of life."""
    if call := (line.data or Data()).tool_call_id:
        yield ToolUpdated(at=at, happened=nanoseconds(line.timestamp), id=call)


def tool_complete(line: Line, at: int) -> Iterator[Event]:
    """Yield the end of a call; of a subagent in the background it is only the receipt."""
    data = line.data or Data()
    if not data.tool_call_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool.execution_complete")
        return
    error = _error(data)
    yield ToolFinished(
        at=at,
        happened=nanoseconds(line.timestamp),
        id=data.tool_call_id,
        parent=data.parent_tool_call_id,
        error=error,
        exit_code=(data.shell_execution or Shell()).exit_code,
        denied=error == "permission_denied",
        detached=error is None and _in_background(data),
        result=given(data.result),
    )


def _error(data: Data) -> str | None:
    """Return why a call failed: a command that exits with a status is a success to Copilot."""
    if data.success is False or (data.success is None and data.error is not None):
        failure = data.error if isinstance(data.error, Failure) else Failure()
        code = word(failure.code)
        if code in _DENIED:
            return "permission_denied"
        return "tool_error" if code in (None, "failure") else code
    status = (data.shell_execution or Shell()).exit_code
    return str(status) if status else None


def _in_background(data: Data) -> bool:
    told = given((data.tool_telemetry or Telemetry()).properties)
    return read(told, _properties_decoder, Properties).execution_mode == "background"


def subagent_started(line: Line, at: int) -> Iterator[Event]:
    """Yield the start of a subagent."""
    data = line.data or Data()
    if agent := line.agent_id or data.tool_call_id:
        yield TaskStarted(
            at=at,
            happened=nanoseconds(line.timestamp),
            id=agent,
            kind="agent",
            tool_id=data.tool_call_id,
            name=data.agent_name,
            background=True if data.execution_mode == "background" else None,
        )


def subagent_ended(line: Line, at: int) -> Iterator[Event]:
    """Yield the end of a subagent, which may come after that of its call."""
    data = line.data or Data()
    if agent := line.agent_id or data.tool_call_id:
        yield TaskFinished(
            at=at,
            happened=nanoseconds(line.timestamp),
            id=agent,
            tool_id=data.tool_call_id,
            error="error" if isinstance(line, SubagentFailed) else None,
            tokens=data.total_tokens,
            tool_uses=data.total_tool_calls,
        )


_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
_properties_decoder: Final = msgspec.json.Decoder(Properties)
