"""Numbers and names as people read them, and as wide as a terminal draws them."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 400  # characters of a sentence or a name, whoever wrote it

_MILLISECOND, _SECOND = 1_000_000, 1_000_000_000
_WIDE: Final = frozenset("WF")  # Unicode Standard Annex 11: two columns each
_NO_WIDTH: Final = frozenset(("Mn", "Me", "Cf"))
_UNSAFE: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def duration(nanoseconds: int) -> str:
    """Write a duration: 302 ms, 3.61 s, 12.3 s, 4m05s, 1h02m."""
    if nanoseconds < _MILLISECOND:
        return "<1 ms" if nanoseconds > 0 else "0 s"
    if nanoseconds < 999.5 * _MILLISECOND:
        return f"{nanoseconds / _MILLISECOND:.0f} ms"
    seconds = nanoseconds / _SECOND
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m"


def size(count: float) -> str:
    """Write a number of bytes: 812 B, 4.2 MiB, 1.3 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def money(dollars: float) -> str:
    """Write US dollars, small ones to a hundredth of a cent."""
    return f"${dollars:.2f}" if dollars == 0 or dollars >= 1 else f"${dollars:.4f}"


def cut(text: str, longest: int = LONGEST) -> str:
    """Cut what is longer than anybody would read, marking the cut."""
    return text if len(text) <= longest else text[:longest] + "…"


def safe(text: str) -> str:
    """Make text fit for a terminal: what an agent printed must not steer it.

    Control, format and unassigned characters (escape sequences and bidirectional overrides
    among them) become a replacement character.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if unicodedata.category(c) in _UNSAFE else c for c in text)


def width(text: str) -> int:
    """Return how many columns a terminal draws the text in."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def clip(text: str, columns: int, ellipsis: str) -> str:
    """Cut the text to so many columns, marking the cut."""
    if width(text) <= columns:
        return text
    room, kept = columns - width(ellipsis), ""
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return kept + ellipsis if columns >= width(ellipsis) else ""


def wrapped(text: str, columns: int) -> Iterator[str]:
    """Break the text into lines of so many columns, at its blanks where there are any."""
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) <= columns:
            line = longer
            continue
        if line:
            yield line
        while width(word) > columns:
            head = clip(word, columns, "")
            if not head:
                break
            yield head
            word = word[len(head) :]  # noqa: PLW2901  the rest of it
        line = word
    if line:
        yield line


def pad(text: str, columns: int) -> str:
    """Fill the text with spaces to so many columns."""
    return text + " " * (columns - width(text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _WIDE else 1
