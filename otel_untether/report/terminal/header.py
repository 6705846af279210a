"""The first lines of a report: what the session was, and how to find it elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.style import joined
from otel_untether.session.wording import figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.report.session_facts import SessionFacts
    from otel_untether.report.terminal.style import Role, Style

_OUTCOME_ROLES: Final[dict[str, Role]] = {"completed": "good", "running": "wait"}
_COUNTED: Final = (
    ("processes", "process", "processes"),
    ("tcp", "socket", "sockets"),
    ("fds", "descriptor", "descriptors"),
)


def lines(told: SessionFacts, style: Style) -> Iterator[str]:
    """Yield the lines about the session as a whole."""
    engine = " ".join(word for word in (told.engine, told.version) if word)
    role = _OUTCOME_ROLES.get(told.outcome, "error")
    outcome = told.outcome + (f" ({told.error})" if told.error else "")
    took = words.duration(told.ended - told.started)
    yield (
        f"{style.paint('title', words.safe(engine))}  "
        f"{style.paint(role, words.safe(outcome))}  in {took}"
    )
    yield from joined(_numbers(told), style)
    identity = {"trace": told.trace_id, "run": told.run_id, "session": told.session_id}
    named = [f"{word} {value}" for word, value in identity.items() if value]
    started = datetime.fromtimestamp(told.started / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    for line in joined([*named, f"started {started}"], style):
        yield style.paint("dim", line)


def _numbers(told: SessionFacts) -> list[str]:
    failed = f" ({told.tool_errors} failed)" if told.tool_errors else ""
    parts = [
        told.model,
        None if told.turns is None else figure(told.turns, "turn"),
        None if told.tools is None else figure(told.tools, "tool call") + failed,
        figure(told.stalls, "stall warning") if told.stalls else None,
        _tokens(told),
        None if told.cost_usd is None else words.money(told.cost_usd),
        f"exit {told.exit_code}" if told.exit_code else None,
        "resumes a tainted session" if told.tainted else None,
        f"odd: {'; '.join(told.oddities)}" if told.oddities else None,
        *_peaks(told),
    ]
    return [part for part in parts if part]


def _tokens(told: SessionFacts) -> str | None:
    if not told.tokens:
        return None
    cached = told.tokens.get("cache_read")
    read = f"{told.tokens.get('input', 0):,} tokens in" + (
        f" ({cached:,} cached)" if cached else ""
    )
    return f"{read}, {told.tokens.get('output', 0):,} out"


def _peaks(told: SessionFacts) -> Iterator[str]:
    if "rss" in told.peaks:
        yield f"peak {words.size(told.peaks['rss'])}"
    if "cpu" in told.peaks:
        yield f"peak {told.peaks['cpu']:.2f} cores"
    for word, noun, plural in _COUNTED:
        if word in told.peaks:
            yield f"peak {figure(int(told.peaks[word]), noun, plural)}"
