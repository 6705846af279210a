"""Text from outside, made fit to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST: Final = 200
_UNSHOWN: Final = "\N{REPLACEMENT CHARACTER}"


# Of this process' settings, the longest first; see `hide`.
_hidden: list[str] = []


def hide(secrets: Iterable[str]) -> None:
    """Have nothing that is made fit to be shown contain one of these."""
    _hidden[:] = sorted({*_hidden, *filter(None, secrets)}, key=len, reverse=True)


def discreet(text: str) -> str:
    """Return a text without what is hidden."""
    for secret in _hidden:
        text = text.replace(secret, "***")
    return text


def plain(text: object, most: int = _LONGEST) -> str:
    """Return text from outside as one line that a terminal shows and does not obey."""
    line = " ".join(discreet(str(text)).split())
    shown = "".join(letter if letter.isprintable() else _UNSHOWN for letter in line)
    return shown if len(shown) <= most else f"{shown[:most]}…"


def describe(error: BaseException) -> str:
    """Return an error as one line."""
    said = discreet(str(error))
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
