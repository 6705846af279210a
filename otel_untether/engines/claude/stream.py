"""Claude Code: ``claude -p --output-format stream-json --verbose``.

One JSON object a line, keys in any order. A process may print several ``init`` and several
``result`` lines, a tool's result may be only the receipt for work that goes on, and what a
subagent's subagents do is known from ``task_*`` lines alone. Only ``assistant`` and ``user``
lines say when they happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.claude.given import answered
from otel_untether.engines.claude.messages import all_input, assistant, usage, user
from otel_untether.engines.claude.shapes import (
    AssistantLine,
    ControlCancelLine,
    ControlRequestLine,
    ControlResponseLine,
    KeepAliveLine,
    Limit,
    McpMessage,
    McpMeta,
    McpParams,
    Message,
    ModelTotals,
    RateLimitLine,
    Request,
    ResultLine,
    StreamEvent,
    StreamLine,
    SystemLine,
    ToolProgressLine,
    UserLine,
)
from otel_untether.engines.claude.system import system
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.salvage import Readers, decoder
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Event,
    Heartbeat,
    ModelMessage,
    RateLimited,
    StrayLine,
    ToolUpdated,
    TurnFinished,
    Usage,
    WaitBegan,
    WaitEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET: Final = frozenset({
    "active_goal", "auth_status", "command_lifecycle", "conversation_reset",
    "prompt_suggestion", "tool_use_summary",
})  # fmt: skip
_QUESTIONS: Final = frozenset({"elicitation", "request_user_dialog"})


def _stream_event(line: StreamLine, at: int) -> Iterator[Event]:
    """Partial messages: who answers, how many tokens it took in the end, and that it is done."""
    event = line.event or StreamEvent()
    if event.type not in ("message_start", "message_delta", "message_stop"):
        return
    message = event.message or Message()
    reason = event.delta.stop_reason if event.delta else None
    yield ModelMessage(
        at=at,
        id=message.id or line.api_message_id,
        model=message.model,
        parent=line.parent_tool_use_id,
        usage=usage(event.usage or message.usage, final=event.type == "message_delta"),
        complete=event.type == "message_stop",
        finish_reason=word(reason),
    )


def _result(line: ResultLine, at: int) -> Iterator[Event]:
    reason = line.terminal_reason or ""
    yield TurnFinished(
        at=at,
        error=_turn_error(line),
        usage=usage(line.usage),
        session_usage=_session_usage(line.model_usage),
        session_cost_usd=line.total_cost_usd,
        new_usage=_session_usage(line.model_usage_since_last_result),
        new_cost_usd=_cost(line.model_usage_since_last_result),
        woken=line.origin is not None and line.origin.kind == "task-notification",
        interrupted=reason.startswith("aborted_"),
    )


def _turn_error(line: ResultLine) -> str | None:
    """Say why the turn failed; ``subtype`` alone is no judge, it is ``success`` on API errors."""
    if not line.is_error and line.subtype in (None, "success"):
        return None
    reasons = (line.terminal_reason, line.api_error_type, line.subtype)
    telling = [r for r in map(word, reasons) if r not in (None, "completed", "success")]
    if telling[:1] == ["api_error"]:  # what follows is more precise, if it is there
        return (telling[1:] or telling)[0]
    return telling[0] if telling else "error"


def _session_usage(models: dict[str, ModelTotals] | None) -> Usage | None:
    if not models:
        return None
    total = Usage()
    for model in models.values():
        read, written = model.cache_read_input_tokens, model.cache_creation_input_tokens
        total += Usage(
            input=all_input(model.input_tokens, read, written),
            output=model.output_tokens,
            cache_read=read,
            cache_write=written,
            reasoning=model.thinking_tokens,
        )
    return total


def _cost(models: dict[str, ModelTotals] | None) -> float | None:
    costs = [model.cost_usd for model in (models or {}).values() if model.cost_usd is not None]
    return sum(costs) if costs else None


def _tool_progress(line: ToolProgressLine, at: int) -> Iterator[Event]:
    """A running tool's sign of life.

    A heartbeat has an id of its own, ``<tool>-heartbeat-<n>``, and calls the tool its parent.
    """
    beats_for = line.parent_tool_use_id if line.heartbeat else None
    if tool_id := beats_for or (line.tool_use_id or "").partition("-heartbeat-")[0]:
        beat = line.heartbeat or False
        yield ToolUpdated(at=at, id=tool_id, elapsed=line.elapsed_time_seconds, heartbeat=beat)
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_progress")


def _rate_limit(line: RateLimitLine, at: int) -> Iterator[Event]:
    limit = line.rate_limit_info or Limit()
    status, resets_at = word(limit.status), limit.resets_at
    if status is None:
        yield StrayLine(at=at, reason="bad_shape", detail="rate_limit_event")
    else:
        whole = None if resets_at is None else int(resets_at)
        paid = bool(limit.is_using_overage)
        yield RateLimited(at=at, status=status, resets_at=whole, overage=paid)


def _control_request(line: ControlRequestLine, at: int) -> Iterator[Event]:
    """The CLI asks its host; only some of it is put to a person."""
    request = line.request or Request()
    question = request.subtype in _QUESTIONS or request.tool_name == "AskUserQuestion"
    if not line.request_id or request.subtype is None:
        yield StrayLine(at=at, reason="bad_shape", detail="control_request")
    elif question or request.subtype == "can_use_tool":
        yield WaitBegan(
            at=at,
            id=line.request_id,
            kind="question" if question else "approval",
            parent_task=request.agent_id,
            tool_id=request.tool_use_id,
            detail=word(request.tool_name),
        )
    else:
        yield WaitBegan(
            at=at,
            id=line.request_id,
            kind="host",
            parent_task=request.input.agent_id if request.input else None,
            tool_id=request.tool_use_id or _call_served(request),
            detail=_asked_of_host(request),
        )


def _call_served(request: Request) -> str | None:
    """Return which of its calls the host's own MCP server is to serve."""
    params = (request.message or McpMessage()).params or McpParams()
    return (params.meta or McpMeta()).tool_use_id


def _asked_of_host(request: Request) -> str | None:
    """Return the hook that it is to run, the server that it is to ask, or what else it is to do."""
    event = word(request.input.hook_event_name) if request.input else None
    server = word(request.server_name)
    return event or (server and f"mcp:{server}") or word(request.subtype)


def _control_response(line: ControlResponseLine, at: int) -> Iterator[Event]:
    if ended := answered(line, at):
        yield from ended
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="control_response")


def _control_cancel(line: ControlCancelLine, at: int) -> Iterator[Event]:
    if line.request_id:
        yield WaitEnded(at=at, id=line.request_id, answer="cancelled")
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="control_cancel_request")


def _keep_alive(_line: KeepAliveLine, at: int) -> Iterator[Event]:
    yield Heartbeat(at=at)


_READERS: Final[Readers] = {
    AssistantLine: assistant,
    UserLine: user,
    SystemLine: system,
    StreamLine: _stream_event,
    ResultLine: _result,
    ToolProgressLine: _tool_progress,
    RateLimitLine: _rate_limit,
    ControlRequestLine: _control_request,
    ControlResponseLine: _control_response,
    ControlCancelLine: _control_cancel,
    KeepAliveLine: _keep_alive,
}
_decoder: Final = decoder(_READERS, _QUIET)
decode: Final = line_reader(_decoder, _READERS, quiet=_QUIET)
