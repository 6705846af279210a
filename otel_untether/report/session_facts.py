"""What a session was, in one place: from its root span, else from what can be counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from otel_untether import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_untether.report.run import Recorded
    from otel_untether.report.span_node import SpanNode
    from otel_untether.store.otlp_values import Attributes
    from otel_untether.store.runs import RunRecord

_TOKENS: Final = {
    "input": semconv.INPUT_TOKENS,
    "output": semconv.OUTPUT_TOKENS,
    "cache_read": semconv.CACHE_READ_TOKENS,
    "cache_write": semconv.CACHE_WRITE_TOKENS,
    "reasoning": semconv.REASONING_TOKENS,
}
_PEAKS: Final = {
    "rss": semconv.PEAK_RSS,
    "cpu": semconv.PEAK_CPU,
    "tcp": semconv.PEAK_TCP,
    "fds": semconv.PEAK_FDS,
    "processes": semconv.PEAK_PROCESSES,
}


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """SessionFacts of a session; None is unknown. Times in ns since the epoch."""

    engine: str
    outcome: str
    started: int
    ended: int
    run_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None
    model: str | None = None
    version: str | None = None
    error: str | None = None
    exit_code: int | None = None
    turns: int | None = None
    tools: int | None = None
    tool_errors: int | None = None
    stalls: int = 0
    cost_usd: float | None = None
    tainted: bool = False
    oddities: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)


def facts(recorded: Recorded, root: SpanNode) -> SessionFacts:
    """Say what the session was."""
    found = root.attributes
    tools, chats = root.every("tool"), root.every("chat")
    record = recorded.record
    outcome, error = _outcome(recorded, root)
    return SessionFacts(
        engine=_text(found, semconv.ENGINE) or (record.engine if record else "unknown"),
        outcome=outcome,
        error=error,
        started=root.start,
        ended=root.end or recorded.until,
        run_id=_text(found, semconv.RUN_ID) or (record.run_id if record else None),
        trace_id=root.trace_id or None,
        session_id=_text(found, semconv.CONVERSATION_ID),
        model=_model(found, chats),
        version=_text(found, semconv.ENGINE_VERSION),
        exit_code=_integer(found, semconv.PROCESS_EXIT_CODE),
        turns=_integer(found, semconv.TURNS),
        tools=_counted(found, semconv.TOOLS, len(tools)),
        tool_errors=_counted(found, semconv.TOOL_ERRORS, sum(node.failed for node in tools)),
        stalls=len(root.every("stall")),
        cost_usd=_cost(found, record),
        tainted=found.get(semconv.TAINTED) is True,
        oddities=_texts(found, semconv.ODDITIES),
        tokens=_tokens(found, chats),
        peaks=_peaks(found),
    )


def _outcome(recorded: Recorded, root: SpanNode) -> tuple[str, str | None]:
    if recorded.running:
        return "running", None
    error = _text(root.attributes, semconv.ERROR_TYPE)
    word = _text(root.attributes, semconv.OUTCOME)
    if word is None and recorded.record is not None:
        word = recorded.record.outcome
    return word or "unknown", error if error != word else None


def _model(found: Attributes, chats: Sequence[SpanNode]) -> str | None:
    asked = _text(found, semconv.REQUEST_MODEL)
    answered = (chat.attribute(semconv.RESPONSE_MODEL) for chat in chats)
    return asked or next((str(name) for name in answered if name), None)


def _cost(found: Attributes, record: RunRecord | None) -> float | None:
    cost = found.get(semconv.COST_USD)
    if isinstance(cost, int | float):
        return float(cost)
    return record.cost_usd if record else None


def _tokens(found: Attributes, chats: Sequence[SpanNode]) -> dict[str, int]:
    """Take the session's own totals; the sum of its messages where it gave none."""
    told = semconv.INPUT_TOKENS in found
    sources = iter((found,)) if told else (chat.unkept_attributes() for chat in chats)
    totals: dict[str, int] = {}
    for source in sources:
        for word, name in _TOKENS.items():
            count = _integer(source, name)
            if count is not None:
                totals[word] = totals.get(word, 0) + count
    return totals


def _counted(found: Attributes, name: str, number: int) -> int | None:
    """Take the session's own count; ours while it has none, because it still runs.

    A session that ended without a count was not understood: none is not nought.
    """
    told = _integer(found, name)
    ended = semconv.OUTCOME in found
    return told if told is not None or (ended and not number) else number


def _peaks(found: Attributes) -> dict[str, float]:
    values = {word: found.get(name) for word, name in _PEAKS.items()}
    return {word: value for word, value in values.items() if isinstance(value, int | float)}


def _text(found: Attributes, name: str) -> str | None:
    value = found.get(name)
    return str(value) if value is not None else None


def _texts(found: Attributes, name: str) -> tuple[str, ...]:
    value = found.get(name)
    return tuple(map(str, value)) if isinstance(value, tuple) else ()


def _integer(found: Attributes, name: str) -> int | None:
    value = found.get(name)
    return int(value) if isinstance(value, int | float) else None
