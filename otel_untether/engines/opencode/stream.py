"""OpenCode: ``opencode run --format json``.

A step is one request to the model and the tools it calls; there is no line for the session's
beginning, none for its end, and none for a tool before the tool is over. A tool's own times are
in its line, so its span is begun in the past. What a subagent does, and that a request is
repeated, is not printed at all. Times are epoch milliseconds; a line is printed a little after
what it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.opencode.shapes import (
    Arguments,
    Cached,
    ErrorLine,
    Failure,
    FailureData,
    Metadata,
    Part,
    Period,
    Printed,
    Reasoning,
    StepFinish,
    StepStart,
    Text,
    Tokens,
    ToolState,
    ToolUse,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import of_status, reason
from otel_untether.engines.parsing.salvage import Readers, decoder, given, read
from otel_untether.engines.parsing.values import from_milliseconds, word
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

_FROM_OUTSIDE: Final = frozenset({"codesearch", "webfetch", "websearch"})
_DENIED: Final = ("The user rejected permission", "The user has specified a rule which prevents")
GOES_ON: Final = frozenset({"tool-calls", "unknown"})


def _step_start(line: StepStart, at: int) -> Iterator[Event]:
    """The answer begins. A step that is begun anew is a request repeated, in the same message."""
    happened = from_milliseconds(line.timestamp)
    yield SessionStarted(at=at, happened=happened, session_id=line.session_id, asks=False)
    yield ModelMessage(at=at, happened=happened, id=_message(line))


def _said(line: Text | Reasoning, at: int) -> Iterator[Event]:
    part = line.part or Part()
    end = from_milliseconds((part.time or Period()).end)
    yield ModelMessage(at=at, happened=end, id=part.message_id)


def _tool_use(line: ToolUse, at: int) -> Iterator[Event]:
    part = line.part or Part()
    if not part.call_id:
        yield StrayLine(at=at, reason="bad_shape", detail="tool_use")
        return
    yield call_began(part, at)
    yield from _agent_began(part, at)
    yield call_ended(part, at)


def call_ended(part: Part, at: int) -> ToolFinished:
    """Return what a tool's part says of its end."""
    state = part.state or ToolState()
    metadata = read(given(state.metadata), _metadata_decoder, Metadata)
    return ToolFinished(
        at=at,
        happened=from_milliseconds((state.time or Period()).end),
        id=part.call_id or "",
        error=_error(state, metadata),
        exit_code=metadata.exit,
        denied=_denied(state),
        result=given(state.output),
    )


def call_began(part: Part, at: int) -> ToolStarted:
    """Return what a tool's part says of its beginning."""
    state, name = part.state or ToolState(), part.tool or "unknown"
    return ToolStarted(
        at=at,
        happened=from_milliseconds((state.time or Period()).start),
        id=part.call_id or "",
        name=name,
        type="extension" if name in _FROM_OUTSIDE else "function",
        subagent=_agent(part),
        arguments=given(state.input),
    )


def _agent(part: Part) -> str | None:
    """Return which kind of subagent a call starts, None where it starts none."""
    told = given(part.state.input) if part.state and part.tool == "task" else None
    return read(told, _arguments_decoder, Arguments).subagent_type


def _agent_began(part: Part, at: int) -> Iterator[Event]:
    state = part.state or ToolState()
    metadata = read(given(state.metadata), _metadata_decoder, Metadata)
    if part.tool == "task" and metadata.session_id:
        yield TaskStarted(
            at=at,
            happened=from_milliseconds((state.time or Period()).start),
            id=metadata.session_id,
            kind="agent",
            tool_id=part.call_id,
            name=_agent(part),
        )


def _error(state: ToolState, metadata: Metadata) -> str | None:
    if _denied(state):
        return "permission_denied"
    if state.status == "error":
        return "tool_error"
    return str(metadata.exit) if metadata.exit else None


def _denied(state: ToolState) -> bool:
    return state.status == "error" and (state.error or "").startswith(_DENIED)


def _step_finish(line: StepFinish, at: int) -> Iterator[Event]:
    part = line.part or Part()
    yield ModelMessage(
        at=at,
        id=part.message_id,
        usage=usage_of(part.tokens) if part.tokens else None,
        finish_reason=word(part.reason),
        complete=True,
        late=True,
        cost_usd=part.cost,
    )
    if part.reason is None:
        return
    happened = from_milliseconds(line.timestamp)
    if part.reason in GOES_ON:
        yield TurnStarted(at=at, happened=happened)  # a session that ends here has no result
    else:
        error = "error" if part.reason == "error" else None
        yield TurnFinished(at=at, happened=happened, error=error)


def usage_of(tokens: Tokens) -> Usage:
    """Count cached tokens as input, and reasoning as output, once each."""
    cache = tokens.cache or Cached()
    given_in = [n for n in (tokens.input, cache.read, cache.write) if n is not None]
    output = tokens.output
    if output is not None and tokens.reasoning and tokens.total != sum(given_in) + output:
        output += tokens.reasoning
    return Usage(
        input=sum(given_in) if given_in else None,
        output=output,
        cache_read=cache.read,
        cache_write=cache.write,
        reasoning=tokens.reasoning,
    )


def _error_line(line: ErrorLine, at: int) -> Iterator[Event]:
    yield from failed(line.error or Failure(), at, from_milliseconds(line.timestamp))


def failed(failure: Failure, at: int, happened: int | None) -> Iterator[Event]:
    """OpenCode gives up: a request failed for good, or somebody interrupted it."""
    data = failure.data or FailureData()
    if failure.name == "MessageAbortedError":
        yield TurnFinished(at=at, happened=happened, error="interrupted", interrupted=True)
        return
    why = of_status(data.status_code) or reason(data.message)
    yield ModelMessage(at=at, happened=happened, complete=True, error=why)
    yield TurnFinished(at=at, happened=happened, error=why)


def _message(line: Printed) -> str | None:
    return line.part.message_id if line.part else None


_READERS: Final[Readers] = {
    StepStart: _step_start,
    Text: _said,
    Reasoning: _said,
    ToolUse: _tool_use,
    StepFinish: _step_finish,
    ErrorLine: _error_line,
}
_decoder: Final = decoder(_READERS)
_metadata_decoder: Final = msgspec.json.Decoder(Metadata)
_arguments_decoder: Final = msgspec.json.Decoder(Arguments)
decode: Final = line_reader(_decoder, _READERS)
