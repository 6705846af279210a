"""How a report is drawn: with colour or without, in Unicode or in ASCII, and how wide."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TextIO, TypeAlias

from otel_untether.report.terminal import text as words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ColorMode: TypeAlias = Literal["auto", "always", "never"]
Role: TypeAlias = Literal[
    "title", "dim", "good", "error", "stall", "wait", "tool", "model", "agent", "fold", "plain"
]

# Select Graphic Rendition (ECMA-48 8.3.117), the sixteen colours that every theme defines.
_SGR: Final[dict[Role, str]] = {
    "title": "1",
    "dim": "2",
    "good": "32",
    "error": "31",
    "stall": "1;35",
    "wait": "33",
    "tool": "32",
    "model": "36",
    "agent": "34",
    "fold": "2",
    "plain": "",
}
_NARROWEST, _WIDEST, _NOT_A_TERMINAL = 40, 240, 100


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of a drawing.

    Those of a bar stand for a column that is empty, covered in its left half, in its right
    half, wholly. Each kind of bar has its own, so that nothing is told by colour alone.
    """

    branch: str
    corner: str
    stem: str
    ellipsis: str
    failed: str
    dot: str
    solid: str
    thin: str
    stall: str
    wait: str
    sparks: str


UNICODE: Final = Glyphs(
    branch="├ ",
    corner="└ ",
    stem="│ ",
    ellipsis="…",
    failed="✗",
    dot="·",
    solid=" ╸╺━",
    thin=" ╴╶─",
    stall=" ▒▒▒",
    wait=" ╍╍╍",
    sparks="▁▂▃▄▅▆▇█",
)
ASCII: Final = Glyphs(
    branch="|-",
    corner="`-",
    stem="| ",
    ellipsis="~",
    failed="x",
    dot="-",
    solid=" ===",
    thin=" ---",
    stall=" !!!",
    wait=" ...",
    sparks="_.-~=+*#",
)


@dataclass(frozen=True, slots=True)
class Style:
    """Everything about the terminal that a drawing depends on."""

    width: int = _NOT_A_TERMINAL
    color: bool = False
    glyphs: Glyphs = UNICODE

    def paint(self, role: Role, text: str) -> str:
        """Colour the text, if there are colours."""
        code = _SGR[role]
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code and text.strip() else text


def style_of(
    stream: TextIO, environ: Mapping[str, str], mode: ColorMode = "auto", width: int | None = None
) -> Style:
    """Say how to draw on a stream.

    `auto` colours a terminal unless NO_COLOR (https://no-color.org) or a dumb TERM forbids
    it. The width is the given one, else COLUMNS or the terminal's own.
    """
    columns = width or shutil.get_terminal_size((_NOT_A_TERMINAL, 24)).columns
    return Style(
        width=min(max(columns, _NARROWEST), _WIDEST),
        color=mode == "always" or (mode == "auto" and _is_colored(stream, environ)),
        glyphs=UNICODE if _writes(stream, UNICODE) else ASCII,
    )


def joined(parts: Iterable[str], style: Style) -> Iterator[str]:
    """Join the parts by dots, on as many lines as they need."""
    joint, line = f" {style.glyphs.dot} ", ""
    for part in map(words.safe, parts):
        if line and words.width(line + joint + part) > style.width:
            yield line
            line = part
        else:
            line += joint + part if line else part
    if line:
        yield line


def _is_colored(stream: TextIO, environ: Mapping[str, str]) -> bool:
    if environ.get("NO_COLOR") or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def _writes(stream: TextIO, glyphs: Glyphs) -> bool:
    try:
        (glyphs.solid + glyphs.stem + glyphs.sparks).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
