"""The waterfall and the curves of a page: rows of one table on one axis of time.

A bar's place is in thousandths of a per cent of the session. Each row draws in coordinates of
its own that all say the same, so that zooming is to give all of them another viewBox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.report.html.elements import add, shown
from otel_untether.report.terminal import text as words
from otel_untether.report.terminal.rows import rows
from otel_untether.session.wording import figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from xml.etree.ElementTree import Element

    from otel_untether.report.run import Recorded, Sample
    from otel_untether.report.silences import Silence
    from otel_untether.report.span_node import SpanNode
    from otel_untether.report.terminal.rows import Row

UNITS: Final = 100_000  # of the axis of time
_HEIGHT: Final = 100
_ROWS: Final = 600
_NAME: Final = 120  # characters
_PIECES: Final = 300  # of a fold
_POINTS: Final = 500
_TICKS: Final = 5
_DEEPEST: Final = 8


class Axis:
    """Time from the session's start to its end (ns since the epoch), in units of the drawing."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.length = start, max(end - start, 1)

    def place(self, at: int) -> int:
        """Say where a moment lies."""
        return round(min(max(at - self.start, 0), self.length) * UNITS / self.length)


def waterfall(
    parent: Element, recorded: Recorded, root: SpanNode, found: Sequence[Silence]
) -> None:
    """Add the table: the axis, a curve for each series that is known, a row for each span."""
    end = root.end or recorded.until
    on = Axis(root.start, end)
    _controls(parent)
    box = add(
        parent,
        "div",
        class_="scroll",
        id="waterfall",
        tabindex=0,
        role="region",
        aria_label="Waterfall and curves",
        data_ms=on.length // 1_000_000,
    )
    table = add(box, "table", class_="waterfall")
    add(table, "caption", "Spans and the process tree, on one axis of time")
    _head(table, on)
    curves = add(table, "tbody", class_="curves")
    for series in _SERIES:
        _curve(curves, series, recorded.samples, found, on)
    body = add(table, "tbody", class_="spans")
    for row in rows(root, recorded.until, _ROWS):
        _span(body, row, on)


def _controls(parent: Element) -> None:
    """Add what only a script can serve; the script shows it."""
    box = add(parent, "div", class_="controls", id="controls", hidden="hidden")
    group = add(box, "div", role="group", aria_label="Zoom")
    for key, label, sign in (
        ("in", "Zoom in", "+"),
        ("out", "Zoom out", "\N{MINUS SIGN}"),
        ("left", "Earlier", "\N{LEFTWARDS ARROW}"),
        ("right", "Later", "\N{RIGHTWARDS ARROW}"),
        ("all", "Whole session", "whole"),
    ):
        add(group, "button", sign, type="button", data_zoom=key, aria_label=label, title=label)
    field = add(box, "label", "Show rows with ")
    add(field, "input", type="search", id="filter")
    add(box, "output", id="range", aria_live="polite")


def _head(table: Element, on: Axis) -> None:
    row = add(add(table, "thead"), "tr")
    for name in ("span", "start", "took"):
        add(row, "th", name, scope="col", class_=None if name == "span" else "number")
    cell = add(row, "th", scope="col", class_="axis")
    ticks = add(cell, "div", class_="ticks")
    for number in range(_TICKS):
        moment = words.duration(on.length * number // (_TICKS - 1))
        add(ticks, "span", moment, class_="tick")


def _span(body: Element, row: Row, on: Axis) -> None:
    kind = "failed" if row.failed and not row.folded else row.role
    line = add(body, "tr", class_=f"{kind} depth-{min(len(row.stem), _DEEPEST)}")
    name = add(line, "th", scope="row")
    add(name, "span", shown(row.label, _NAME), class_="name")
    if row.note:
        mark = "\N{BALLOT X} " if row.failed else ""
        add(name, "span", f" {mark}{shown(row.note, _NAME)}", class_="note")
    add(line, "td", words.duration(row.start - on.start), class_="number")
    add(line, "td", words.duration(row.end - row.start), class_="number")
    drawing = _drawing(add(line, "td", class_="bar"), 10, aria_hidden="true")
    for start, end in _thinned(row.pieces, on):
        add(drawing, "rect", x=start, y=1, width=max(end - start, 1), height=8)


def _thinned(pieces: Sequence[tuple[int, int]], on: Axis) -> list[tuple[int, int]]:
    """Join pieces of a fold that nobody could tell apart, so that a page stays small."""
    gap = max(on.length // _PIECES, 1)
    joined: list[tuple[int, int]] = []
    ordered = sorted(pieces)
    first, last = ordered[0]
    for start, end in ordered:
        if start - last < gap:
            last = max(last, end)
        else:
            joined.append((first, last))
            first, last = start, end
    return [(on.place(start), on.place(end)) for start, end in (*joined, (first, last))]


class _Series(NamedTuple):
    """What is drawn of the samples; `least` is the top of a curve that stays below it."""

    name: str
    value: Callable[[Sample], float | None]
    told: Callable[[float], str]
    least: float


_SERIES: Final = (
    _Series("CPU", lambda it: it.cpu, lambda top: f"peak {top:.2f} cores", 0.2),
    _Series("memory", lambda it: it.rss, lambda top: f"peak {words.size(top)}", 1.0),
    _Series("sockets", lambda it: it.tcp, lambda top: f"peak {figure(int(top), 'socket')}", 1.0),
    _Series(
        "last byte received",
        lambda it: it.age,
        lambda top: f"{words.duration(int(top * 1e9))} ago at most",
        1.0,
    ),
    _Series("output", lambda it: it.output, lambda top: f"{words.size(top)} in all", 1.0),
)


def _curve(
    body: Element,
    series: _Series,
    samples: Sequence[Sample],
    found: Sequence[Silence],
    on: Axis,
) -> None:
    """Add a series, if anything is known of it."""
    values = [series.value(sample) for sample in samples]
    known = [value for value in values if value is not None]
    if not known:
        return
    told = series.told(max(known))
    line = add(body, "tr")
    add(line, "th", series.name, scope="row")
    add(line, "td", told, colspan=2, class_="number")
    drawing = _drawing(add(line, "td", class_="curve"), _HEIGHT, role="img")
    drawing.set("aria-label", f"{series.name} over time, {told}")
    for silence in found:
        start, end = on.place(silence.start), on.place(silence.end)
        width = max(end - start, 1)
        add(drawing, "rect", x=start, y=0, width=width, height=_HEIGHT, class_="silence")
    places = [on.place(sample.at) for sample in samples]
    for points in _lines(places, values, max(series.least, *known)):
        add(drawing, "polyline", points=" ".join(f"{x},{y}" for x, y in points))


def _lines(
    places: list[int], values: list[float | None], top: float
) -> Iterator[list[tuple[int, int]]]:
    """Yield the pieces of a curve: where a value is unknown nothing is drawn."""
    piece: list[tuple[int, int]] = []
    for place, value in _highest(places, values):
        if value is None:
            if piece:
                yield piece
            piece = []
        else:
            piece.append((place, round(_HEIGHT - 4 - value / top * (_HEIGHT - 8))))
    if piece:
        yield piece if len(piece) > 1 else [piece[0], (piece[0][0] + 1, piece[0][1])]


def _highest(places: list[int], values: list[float | None]) -> Iterator[tuple[int, float | None]]:
    """Yield at most so many points as one could tell apart, of each group the highest."""
    step = max(-(-len(values) // _POINTS), 1)
    for first in range(0, len(values), step):
        group = range(first, min(first + step, len(values)))
        known = [index for index in group if values[index] is not None]
        best = max(known, key=lambda index: values[index] or 0.0, default=first)
        yield places[best], values[best]


def _drawing(cell: Element, height: int, **attributes: str) -> Element:
    return add(
        cell, "svg", viewBox=f"0 0 {UNITS} {height}", preserveAspectRatio="none", **attributes
    )
