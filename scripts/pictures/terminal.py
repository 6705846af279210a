"""What a command printed in a terminal, as an SVG picture; with times, as a moving one.

Only colours are understood (Select Graphic Rendition, ECMA-48 8.3.117): our commands print no
other escape sequence.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_SGR: Final = re.compile(r"\x1b\[([0-9;]*)m")
_WIDTH, _HEIGHT = 8.0, 18  # of a character, in pixels
_MARGIN: Final = 16
_BAR: Final = 30
_LONGEST: Final = 1.6  # seconds that nothing moves at most
_COLOURS: Final = {
    "31": "#ff7b8a", "32": "#7ee0a3", "33": "#f2c572", "34": "#82aaff", "35": "#f58fe0",
    "36": "#7fd4e8",
}  # fmt: skip
_STYLE: Final = """
text { font: 13.4px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #dfe3ee; white-space: pre; }
.b { font-weight: 700; } .d { fill: #939bb0; }
.title { fill: #939bb0; }
@media (prefers-reduced-motion: no-preference) {
  .line { opacity: 0; animation: show 1ms linear forwards; }
}
@keyframes show { to { opacity: 1; } }
"""


class Line(NamedTuple):
    """A line with its colours, and when it was whole, in seconds from the start."""

    text: str
    at: float = 0.0


def record(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Line]:
    """Run a command on a terminal of its own; yield its lines as they come."""
    ours, theirs = os.openpty()
    began = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                          env=environ) as process:  # fmt: skip
        os.close(theirs)
        rest = b""
        while chunk := _read(ours):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield Line(line.decode().rstrip("\r"), time.monotonic() - began)
    os.close(ours)
    if process.returncode not in (0, None):
        raise SystemExit(f"{' '.join(command)}: exit {process.returncode}")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux' way to say that nobody has the other end any more
        return b""


def picture(title: str, lines: Iterable[Line], *, moving: bool = False) -> str:
    """Draw lines as a terminal's window; `moving` shows each when it came."""
    found = list(lines)
    columns = max((_columns(_SGR.sub("", line.text)) for line in found), default=80)
    width = round(columns * _WIDTH + 2 * _MARGIN)
    height = _BAR + len(found) * _HEIGHT + 2 * _MARGIN
    svg = canvas(width, height)
    SubElement(svg, "title").text = title
    SubElement(svg, "style").text = _STYLE
    SubElement(svg, "rect", width=str(width), height=str(height), rx="8", fill="#171a22")
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        SubElement(svg, "circle", cx=str(20 + 18 * number), cy="18", r="5.5", fill=colour)
    place = {"x": str(width // 2), "y": "22", "text-anchor": "middle", "class": "title"}
    SubElement(svg, "text", place).text = title
    shown = 0.0
    before = found[0].at if found else 0.0
    for number, line in enumerate(found):
        shown += min(line.at - before, _LONGEST)
        before = line.at
        y = _BAR + _MARGIN + (number + 1) * _HEIGHT - 5
        _draw(svg, line.text, y, shown if moving else None)
    return tostring(svg, encoding="unicode") + "\n"


def canvas(width: int, height: int) -> Element:
    """Return an empty picture of that size."""
    size = {"width": str(width), "height": str(height), "viewBox": f"0 0 {width} {height}"}
    return Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})


def _draw(svg: Element, text: str, y: int, at: float | None) -> None:
    group = SubElement(svg, "g")
    if at is not None:
        group.set("class", "line")
        group.set("style", f"animation-delay: {at:.2f}s")
    column = 0
    for part, codes in _runs(text):
        columns = _columns(part)
        if part.strip():
            lead = _columns(part) - _columns(part.lstrip())
            body = part.strip()
            attributes = {"x": f"{_MARGIN + (column + lead) * _WIDTH:g}", "y": str(y)}
            element = SubElement(group, "text", attributes)
            # Whatever font there is, each character has its column.
            element.set("textLength", f"{_columns(body) * _WIDTH:g}")
            element.set("lengthAdjust", "spacingAndGlyphs")
            _colour(element, codes)
            element.text = body
        column += columns


def _runs(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield pieces of one colour; long blanks part them, too, as a browser may shrink these."""
    codes: tuple[str, ...] = ()
    parts = _SGR.split(text)
    for index, part in enumerate(parts):
        if index % 2:
            codes = tuple(code for code in part.split(";") if code not in ("", "0"))
        else:
            yield from ((piece, codes) for piece in re.split(r"(?<=  )(?=\S)|(?<=\S)(?=  )", part))


def _colour(element: Element, codes: tuple[str, ...]) -> None:
    classes = [name for code, name in (("1", "b"), ("2", "d")) if code in codes]
    if classes:
        element.set("class", " ".join(classes))
    for code in codes:
        if code in _COLOURS:
            element.set("style", f"fill: {_COLOURS[code]}")


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
