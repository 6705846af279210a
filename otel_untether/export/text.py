"""Text from outside, made fit to be shown."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 200
_UNSHOWN: Final = "\N{REPLACEMENT CHARACTER}"


def plain(text: object, most: int = _LONGEST) -> str:
    """Return text from outside as one line that a terminal shows and does not obey."""
    line = " ".join(str(text).split())
    shown = "".join(letter if letter.isprintable() else _UNSHOWN for letter in line)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def describe(error: BaseException) -> str:
    """Return an error as one line."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
