"""A chart of what it costs, of the figures that `make bench` printed for the README."""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from scripts.pictures.terminal import canvas


class Bar(NamedTuple):
    """One of several that are compared; `share` of the longest one."""

    name: str
    share: float
    said: str
    ours: bool = False


# In the README's table, too; a test compares.
FIGURES: Final[tuple[tuple[str, tuple[Bar, ...]], ...]] = (
    (
        "a look at a tree of ten processes",
        (Bar("otel-untether", 0.7 / 83, "0.7 ms", ours=True), Bar("psutil", 1.0, "83 ms")),
    ),
    (
        "bytes passed on in a second",
        (
            Bar("cat", 1.0, "as fast as it goes"),
            Bar("undecoded", 1.0, "as fast as cat", ours=True),
            Bar("decoded", 0.8, "0.8 of that", ours=True),
        ),
    ),
    (
        "a line of output is later by",
        (Bar("median", 30 / 500, "30 µs", ours=True), Bar("p99", 1.0, "50 to 500 µs", ours=True)),
    ),
)
_STYLE: Final = """
text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24262e; }
.head { font-weight: 600; } .said { fill: #565b6b; }
.ours { fill: #2563c9; } .other { fill: #9aa0b0; } .page { fill: #ffffff; }
@media (prefers-color-scheme: dark) {
  text { fill: #e8eaf0; } .said { fill: #a9afbf; } .page { fill: #14161c; }
  .ours { fill: #6ea4ff; } .other { fill: #666c7d; }
}
"""
_WIDTH, _LABEL, _LONGEST, _ROW = 720, 140, 400, 26


def chart() -> str:
    """Return the chart as SVG."""
    rows = sum(len(bars) + 2 for _, bars in FIGURES)
    height = rows * _ROW + 10
    svg = canvas(_WIDTH, height)
    SubElement(svg, "title").text = "What it costs"
    SubElement(svg, "style").text = _STYLE
    size = {"width": str(_WIDTH), "height": str(height), "rx": "8"}
    SubElement(svg, "rect", {"class": "page", **size})
    y = 0
    for title, bars in FIGURES:
        y += _ROW
        _text(svg, 20, y, title, "head")
        for bar in bars:
            y += _ROW
            _text(svg, 20, y, bar.name, "name")
            length = max(bar.share * _LONGEST, 2)
            place = {"x": str(_LABEL), "y": str(y - 13), "height": "16", "width": f"{length:.1f}"}
            SubElement(svg, "rect", {"class": "ours" if bar.ours else "other", "rx": "3", **place})
            _text(svg, round(_LABEL + length + 10), y, bar.said, "said")
        y += _ROW
    return tostring(svg, encoding="unicode") + "\n"


def _text(svg: Element, x: int, y: int, text: str, kind: str) -> None:
    SubElement(svg, "text", {"class": kind, "x": str(x), "y": str(y)}).text = text
