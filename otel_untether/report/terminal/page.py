"""The report as text: what the session was, its waterfall, where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.report import breakdown
from otel_untether.report.session_facts import facts
from otel_untether.report.silences import silences
from otel_untether.report.terminal import header, sparkline, verdict_lines, waterfall
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.rows import failure, label, rows
from otel_untether.report.terminal.style import joined
from otel_untether.report.terminal.waterfall import Axis, axis
from otel_untether.report.verdict import verdict
from otel_untether.session.wording import figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.run import Recorded
    from otel_untether.report.span_node import SpanEvent, SpanNode
    from otel_untether.report.terminal.style import Role, Style
    from otel_untether.store.otlp_values import Value

LINES: Final = 45
_TOOLS, _EVENTS, _STALLS, _SLOWEST = 8, 10, 5, 5

_CATEGORY_ROLES: Final[dict[breakdown.Category, Role]] = {
    "model": "model",
    "tools": "tool",
    "waits": "wait",
    "stalls": "stall",
    "other": "dim",
}
_STALL: Final = "untether.stall."
_TOLD: Final = frozenset(
    (
        semconv.STALL_CAUSE,
        semconv.STALL_IDLE,
        semconv.STALL_NUMBER,
        semconv.STALL_EVIDENCE,
        semconv.STALL_ADVICE,
        semconv.ERROR_TYPE,
        semconv.RUN_ID,
        semconv.ENGINE,
    )
)


def render(recorded: Recorded, style: Style, limit: int | None = LINES) -> Iterator[str]:
    """Yield the report's lines; `limit` bounds those of the waterfall, None shows every span."""
    root = recorded.root
    if root is None:
        yield style.paint("title", recorded.name)
        yield "no spans were recorded for this run"
    else:
        yield from _session(recorded, root, style, limit)
    for problem in recorded.problems:
        yield style.paint("wait", f"not read: {words.safe(problem)}")


def _session(recorded: Recorded, root: SpanNode, style: Style, limit: int | None) -> Iterator[str]:
    told, judged = facts(recorded, root), verdict(recorded)
    yield header.headline(told, judged, style)
    yield from verdict_lines.lines(judged, style)
    yield from header.lines(told, style)
    yield ""
    laid_out = rows(root, recorded.until, limit)
    on = axis(laid_out, style)
    yield from waterfall.lines(laid_out, on, style)
    if any(row.folded for row in laid_out):
        hint = "Some spans share a line; --all gives each its own."
        yield style.paint("dim", words.clip(hint, style.width, style.glyphs.ellipsis))
    found = silences(root, recorded.until)
    yield from _section("", sparkline.lines(recorded.samples, found, on, style), style)
    yield from _section("Where the time went", _time(root, recorded.until, on, style), style)
    yield from _section("Tools", _tools(root, recorded.until, on, style), style)
    yield from _section("Slowest calls", _slowest(root, recorded.until, on, style), style)
    yield from _section("Stalls", _stalls(root, recorded.until, style), style)
    yield from _section("Events", _events(root, style), style)


def _section(title: str, found: Iterable[str], style: Style) -> Iterator[str]:
    found = list(found)
    if found:
        yield ""
        if title:
            yield style.paint("title", title)
        yield from found


def _time(root: SpanNode, until: int, on: Axis, style: Style) -> Iterator[str]:
    spent = breakdown.wall_time(root, until)
    total = max(sum(spent.values()), 1)
    for category, nanoseconds in spent.items():
        if nanoseconds:
            share = nanoseconds / total
            length = max(round(share * on.columns), 1)
            role = _CATEGORY_ROLES[category]
            title = words.pad(f"  {category}", on.labels)
            took = words.duration(nanoseconds).rjust(8)
            graph = style.paint(role, style.glyphs.solid[3] * length)
            yield f"{title} {took} {share:>7.0%}  {graph}"


def _tools(root: SpanNode, until: int, on: Axis, style: Style) -> Iterator[str]:
    totals = breakdown.tool_totals(root, until)
    for total in totals[:_TOOLS]:
        name = words.clip(words.safe(total.name), on.labels - 2, style.glyphs.ellipsis)
        failed = style.paint("error", f"  {total.errors} failed") if total.errors else ""
        longest = f"  longest {words.duration(total.longest)}" if total.calls > 1 else ""
        calls = figure(total.calls, "call").rjust(9)
        took = words.duration(total.total).rjust(8)
        yield f"  {words.pad(name, on.labels - 2)} {took} {calls}{longest}{failed}"
    if len(totals) > _TOOLS:
        rest = totals[_TOOLS:]
        calls = figure(sum(total.calls for total in rest), "call")
        yield style.paint("dim", f"  and {calls} of {figure(len(rest), 'other tool')}")


def _slowest(root: SpanNode, until: int, on: Axis, style: Style) -> Iterator[str]:
    """Name the longest calls, with when they began; few calls are all in the waterfall."""
    found = breakdown.slowest(root, until, _SLOWEST + 1)
    if len(found) <= _SLOWEST:
        return
    for node in found[:_SLOWEST]:
        name = words.clip(words.safe(label(node)), on.labels - 2, style.glyphs.ellipsis)
        took = words.duration(node.duration(until)).rjust(8)
        began = words.duration(node.start - root.start)
        failed = style.paint("error", f"  {words.safe(failure(node))}") if node.failed else ""
        still = style.paint("wait", "  still open") if node.end is None else ""
        yield f"  {words.pad(name, on.labels - 2)} {took}  at {began}{failed}{still}"


def _stalls(root: SpanNode, until: int, style: Style) -> Iterator[str]:
    """Tell each silence once, by the last of its warnings."""
    found = silences(root, until)
    for silence in found[-_STALLS:]:
        warned = figure(len(silence.warnings), "warning")
        last = words.duration((silence.last.end or silence.last.start) - root.start)
        cause = style.paint("stall", words.safe(words.cut(silence.cause)))
        yield f"  {cause}  {silence.said()}, {warned}, last at {last}"
        for sentence in silence.evidence:
            yield f"    {style.glyphs.dot} {words.safe(words.cut(sentence))}"
    if found:
        yield from _diagnostics(found[-1].last, style)


def _diagnostics(stall: SpanNode, style: Style) -> Iterator[str]:
    told = {name: _plain(value) for name, value in stall.attributes.items() if name not in _TOLD}
    parts = [f"{name.removeprefix(_STALL)} {value}" for name, value in told.items() if value]
    for line in joined(parts, style):
        yield style.paint("dim", f"    {line}")


def _events(root: SpanNode, style: Style) -> Iterator[str]:
    told = [event for event in root.events if event.name != semconv.EVENT_SUMMARY]
    for event in told[-_EVENTS:]:
        at = words.duration(event.at - root.start).rjust(8)
        name = event.name.removeprefix("untether.")
        line = f"  {at}  {name}  {_facts_of(event)}"
        yield words.clip(words.safe(line).rstrip(), style.width, style.glyphs.ellipsis)


def _facts_of(event: SpanEvent) -> str:
    told = {name: _plain(value) for name, value in event.attributes.items() if _is_told(name)}
    return "  ".join(f"{name.rpartition('.')[2]}={value}" for name, value in told.items() if value)


def _is_told(name: str) -> bool:
    """Leave out what the section on stalls says already."""
    if name in (semconv.STALL_CAUSE, semconv.STALL_IDLE):
        return True
    return name != semconv.RUN_ID and not name.startswith(_STALL)


def _plain(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
