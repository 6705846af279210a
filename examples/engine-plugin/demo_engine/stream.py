"""The demo agent: ``demo --json`` prints one JSON object a line."""

from __future__ import annotations

import msgspec

from otel_untether.session.events import (
    Event,
    ModelMessage,
    SessionStarted,
    StrayLine,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    Usage,
)


class Line(msgspec.Struct):
    """All kinds of line laid over each other; a missing member must not cost the rest."""

    event: str | None = None
    session: str | None = None
    id: str | None = None
    tool: str | None = None
    status: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


_decoder = msgspec.json.Decoder(Line)


def decode(line: bytes, at: int) -> tuple[Event, ...]:
    """Return what one line says; `at` is when it arrived, in ns since the epoch."""
    if not line.strip():
        return ()
    try:
        parsed = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (StrayLine(at=at, reason="not_json"),)
    return _events(parsed, at)


def _events(line: Line, at: int) -> tuple[Event, ...]:
    match line:
        case Line(event="hello"):
            return (SessionStarted(at=at, session_id=line.session),)
        case Line(event="words"):
            return (ModelMessage(at=at),)
        case Line(event="tool", id=str(call)):
            return (ToolStarted(at=at, id=call, name=line.tool or "unknown"),)
        case Line(event="tool_end", id=str(call)):
            error = str(line.status) if line.status else None
            return (ToolFinished(at=at, id=call, error=error, exit_code=line.status),)
        case Line(event="bye"):
            usage = Usage(input=line.tokens_in, output=line.tokens_out)
            return (TurnFinished(at=at, usage=usage),)
    return (StrayLine(at=at, reason="unknown_type"),)
