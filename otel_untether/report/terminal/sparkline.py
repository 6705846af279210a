"""Samples of a process tree as small graphs, on the waterfall's axis of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.report.terminal import text as words
from otel_untether.session.wording import figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.report.run import Sample
    from otel_untether.report.silences import Silence
    from otel_untether.report.terminal.style import Style
    from otel_untether.report.terminal.waterfall import Axis

_SIDE_COLUMNS = 17  # the waterfall's two columns of times


def spark(values: Sequence[float | None], glyphs: str) -> str:
    """Draw values as one character each, from none to the highest; unknown is a blank."""
    top = _highest(values)
    steps = len(glyphs) - 1
    return "".join(
        " " if value is None else glyphs[round(max(value, 0) / top * steps) if top > 0 else 0]
        for value in values
    )


def lines(
    samples: Sequence[Sample], found: Sequence[Silence], on: Axis, style: Style
) -> Iterator[str]:
    """Draw CPU, memory, connections and output, those of them that are known.

    Above them the silences are marked, so that what changed when it fell silent is seen.
    """
    moments = [sample.at for sample in samples]
    if moments and found:
        yield _marks(found, on, style)
    for name, values, told in _series(samples):
        columns = _columns(moments, values, on)
        if any(value is not None for value in columns):
            graph = spark(columns, style.glyphs.sparks).rstrip()
            title = words.pad(words.clip(name, on.labels, style.glyphs.ellipsis), on.labels)
            side = style.paint("dim", f"{title} {told.rjust(_SIDE_COLUMNS)}")
            yield f"{side} {style.paint('model', graph)}"


def _marks(found: Sequence[Silence], on: Axis, style: Style) -> str:
    """Draw the silences on the axis."""
    halves = on.halves((silence.start, silence.end) for silence in found)
    glyphs = style.glyphs.stall
    pairs = zip(halves[::2], halves[1::2], strict=True)
    drawn = "".join(glyphs[left + 2 * right] for left, right in pairs).rstrip()
    title = words.pad(words.clip("silent", on.labels, style.glyphs.ellipsis), on.labels)
    side = style.paint("dim", f"{title} {' ' * _SIDE_COLUMNS}")
    return f"{side} {style.paint('stall', drawn)}"


def _series(samples: Sequence[Sample]) -> Iterator[tuple[str, list[float | None], str]]:
    """Yield each series: its name, its values, and what to say of them."""
    cpu = [sample.cpu for sample in samples]
    yield "CPU", cpu, f"peak {_highest(cpu):.2f} cores"
    rss = [sample.rss for sample in samples]
    yield "memory", rss, f"peak {words.size(_highest(rss))}"
    tcp = [sample.tcp for sample in samples]
    yield "TCP", tcp, f"peak {figure(int(_highest(tcp)), 'socket')}"
    age = [sample.age for sample in samples]
    yield "last byte", age, f"{words.duration(int(_highest(age) * 1e9))} ago at most"
    total = _highest([sample.output for sample in samples])
    yield "output", list(_rates(samples)), words.size(total)


def _highest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _columns(
    moments: Sequence[int], values: Sequence[float | None], on: Axis
) -> list[float | None]:
    """Keep the highest value of each column; one without a sample goes on as it was."""
    found: list[float | None] = [None] * on.columns
    last = 0
    for at, value in zip(moments, values, strict=True):
        if not on.start <= at <= on.end:
            continue
        column = min(on.half_column(at) // 2, on.columns - 1)
        found[last + 1 : column] = [found[last]] * (column - last - 1)
        known = [height for height in (value, found[column]) if height is not None]
        found[column] = max(known, default=None)
        last = column
    return found


def _rates(samples: Sequence[Sample]) -> Iterator[float | None]:
    """Yield the bytes printed since the sample before, None where either is unknown."""
    before: float | None = None
    for sample in samples:
        known = before is not None and sample.output is not None
        yield max((sample.output or 0) - (before or 0), 0) if known else None
        before = sample.output
