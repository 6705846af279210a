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
    from otel_untether.report.verdict import Mood, Verdict

_MOODS: Final[dict[Mood, Role]] = {"good": "good", "waiting": "wait", "bad": "error"}
_NAME: Final = 120  # characters
_COUNTED: Final = (
    ("processes", "process", "processes"),
    ("tcp", "socket", "sockets"),
    ("fds", "descriptor", "descriptors"),
)


def headline(told: SessionFacts, judged: Verdict, style: Style) -> str:
    """Say who it was, how it ended and after how long."""
    engine = " ".join(word for word in (told.engine, told.version) if word)
    took = words.duration(told.ended - told.started)
    name, how = (words.safe(words.cut(text, _NAME)) for text in (engine, judged.how))
    painted = style.paint(_MOODS[judged.mood], how)
    return f"{style.paint('title', name)}  {painted}  {since(told)} {took}"


def since(told: SessionFacts) -> str:
    """Return the word before a session's length."""
    return "for" if told.outcome == "running" else "in"


def lines(told: SessionFacts, style: Style) -> Iterator[str]:
    """Yield the lines about the session as a whole."""
    yield from joined(numbers(told), style)
    identity = {"trace": told.trace_id, "run": told.run_id, "session": told.session_id}
    named = [f"{word} {value}" for word, value in identity.items() if value]
    started = datetime.fromtimestamp(told.started / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    for line in joined([*named, f"started {started}"], style):
        yield style.paint("dim", line)


def numbers(told: SessionFacts) -> list[str]:
    """Return what can be counted of a session, each with its noun."""
    failed = f" ({told.tool_errors} failed)" if told.tool_errors else ""
    parts = [
        told.model,
        None if told.turns is None else figure(told.turns, "turn"),
        None if told.tools is None else figure(told.tools, "tool call") + failed,
        figure(told.stalls, "stall warning") if told.stalls else None,
        _tokens(told),
        None if told.cost_usd is None else words.money(told.cost_usd),
        f"exit {told.exit_code}" if told.exit_code else None,
        "resumes a session that froze before" if told.tainted else None,
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
