"""Two runs side by side: what differs between them, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from otel_untether.report.breakdown import tool_totals, wall_time
from otel_untether.report.session_facts import facts
from otel_untether.report.silences import silences
from otel_untether.report.terminal import text as words
from otel_untether.report.verdict import verdict
from otel_untether.store.runs import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_untether.report.run import Recorded

    Value = str | int | float | None
    Shown = Callable[[float], str]

_TOOLS = 6


class Row(NamedTuple):
    """A fact of both runs; durations in seconds, sizes in bytes, None is unknown."""

    name: str
    first: Value
    second: Value
    kind: str = "text"


class _Measured:
    """What is compared of one run."""

    def __init__(self, recorded: Recorded) -> None:
        root = recorded.root
        if root is None:
            raise StoreError(f"{recorded.name}: no spans were recorded, so nothing can be compared")
        told = facts(recorded, root)
        self.spent = {name: ns / 1e9 for name, ns in wall_time(root, recorded.until).items()}
        self.tools = {it.name: it.total / 1e9 for it in tool_totals(root, recorded.until)}
        silent = sum(it.length for it in silences(root, recorded.until)) / 1e9
        self.values: dict[tuple[str, str], Value] = {
            ("run", "text"): told.run_id,
            ("how it ended", "text"): verdict(recorded).how,
            ("engine", "text"): " ".join(filter(None, (told.engine, told.version))),
            ("model", "text"): told.model,
            ("took", "seconds"): (told.ended - told.started) / 1e9,
            ("silent", "seconds"): silent,
            ("turns", "count"): told.turns,
            ("tool calls", "count"): told.tools,
            ("failed calls", "count"): told.tool_errors,
            ("stall warnings", "count"): told.stalls,
            ("tokens in", "count"): told.tokens.get("input"),
            ("tokens cached", "count"): told.tokens.get("cache_read"),
            ("tokens out", "count"): told.tokens.get("output"),
            ("cost", "dollars"): told.cost_usd,
            ("peak memory", "bytes"): told.peaks.get("rss"),
            ("peak CPU", "cores"): told.peaks.get("cpu"),
        }


def compare(first: Recorded, second: Recorded) -> list[Row]:
    """Return what is known of either run; raises StoreError where one has no spans."""
    one, two = _Measured(first), _Measured(second)
    rows = [Row(name, one.values[name, kind], two.values[name, kind], kind)
            for name, kind in one.values]  # fmt: skip
    rows += [Row(f"time: {name}", one.spent[name], two.spent[name], "seconds")
             for name in one.spent]  # fmt: skip
    names = sorted({*one.tools, *two.tools}, key=lambda name: -_most(one, two, name))
    rows += [Row(f"tool: {name}", one.tools.get(name), two.tools.get(name), "seconds")
             for name in names[:_TOOLS]]  # fmt: skip
    return [row for row in rows if row.first is not None or row.second is not None]


def _most(one: _Measured, two: _Measured, name: str) -> float:
    return max(one.tools.get(name, 0.0), two.tools.get(name, 0.0))


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the rows as text, with what changed where both are numbers."""
    told = [("", "A", "B", "B - A"), *map(_cells, rows)]
    clean = [tuple(words.clip(words.safe(cell), 40, "…") for cell in line) for line in told]
    widths = [max(map(words.width, column)) for column in zip(*clean, strict=True)]
    for line in clean:
        yield "  ".join(map(words.pad, line, widths)).rstrip()


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.name, _said(row.first, row.kind), _said(row.second, row.kind), _change(row)


def _said(value: Value, kind: str) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    shown: dict[str, Shown] = {
        "seconds": lambda it: words.duration(round(it * 1e9)),
        "bytes": words.size,
        "dollars": words.money,
        "cores": lambda it: f"{it:.2f} cores",
        "count": lambda it: f"{it:,.0f}",
    }
    return shown[kind](value)


def _change(row: Row) -> str:
    if isinstance(row.first, str | None) or isinstance(row.second, str | None):
        return ""
    change = row.second - row.first
    if not change:
        return "="
    share = f" ({change / row.first:+.0%})" if row.first else ""
    return f"{'+' if change > 0 else '-'}{_said(abs(change), row.kind)}{share}"
