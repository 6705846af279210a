"""How a session went: one line for people, one set of attributes for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from otel_untether import semconv
from otel_untether.session.wording import duration, figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import SpanContext
    from opentelemetry.util.types import AttributeValue

    from otel_untether.session.events import Usage
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState


_FAILED: Final = frozenset({"failed", "needs-auth"})


class Summary(Struct, frozen=True):
    """What the completion line and the event `untether.session.summary` say.

    `duration` in seconds, `cost_usd` None where the engine prints no cost, `turns`, `tools` and
    `tool_errors` None where nothing that it printed was understood, `extra` the attributes that
    others measured (peaks, stalls), `oddities` how often what should not happen did, by name.
    """

    run_id: str
    engine: str
    executable: str | None
    outcome: Outcome
    duration: float
    exit_code: int | None
    turns: int | None
    tools: int | None
    tool_errors: int | None
    usage: Usage
    cost_usd: float | None
    session_id: str | None
    model: str | None
    version: str | None
    lines: int | None
    stray_lines: int | None
    extra: Mapping[str, AttributeValue] = field(default_factory=dict)
    trace_id: str | None = None
    oddities: Mapping[str, int] = field(default_factory=dict)

    def attributes(self) -> dict[str, AttributeValue]:
        """As attributes of the root span and of the summary event."""
        known: dict[str, AttributeValue | None] = {
            semconv.OUTCOME: self.outcome.word,
            semconv.DURATION: round(self.duration, 6),
            semconv.PROCESS_EXIT_CODE: self.exit_code,
            semconv.TURNS: self.turns,
            semconv.TOOLS: self.tools,
            semconv.TOOL_ERRORS: self.tool_errors,
            semconv.COST_USD: self.cost_usd,
            semconv.REQUEST_MODEL: self.model,
            semconv.ENGINE_VERSION: self.version,
            semconv.LINES: self.lines,
            semconv.STRAY_LINES: self.stray_lines,
            semconv.ODDITIES: [f"{what} {n}" for what, n in sorted(self.oddities.items())] or None,
            semconv.STALLED: False,
            semconv.STALL_COUNT: 0,
            **usage_attributes(self.usage),
            **self.extra,
        }
        return {name: value for name, value in known.items() if value is not None}

    def of_trace(self, context: SpanContext) -> Summary:
        """The same, with the id of the trace it belongs to.

        :param context: of any of its spans.
        """
        return replace(self, trace_id=f"{context.trace_id:032x}" if context.is_valid else None)

    def text(self) -> str:
        """As one line: outcome, duration, turns, tools, errors, tokens, cost, memory, trace."""
        word, error = self.outcome
        failed = f" ({self.tool_errors} failed)" if self.tool_errors else ""
        stalls = self.extra.get(semconv.STALL_COUNT)
        known = self.engine != "unknown"
        name = self.engine if known else self.executable or self.engine
        parts = [
            f"{name} {word}" + (f" ({error})" if error else ""),
            f"in {duration(self.duration)}",
            None if self.turns is None else figure(self.turns, "turn"),
            None if self.tools is None else figure(self.tools, "tool") + failed,
            _tokens(self.usage),
            None if self.cost_usd is None else f"${self.cost_usd:.4f}",
            _peak(self.extra.get(semconv.PEAK_RSS)),
            figure(stalls, "stall warning") if isinstance(stalls, int) and stalls else None,
            f"trace {self.trace_id}" if self.trace_id else None,
        ]
        return ", ".join(part for part in parts if part)


def summarise(
    state: SessionState,
    outcome: Outcome,
    exit_code: int | None,
    ended: int,
    extra: Mapping[str, AttributeValue],
    *,
    executable: str | None = None,
) -> Summary:
    """Sum a session up at its end (`ended` in ns since the epoch)."""
    counted = state.understood
    tools_told = counted and (state.tools > 0 or not state.traits.silent_until_done)
    return Summary(
        run_id=state.run_id,
        engine=state.engine,
        executable=executable,
        outcome=outcome,
        duration=(ended - state.started) / 1e9,
        exit_code=exit_code,
        turns=state.turns if counted else None,
        tools=state.tools if tools_told else None,
        tool_errors=state.tool_errors if tools_told else None,
        usage=state.tokens,
        cost_usd=state.cost,
        session_id=state.session_id,
        model=state.model,
        version=state.version,
        lines=state.lines if state.lines_known else None,
        stray_lines=state.stray_lines if state.lines_known else None,
        extra={**_learnt(state), **extra},
        oddities=dict(state.oddities),
    )


def _learnt(state: SessionState) -> dict[str, AttributeValue]:
    """What only the whole stream told."""
    failed = [server.name for server in state.mcp_servers if server.status in _FAILED]
    learnt: dict[str, AttributeValue] = {}
    if failed:
        learnt[semconv.MCP_FAILED] = tuple(failed)
    if state.resumed:
        learnt[semconv.RESUMED] = True
    return learnt


def usage_attributes(usage: Usage | None) -> dict[str, AttributeValue]:
    """Tokens as attributes, those that are known."""
    if usage is None:
        return {}
    known = {
        semconv.INPUT_TOKENS: usage.input,
        semconv.OUTPUT_TOKENS: usage.output,
        semconv.CACHE_READ_TOKENS: usage.cache_read,
        semconv.CACHE_WRITE_TOKENS: usage.cache_write,
        semconv.REASONING_TOKENS: usage.reasoning,
    }
    return {name: count for name, count in known.items() if count is not None}


def _tokens(usage: Usage) -> str | None:
    if usage.input is None and usage.output is None:
        return None
    return f"{usage.input or 0:,} tokens in, {usage.output or 0:,} out"


def _peak(rss: AttributeValue | None) -> str | None:
    return f"peak {rss / 2**20:.0f} MiB" if isinstance(rss, int) and rss >= 2**19 else None
