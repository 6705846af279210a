"""Qwen Code: ``qwen --output-format stream-json``.

Claude Code's words with meanings of its own: the lines of one answer share no id, and one of
them may hold several calls; what a ``system`` line tells is under ``data``; there is one
``result``, at the very end, and no cost; no line says when it happened. Subagents run in the
background: their call returns a receipt at once, a ``task_notification`` says that they are
done, and what they do meanwhile is not printed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import Readers, decoder, given, read
from otel_untether.engines.parsing.values import word
from otel_untether.engines.qwen.shapes import (
    Answer,
    Arguments,
    AssistantLine,
    Block,
    ControlCancel,
    ControlRequest,
    ControlResponse,
    Data,
    Failure,
    Message,
    Request,
    ResultLine,
    Spent,
    StreamEvent,
    StreamLine,
    SystemLine,
    Tokens,
    UserLine,
)
from otel_untether.session.events import (
    Event,
    McpServer,
    ModelAsked,
    ModelMessage,
    Retry,
    SessionStarted,
    StrayLine,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
    WaitBegan,
    WaitEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SAYINGS: Final = frozenset({"message_start", "content_block_start", "content_block_delta"})
_FROM_OUTSIDE: Final = ("mcp__", "web_fetch", "web_search")
_RECEIPT: Final = b"Background agent launched successfully"
_EXIT_CODE: Final = re.compile(rb"Command: .*\\nExit Code: (\d{1,9})\\n")
_DENIED: Final = re.compile(rb"requires user approval|denied by|declined", re.IGNORECASE)
_REQUEST_FAILED: Final = "[API Error"


def _system(line: SystemLine, at: int) -> Iterator[Event]:
    reader = _SUBTYPES.get(line.subtype or "")
    return reader(line, at) if reader is not None else iter(())


def _init(line: SystemLine, at: int) -> Iterator[Event]:
    servers = (McpServer(s.name, s.status) for s in line.mcp_servers or () if s.name)
    yield SessionStarted(
        at=at,
        session_id=line.session_id,
        model=line.model,
        version=line.qwen_code_version,
        tools=tuple(line.tools or ()),
        mcp_servers=tuple(servers),
    )
    yield TurnStarted(at=at)


def _task_started(line: SystemLine, at: int) -> Iterator[Event]:
    data = line.data or Data()
    if data.task_id:
        yield TaskStarted(
            at=at,
            id=data.task_id,
            kind="agent",
            tool_id=data.tool_use_id,
            name=data.subagent_type,
            background=True,
        )
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="task_started")


def _task_notification(line: SystemLine, at: int) -> Iterator[Event]:
    data, spent = line.data or Data(), (line.data or Data()).usage or Spent()
    if data.task_id:
        yield TaskFinished(
            at=at,
            id=data.task_id,
            tool_id=data.tool_use_id,
            error=None if data.status == "completed" else word(data.status) or "unknown",
            tokens=spent.total_tokens,
            tool_uses=spent.tool_uses,
        )
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="task_notification")


def _retry(_line: SystemLine, at: int) -> Iterator[Event]:
    yield Retry(at=at)


def _assistant(line: AssistantLine, at: int) -> Iterator[Event]:
    message = line.message or Message()
    yield ModelMessage(
        at=at,
        model=message.model,
        parent=line.parent_tool_use_id,
        usage=_usage(message.usage) if message.usage else None,
        finish_reason=word(message.stop_reason),
    )
    for block in _blocks(message):
        if block.type == "tool_use" and block.id:
            yield _tool_started(block, block.id, line.parent_tool_use_id, at)


def _tool_started(block: Block, call: str, parent: str | None, at: int) -> ToolStarted:
    name = block.name or "unknown"
    agent = None
    if name == "agent":
        agent = read(given(block.input), _arguments_decoder, Arguments).subagent_type
    server, tool = _mcp(name)
    return ToolStarted(
        at=at,
        id=call,
        name=tool,
        parent=parent,
        type="extension" if name.startswith(_FROM_OUTSIDE) else "function",
        mcp_server=server,
        subagent=agent,
        arguments=given(block.input),
    )


def _mcp(name: str) -> tuple[str | None, str]:
    """Return the server and the tool behind ``mcp__server__tool``; no server for any other."""
    _, *parts = name.split("__", 2) if name.startswith("mcp__") else [name]
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else (None, name)


def _user(line: UserLine, at: int) -> Iterator[Event]:
    """Results of tools; else a prompt: a subagent's, or what wakes the main agent again."""
    blocks = _blocks(line.message or Message())
    results = [block for block in blocks if block.type == "tool_result"]
    for block in results:
        if block.tool_use_id:
            yield _tool_finished(block, block.tool_use_id, line.parent_tool_use_id, at)
    if results:
        return
    call = line.parent_tool_use_id
    if call is None:
        yield ModelAsked(at=at)
    else:
        yield TaskStarted(at=at, id=f"{call}/agent", kind="agent", tool_id=call)


def _tool_finished(block: Block, call: str, parent: str | None, at: int) -> ToolFinished:
    result = given(block.content) or b""
    exited = _EXIT_CODE.match(result, 1) if block.is_error else None
    denied = bool(block.is_error and not exited and _DENIED.search(result))
    error = "permission_denied" if denied else exited[1].decode() if exited else "tool_error"
    return ToolFinished(
        at=at,
        id=call,
        parent=parent,
        error=error if block.is_error else None,
        exit_code=int(exited[1]) if exited else None,
        denied=denied,
        detached=_RECEIPT in result[:80],
        result=result or None,
    )


def _stream_event(line: StreamLine, at: int) -> Iterator[Event]:
    if (line.event or StreamEvent()).type in _SAYINGS:
        yield ModelMessage(at=at, parent=line.parent_tool_use_id)


def _result(line: ResultLine, at: int) -> Iterator[Event]:
    message = (line.error or Failure()).message
    error = None
    if line.is_error or line.error is not None:
        subtype = word(line.subtype) if line.subtype != "error_during_execution" else None
        error = subtype or reason(message)
    if error is not None and (message or "").startswith(_REQUEST_FAILED):
        yield ModelMessage(at=at, error=error, complete=True)
    yield TurnFinished(
        at=at,
        error=error,
        usage=_usage(line.usage) if line.usage else None,
        interrupted=error == "interrupted",
    )


def _usage(tokens: Tokens) -> Usage | None:
    if not tokens.input_tokens and not tokens.output_tokens:
        return None
    return Usage(
        input=tokens.input_tokens,
        output=tokens.output_tokens,
        cache_read=tokens.cache_read_input_tokens,
    )


def _control_request(line: ControlRequest, at: int) -> Iterator[Event]:
    request = line.request or Request()
    if line.request_id and request.subtype == "can_use_tool":
        yield WaitBegan(at=at, id=line.request_id, kind="approval", tool_id=request.tool_use_id)


def _control_response(line: ControlResponse, at: int) -> Iterator[Event]:
    if answered := (line.response or Answer()).request_id:
        yield WaitEnded(at=at, id=answered)


def _control_cancel(line: ControlCancel, at: int) -> Iterator[Event]:
    if line.request_id:
        yield WaitEnded(at=at, id=line.request_id, answer="cancelled")


def _blocks(message: Message) -> list[Block]:
    return message.content if isinstance(message.content, list) else []


_SUBTYPES: Final[dict[str, Callable[[SystemLine, int], Iterator[Event]]]] = {
    "init": _init,
    "task_started": _task_started,
    "task_notification": _task_notification,
    "retry": _retry,
}
_READERS: Final[Readers] = {
    SystemLine: _system,
    AssistantLine: _assistant,
    UserLine: _user,
    StreamLine: _stream_event,
    ResultLine: _result,
    ControlRequest: _control_request,
    ControlResponse: _control_response,
    ControlCancel: _control_cancel,
}
_decoder: Final = decoder(_READERS)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
decode: Final = line_reader(_decoder, _READERS)
