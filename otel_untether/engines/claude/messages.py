"""Claude Code's ``assistant`` and ``user`` lines, which its transcripts on disk share."""

from __future__ import annotations

from typing import Final

from otel_untether.engines.claude import tools
from otel_untether.engines.claude.shapes import AssistantLine, Block, Message, Tokens, UserLine
from otel_untether.engines.parsing.salvage import ABSENT, given
from otel_untether.engines.parsing.values import nanoseconds, word
from otel_untether.session.events import Event, ModelMessage, StrayLine, Usage

SYNTHETIC: Final = "<synthetic>"
"""The model of messages that the CLI wrote itself."""

_SPOKEN: Final = frozenset({"text", "thinking", "redacted_thinking"})
_NOTHING_ASKED: Final = b'"No response requested."'


def assistant(line: AssistantLine, at: int) -> list[Event]:
    """Return the message, then one `ToolStarted` for each call in it."""
    message = line.message
    if message is None:
        return [StrayLine(at=at, reason="bad_shape", detail="assistant")]
    happened = nanoseconds(line.timestamp) if line.timestamp else None
    parent, blocks = line.parent_tool_use_id, message.content
    synthetic = message.model == SYNTHETIC and _asks_nothing(message)
    events: list[Event] = [] if synthetic else [_model_message(line, message, at, happened)]
    for block in blocks if type(blocks) is list else ():
        type_ = block.type
        if type_ in _SPOKEN or type_ is None:
            continue
        if type_.endswith("tool_use"):
            events += _started(block, parent, at, happened)
        elif type_.endswith("tool_result"):  # of a tool that the API ran itself
            events += _finished(block, UserLine(), parent, at, happened)
    return events


def user(line: UserLine, at: int) -> list[Event]:
    """Return the end of each call whose result the line brings; prompts say nothing."""
    if line.message is None:
        return [StrayLine(at=at, reason="bad_shape", detail="user")]
    blocks = [b for b in _blocks(line.message) if b.type and b.type.endswith("tool_result")]
    if len(blocks) > 1:
        line.tool_use_result = ABSENT  # it would be anybody's guess whose this is
    happened = nanoseconds(line.timestamp) if blocks else None
    events: list[Event] = []
    for block in blocks:
        events += _finished(block, line, line.parent_tool_use_id, at, happened)
    return events


def usage(tokens: Tokens | None, *, final: bool = True) -> Usage | None:
    """Turn the API's counts into ours; before the end, the output count is a placeholder."""
    if tokens is None:
        return None
    read, written = tokens.cache_read_input_tokens, tokens.cache_creation_input_tokens
    fresh, details = tokens.input_tokens, tokens.output_tokens_details if final else None
    return Usage(
        None if fresh is None else fresh + (read or 0) + (written or 0),
        tokens.output_tokens if final else None,
        read,
        written,
        details.thinking_tokens if details else None,
    )


def all_input(fresh: int | None, read: int | None, written: int | None) -> int | None:
    """Add cached tokens to the others, as the GenAI conventions count them."""
    return None if fresh is None else fresh + (read or 0) + (written or 0)


def _blocks(message: Message) -> list[Block]:
    return message.content if isinstance(message.content, list) else []


def _asks_nothing(message: Message) -> bool:
    """Tell whether the CLI's own words stand for an answer nobody wanted, as to a command."""
    return any(given(block.text) == _NOTHING_ASKED for block in _blocks(message))


def _model_message(
    line: AssistantLine, message: Message, at: int, happened: int | None
) -> ModelMessage:
    model, error = message.model, _error(line)
    if model == SYNTHETIC:
        model, error = None, error or "synthetic"
    reason, tokens = message.stop_reason, message.usage
    return ModelMessage(
        at=at,
        happened=happened,
        id=message.id,
        model=model,
        parent=line.parent_tool_use_id,
        usage=usage(tokens, final=reason is not None) if tokens else None,
        complete=reason is not None or error is not None,
        finish_reason=word(reason) if reason else None,
        error=error,
        request_id=line.request_id,
    )


def _error(line: AssistantLine) -> str | None:
    if line.error is not None or line.api_error_type is not None:
        return word(line.error) or word(line.api_error_type) or "api_error"
    return "api_error" if line.is_api_error_message else None


def _started(block: Block, parent: str | None, at: int, happened: int | None) -> list[Event]:
    if block.id:
        return tools.started(block, parent, at, happened)
    return [StrayLine(at=at, reason="bad_shape", detail=word(block.type))]


def _finished(
    block: Block, line: UserLine, parent: str | None, at: int, happened: int | None
) -> list[Event]:
    call_id = block.tool_use_id
    if not call_id:
        return [StrayLine(at=at, reason="bad_shape", detail=word(block.type))]
    decided = None
    for meta in line.tool_result_meta or ():
        if meta.id == call_id:
            decided = meta
            break
    return tools.finished(block, given(line.tool_use_result), decided, parent, at, happened)
