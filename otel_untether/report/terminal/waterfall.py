"""The waterfall: a line for each row, its bar on one axis of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from otel_untether.report.terminal import text as words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from otel_untether.report.terminal.rows import Row
    from otel_untether.report.terminal.style import Role, Style

_TIME_COLUMNS = 8
_GAPS = 3
_FEWEST = 8  # columns of bars


@dataclass(frozen=True, slots=True)
class Axis:
    """Time (ns since the epoch) laid out on columns, and the columns beside it."""

    start: int
    end: int
    columns: int
    labels: int

    def half_column(self, at: int) -> int:
        """Say on which half column a moment lies."""
        length = self.end - self.start
        if at <= self.start or length <= 0:
            return 0
        return (
            2 * self.columns
            if at >= self.end
            else round((at - self.start) / length * 2 * self.columns)
        )

    def halves(self, pieces: Iterable[tuple[int, int]]) -> bytearray:
        """Mark the half columns that these times cover; the shortest covers one."""
        marks = bytearray(2 * self.columns)
        begin, length, columns = self.start, self.end - self.start, self.columns
        # Many pieces of a fold are within the same columns; those within the axis, nearly all,
        # are placed as `half_column` places them.
        placed = {
            (
                round((s - begin) / length * 2 * columns),
                round((e - begin) / length * 2 * columns),
            )
            if begin < s <= e < self.end
            else (self.half_column(s), self.half_column(e))
            for s, e in pieces
        }
        for start, end in placed:
            first = min(start, len(marks) - 1)
            last = max(end, first + 1)
            marks[first:last] = b"\1" * (last - first)
        return marks


def axis(rows: Sequence[Row], style: Style) -> Axis:
    """Share the width out between names, times and bars."""
    first, last = min(row.start for row in rows), max(row.end for row in rows)
    wanted = max(words.width(_name(row, style)) for row in rows)
    room = style.width - 2 * _TIME_COLUMNS - _GAPS
    labels = min(max(wanted, 12), style.width * 2 // 5, room - _FEWEST)
    return Axis(first, last, room - labels, labels)


def lines(rows: Sequence[Row], on: Axis, style: Style) -> Iterator[str]:
    """Draw the rows below the axis of time."""
    yield style.paint("dim", _ruler(on))
    for row in rows:
        yield f"{_label(row, on, style)} {_times(row, on, style)} {bar(row, on, style)}".rstrip()


def bar(row: Row, on: Axis, style: Style) -> str:
    """Draw a row's times."""
    marks = on.halves(row.pieces)
    glyphs = _glyphs(row, style)
    cells = "".join(
        glyphs[left + 2 * right] for left, right in zip(marks[::2], marks[1::2], strict=True)
    )
    blank = len(cells) - len(cells.lstrip())
    role: Role = "error" if row.failed and not row.folded else row.role
    return " " * blank + style.paint(role, cells.strip())


def _glyphs(row: Row, style: Style) -> str:
    found = style.glyphs
    own = {"stall": found.stall, "wait": found.wait, "fold": found.thin}
    return own.get(row.role, found.solid)


def _ruler(on: Axis) -> str:
    columns = "start".rjust(on.labels + 1 + _TIME_COLUMNS) + " " + "took".rjust(_TIME_COLUMNS)
    length = on.end - on.start
    middle, end = words.duration(length // 2), words.duration(length)
    scale = middle.rjust(on.columns // 2 + len(middle) // 2)
    if len(scale) + len(end) + 2 > on.columns:
        scale = ""
    return f"{columns} {scale}{end.rjust(on.columns - len(scale))}"


def _label(row: Row, on: Axis, style: Style) -> str:
    stem, ellipsis = _stem(row, on, style), style.glyphs.ellipsis
    room = on.labels - words.width(stem)
    least = min(words.width(row.label), room // 2)
    note = words.clip(_note(row, style), room - least - 1, ellipsis)
    name = words.clip(row.label, room - words.width(note) - bool(note), ellipsis)
    filling = room - words.width(name) - words.width(note) - bool(note)
    painted = style.paint(_name_role(row), name)
    painted += f" {style.paint(_note_role(row), note)}" if note else ""
    return style.paint("dim", stem) + painted + " " * filling


def _stem(row: Row, on: Axis, style: Style) -> str:
    if not row.stem:
        return ""
    glyphs = style.glyphs
    *above, more = row.stem
    deepest = max(on.labels // 4 - 1, 1)
    cut = glyphs.ellipsis + " " if len(above) > deepest else ""
    levels = "".join(glyphs.stem if following else "  " for following in above[-deepest:])
    return cut + levels + (glyphs.branch if more else glyphs.corner)


def _name(row: Row, style: Style) -> str:
    """Return all that the label column would hold if it were wide enough."""
    note = _note(row, style)
    return "  " * len(row.stem) + row.label + (f" {note}" if note else "")


def _note(row: Row, style: Style) -> str:
    return f"{style.glyphs.failed} {row.note}" if row.failed and row.note else row.note


def _name_role(row: Row) -> Role:
    return "error" if row.failed and not row.folded else "fold" if row.folded else row.role


def _note_role(row: Row) -> Role:
    return "error" if row.failed else "stall" if row.role == "stall" else "dim"


def _times(row: Row, on: Axis, style: Style) -> str:
    offset = words.duration(row.start - on.start).rjust(_TIME_COLUMNS)
    took = words.duration(row.end - row.start).rjust(_TIME_COLUMNS)
    return f"{style.paint('dim', offset)} {took}"
