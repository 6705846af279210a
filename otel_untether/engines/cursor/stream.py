"""Cursor's agent: ``cursor-agent -p --output-format stream-json``.

One JSON object a line. A tool call says when it begins and when it ends, both with the time;
its kind is the name of a member. Where the run fails there is no last line: its status and its
stderr say so. What a subagent does is not printed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.cursor.shapes import (
    Arguments,
    AssistantLine,
    Call,
    Exited,
    ResultLine,
    SystemLine,
    ThinkingLine,
    Tokens,
    ToolLine,
    UserLine,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import BROKEN, Readers, decoder, given, read
from otel_untether.engines.parsing.values import from_milliseconds, word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    SessionStarted,
    StrayLine,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX: Final = "ToolCall"
_FROM_OUTSIDE: Final = frozenset({"fetch", "mcp", "webFetch", "webSearch"})
_DENIED: Final = frozenset({"permissionDenied", "rejected"})
_FAILED: Final = frozenset({"error", "failure"})


def _system(line: SystemLine, at: int) -> Iterator[Event]:
    if line.subtype != "init":
        return
    yield SessionStarted(at=at, session_id=line.session_id, model=line.model)
    yield TurnStarted(at=at)


def _user(_line: UserLine, at: int) -> Iterator[Event]:
    yield TurnStarted(at=at)


def _said(line: AssistantLine | ThinkingLine, at: int) -> Iterator[Event]:
    yield ModelMessage(at=at, happened=from_milliseconds(line.timestamp_ms))


def _tool(line: ToolLine, at: int) -> Iterator[Event]:
    kind, call = _kind(line)
    if not line.call_id or call is None:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_call")
        return
    happened = from_milliseconds(line.timestamp_ms)
    # Of OpenAI's models it is two ids, a line each: the call's, and its item's in the response.
    call_id = line.call_id.lstrip("\n").partition("\n")[0] or line.call_id
    if line.subtype == "started":
        yield _started(call_id, kind, call, at, happened)
    elif line.subtype == "completed":
        yield _finished(call_id, kind, call, at, happened)


def _kind(line: ToolLine) -> tuple[str, Call | None]:
    """Return which kind of call it is, and the member that says so."""
    for name, value in (line.tool_call or {}).items():
        if name == "function" and isinstance(value, Call):
            return value.name or "tool", value
        if name.endswith(_SUFFIX) and isinstance(value, Call):
            return name.removesuffix(_SUFFIX) or "tool", value
    return "tool", None


def _started(call_id: str, kind: str, call: Call, at: int, happened: int | None) -> ToolStarted:
    mcp = kind == "mcp"
    telling = given(call.args) if mcp or kind == "task" else None
    about = read(telling, _arguments_decoder, Arguments)
    return ToolStarted(
        at=at,
        happened=happened,
        id=call_id,
        name=(about.tool_name if mcp else None) or kind,
        type="extension" if kind in _FROM_OUTSIDE else "function",
        mcp_server=about.provider_identifier if mcp else None,
        subagent=_subagent(about) if kind == "task" else None,
        arguments=given(call.args) or given(call.arguments),
    )


def _subagent(about: Arguments) -> str:
    """Return which subagent it is: a name, or an object whose one member is named like it."""
    raw = given(about.subagent_type)
    try:
        told = msgspec.json.decode(raw or b"null", type=str | dict[str, msgspec.Raw] | None)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = None
    named = next(iter(told), None) if isinstance(told, dict) else told
    return word(named) or "subagent"


def _finished(call_id: str, kind: str, call: Call, at: int, happened: int | None) -> ToolFinished:
    result = given(call.result)
    how, code = _outcome(result)
    error = str(code) if code else None
    if how in _DENIED:
        error = "permission_denied"
    elif how != "success" and result is not None:
        error = error or ("tool_error" if how in _FAILED else word(how) or "tool_error")
    return ToolFinished(
        at=at,
        happened=happened,
        id=call_id,
        name=kind,
        error=error,
        exit_code=code,
        denied=how in _DENIED,
        result=result,
    )


def _outcome(result: bytes | None) -> tuple[str | None, int | None]:
    """Return how a call went, the member of its result that is an object, and its status."""
    try:
        members = _result_decoder.decode(result or b"{}")
    except BROKEN:
        return None, None
    told = ((name, value) for name, value in members.items() if isinstance(value, Exited))
    how, exited = next(told, (None, Exited()))
    return how, exited.exit_code


def _result(line: ResultLine, at: int) -> Iterator[Event]:
    failed = bool(line.is_error) or line.subtype not in (None, "success")
    error = None
    if failed:
        subtype = word(line.subtype) if line.subtype not in ("success", "error") else None
        error = subtype or reason(line.result)
    yield TurnFinished(
        at=at,
        happened=from_milliseconds(line.timestamp_ms),
        error=error,
        usage=_usage(line.usage) if line.usage else None,
        interrupted=error == "interrupted",
    )


def _usage(tokens: Tokens) -> Usage:
    parts = (tokens.input_tokens, tokens.cache_read_tokens, tokens.cache_write_tokens)
    known = [count for count in parts if count is not None]
    return Usage(
        input=sum(known) if known else None,
        output=tokens.output_tokens,
        cache_read=tokens.cache_read_tokens,
        cache_write=tokens.cache_write_tokens,
    )


_READERS: Final[Readers] = {
    SystemLine: _system,
    UserLine: _user,
    ThinkingLine: _said,
    AssistantLine: _said,
    ToolLine: _tool,
    ResultLine: _result,
}
_QUIET: Final = frozenset({"interaction_query", "connection"})
_decoder: Final = decoder(_READERS, _QUIET)
_call_decoder: Final = msgspec.json.Decoder(Call)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
_result_decoder: Final = msgspec.json.Decoder(dict[str, Exited | str | float | bool | None])
decode: Final = line_reader(_decoder, _READERS, quiet=_QUIET)
