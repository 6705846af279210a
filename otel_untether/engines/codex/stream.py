"""Codex: ``codex exec --json``.

One JSON object a line and no times at all. Items have ids, model messages have none. A command
that outlives its turn is started and never completed. Token counts are running totals of the
thread. Subagents are threads of their own whose work is not on stdout: a ``spawn_agent`` call
returns at once, and only the ``agents_states`` of later calls tell how the thread fares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.engines.codex import items
from otel_untether.engines.codex.shapes import (
    ErrorLine,
    ItemCompleted,
    ItemStarted,
    ItemUpdated,
    RequestUserInput,
    ThreadStarted,
    Tokens,
    TurnCompleted,
    TurnFailed,
    TurnStartedLine,
)
from otel_untether.engines.parsing.line_reader import line_reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import Readers, decoder
from otel_untether.session.events import (
    Event,
    ModelMessage,
    Retry,
    SessionStarted,
    StrayLine,
    TurnFinished,
    TurnStarted,
    Usage,
    WaitBegan,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET: Final = frozenset({"item.plan.delta"})
_RECONNECTING: Final = re.compile(r"Reconnecting\b(?:\W+(\d{1,9})/(\d{1,9}))?")


def _thread_started(line: ThreadStarted, at: int) -> Iterator[Event]:
    yield SessionStarted(at=at, session_id=line.thread_id)


def _turn_started(_line: TurnStartedLine, at: int) -> Iterator[Event]:
    yield TurnStarted(at=at)


def _turn_completed(line: TurnCompleted, at: int) -> Iterator[Event]:
    yield TurnFinished(at=at, session_usage=usage_of(line.usage) if line.usage else None)


def usage_of(tokens: Tokens) -> Usage:
    """Return the Responses API's counts as ours: its input has the cached ones in it."""
    return Usage(
        input=tokens.input_tokens,
        output=tokens.output_tokens,
        cache_read=tokens.cached_input_tokens,
        cache_write=tokens.cache_write_input_tokens,
        reasoning=tokens.reasoning_output_tokens,
    )


def _turn_failed(line: TurnFailed, at: int) -> Iterator[Event]:
    why = reason(line.error.message if line.error else None)
    yield TurnFinished(at=at, error=why, interrupted=why == "interrupted")


def _error(line: ErrorLine, at: int) -> Iterator[Event]:
    """An error is fatal only when a ``turn.failed`` follows; mostly it announces a retry."""
    error = reason(line.message)
    if match := _RECONNECTING.search(line.message or ""):
        number, of = (None if n is None else int(n) for n in match.groups())
        yield Retry(at=at, attempt=number, max_attempts=of, error=error)
    else:
        yield ModelMessage(at=at, complete=True, error=error)


def _request_user_input(line: RequestUserInput, at: int) -> Iterator[Event]:
    if question := line.call_id or line.id:
        yield WaitBegan(at=at, id=question, kind="question", tool_id=line.call_id)
    else:
        yield StrayLine(at=at, reason="bad_shape", detail="request_user_input")


_READERS: Final[Readers] = {
    ThreadStarted: _thread_started,
    TurnStartedLine: _turn_started,
    TurnCompleted: _turn_completed,
    TurnFailed: _turn_failed,
    ItemStarted: items.started,
    ItemUpdated: items.updated,
    ItemCompleted: items.completed,
    RequestUserInput: _request_user_input,
    ErrorLine: _error,
}
_decoder: Final = decoder(_READERS, _QUIET)
decode: Final = line_reader(_decoder, _READERS, quiet=_QUIET)
