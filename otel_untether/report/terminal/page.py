"""The report as text: what the session was, its waterfall, where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.report import breakdown
from otel_untether.report.session_facts import facts
from otel_untether.report.terminal import header, sparkline, waterfall
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.rows import rows
from otel_untether.report.terminal.style import joined
from otel_untether.report.terminal.waterfall import Axis, axis
from otel_untether.session.wording import figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.run import Recorded
    from otel_untether.report.span_tree import SpanEvent, SpanNode
    from otel_untether.report.terminal.style import Role, Style
    from otel_untether.store.otlp_values import Value

LINES: Final = 45
_TOOLS, _EVENTS, _STALLS = 8, 10, 5

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
    yield from header.lines(facts(recorded, root), style)
    yield ""
    laid_out = rows(root, recorded.until, limit)
    on = axis(laid_out, style)
    yield from waterfall.lines(laid_out, on, style)
    if any(row.folded for row in laid_out):
        hint = "Some spans share a line; --all gives each its own."
        yield style.paint("dim", words.clip(hint, style.width, style.glyphs.ellipsis))
    yield from _section("", sparkline.lines(recorded.samples, on, style), style)
    yield from _section("Where the time went", _time(root, recorded.until, on, style), style)
    yield from _section("Tools", _tools(root, recorded.until, on, style), style)
    yield from _section("Stalls", _stalls(root, style), style)
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


def _stalls(root: SpanNode, style: Style) -> Iterator[str]:
    """Tell each silence once, by the last of its warnings."""
    silences = {node.start: node for node in root.walk() if node.kind == "stall"}
    for node in list(silences.values())[-_STALLS:]:
        found = node.attributes
        cause = words.safe(str(found.get(semconv.STALL_CAUSE) or "cause unknown"))
        number = found.get(semconv.STALL_NUMBER)
        warned = figure(number, "warning") if isinstance(number, int) else "warned"
        last = words.duration((node.end or node.start) - root.start)
        idle = words.duration(_idle(node))
        yield f"  {style.paint('stall', cause)}  silent for {idle}, {warned}, last at {last}"
        yield from _evidence(found.get(semconv.STALL_EVIDENCE), style)
    if silences:
        yield from _diagnostics(list(silences.values())[-1], style)


def _evidence(evidence: Value, style: Style) -> Iterator[str]:
    said = evidence if isinstance(evidence, tuple) else (evidence,) if evidence else ()
    for sentence in said:
        yield f"    {style.glyphs.dot} {words.safe(str(sentence))}"


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


def _idle(stall: SpanNode) -> int:
    idle = stall.attributes.get(semconv.STALL_IDLE)
    if isinstance(idle, int | float):
        return int(idle * 1e9)
    return stall.duration(stall.start)
