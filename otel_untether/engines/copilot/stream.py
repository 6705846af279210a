"""GitHub Copilot CLI: ``copilot -p --output-format json``.

Every line says when it happened, and nearly everything is said: when a request goes out, that
it failed, that it will be repeated, what a subagent does. What is not: tokens, and which session
this is before the last line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.copilot import shapes
from otel_untether.engines.copilot.shapes import Data, Line, Result
from otel_untether.engines.copilot.tools import (
    subagent_ended,
    subagent_started,
    tool_complete,
    tool_start,
    tool_update,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import of_status, reason
from otel_untether.engines.parsing.salvage import Readers, decoder
from otel_untether.engines.parsing.values import nanoseconds, word
from otel_untether.session.events import (
    Compaction,
    Event,
    McpServer,
    ModelAsked,
    ModelMessage,
    Retry,
    SessionStarted,
    TurnFinished,
    TurnStarted,
    WaitBegan,
    WaitEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET: Final = frozenset({
    "assistant.idle", "assistant.intent", "assistant.reasoning", "assistant.reasoning_delta",
    "assistant.streaming_delta", "assistant.tool_call_delta", "assistant.turn_end",
    "assistant.turn_start", "assistant.usage", "hook.end", "hook.start", "model.call_final_result",
    "model.call_finished", "session.background_tasks_changed", "session.custom_agents_updated",
    "session.idle", "session.info", "session.mode_changed", "session.model_change",
    "session.permissions_changed",
    "session.resume", "session.shutdown", "session.skills_loaded", "session.task_complete",
    "session.title_changed", "session.tools_updated", "session.truncation", "session.usage_info",
    "session.warning", "skill.invoked", "subagent.configured", "subagent.deselected",
    "subagent.selected", "system.message", "system.notification", "tool.execution_progress",
    "tool.shell_output",
})  # fmt: skip


def _session_start(line: Line, at: int) -> Iterator[Event]:
    data = line.data or Data()
    yield SessionStarted(
        at=at,
        happened=nanoseconds(line.timestamp),
        session_id=data.session_id,
        model=data.selected_model,
        version=data.copilot_version,
    )


def _servers_loaded(line: Line, at: int) -> Iterator[Event]:
    servers = (line.data or Data()).servers or ()
    yield SessionStarted(
        at=at,
        happened=nanoseconds(line.timestamp),
        mcp_servers=tuple(McpServer(s.name, s.status) for s in servers if s.name),
    )


def _user_message(line: Line, at: int) -> Iterator[Event]:
    """A prompt begins a turn; a subagent's belongs to the call that started it."""
    if line.agent_id is None:
        yield TurnStarted(at=at, happened=nanoseconds(line.timestamp))


def _call_start(line: Line, at: int) -> Iterator[Event]:
    data, happened = line.data or Data(), nanoseconds(line.timestamp)
    if line.agent_id is None:
        yield SessionStarted(at=at, happened=happened, model=data.model, asks=False)
    yield ModelAsked(at=at, happened=happened, parent=data.parent_tool_call_id)


def _call_failure(line: Line, at: int) -> Iterator[Event]:
    data = line.data or Data()
    failed = "disconnected" if data.failure_kind == "transport" else reason(data.error_message)
    yield ModelMessage(
        at=at,
        happened=nanoseconds(line.timestamp),
        model=data.model,
        parent=data.parent_tool_call_id,
        error=of_status(data.status_code) or failed,
        complete=True,
    )


def _turn_retry(line: Line, at: int) -> Iterator[Event]:
    yield Retry(
        at=at,
        happened=nanoseconds(line.timestamp),
        error=word((line.data or Data()).reason),
    )


def _message_delta(line: Line, at: int) -> Iterator[Event]:
    """The main agent speaks. Who speaks of the subagents is not said before the whole message."""
    if line.agent_id is None:
        message = (line.data or Data()).message_id
        yield ModelMessage(at=at, happened=nanoseconds(line.timestamp), id=message)


def _assistant_message(line: Line, at: int) -> Iterator[Event]:
    data = line.data or Data()
    yield ModelMessage(
        at=at,
        happened=nanoseconds(line.timestamp),
        id=data.message_id,
        model=data.model,
        parent=data.parent_tool_call_id,
        complete=True,
    )


def _permission_requested(line: Line, at: int) -> Iterator[Event]:
    data = line.data or Data()
    if data.request_id:
        yield WaitBegan(
            at=at,
            happened=nanoseconds(line.timestamp),
            id=data.request_id,
            kind="approval",
            tool_id=data.tool_call_id,
        )


def _permission_completed(line: Line, at: int) -> Iterator[Event]:
    if request := (line.data or Data()).request_id:
        yield WaitEnded(at=at, happened=nanoseconds(line.timestamp), id=request)


def _compaction_start(line: Line, at: int) -> Iterator[Event]:
    yield Compaction(at=at, happened=nanoseconds(line.timestamp), phase="began")


def _compaction_complete(line: Line, at: int) -> Iterator[Event]:
    data = line.data or Data()
    yield Compaction(
        at=at,
        happened=nanoseconds(line.timestamp),
        phase="ended",
        tokens_before=data.pre_compaction_tokens,
        tokens_after=data.post_compaction_tokens,
        error="error" if data.success is False else None,
    )


def _session_error(line: Line, at: int) -> Iterator[Event]:
    why = reason((line.data or Data()).message)
    yield TurnFinished(at=at, happened=nanoseconds(line.timestamp), error=why)


def _abort(line: Line, at: int) -> Iterator[Event]:
    happened = nanoseconds(line.timestamp)
    yield TurnFinished(at=at, happened=happened, error="interrupted", interrupted=True)


def _result(line: Result, at: int) -> Iterator[Event]:
    """The end; why it is a bad one was said before, and the status says only that it is."""
    happened = nanoseconds(line.timestamp)
    yield SessionStarted(at=at, happened=happened, session_id=line.session_id, asks=False)
    failed = str(line.exit_code) if line.exit_code else None
    yield TurnFinished(at=at, happened=happened, error=failed)


_READERS: Final[Readers] = {
    shapes.SessionStart: _session_start,
    shapes.ServersLoaded: _servers_loaded,
    shapes.UserMessage: _user_message,
    shapes.CallStart: _call_start,
    shapes.CallFailure: _call_failure,
    shapes.TurnRetry: _turn_retry,
    shapes.MessageStart: _message_delta,
    shapes.MessageDelta: _message_delta,
    shapes.AssistantMessage: _assistant_message,
    shapes.ToolStart: tool_start,
    shapes.PartialResult: tool_update,
    shapes.ToolComplete: tool_complete,
    shapes.SubagentStarted: subagent_started,
    shapes.SubagentCompleted: subagent_ended,
    shapes.SubagentFailed: subagent_ended,
    shapes.PermissionRequested: _permission_requested,
    shapes.PermissionCompleted: _permission_completed,
    shapes.CompactionStart: _compaction_start,
    shapes.CompactionComplete: _compaction_complete,
    shapes.SessionError: _session_error,
    shapes.Abort: _abort,
    shapes.Result: _result,
}
_decoder: Final = decoder(_READERS, _QUIET)
decode: Final = line_reader(_decoder, _READERS, quiet=_QUIET)
