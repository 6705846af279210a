"""The verdict in a terminal: why, what next, and below that the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.report.terminal import text as words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.report.terminal.style import Role, Style
    from otel_untether.report.verdict import Verdict

_INDENT: Final = "        "
_EVIDENCE: Final = 8


def lines(judged: Verdict, style: Style) -> Iterator[str]:
    """Yield why and what next, where there is something to say, then the evidence."""
    if judged.why:
        yield from _labelled("why", judged.why, "stall" if judged.silence else "error", style)
    if judged.next:
        yield from _labelled("next", judged.next, "good", style)
    for sentence in judged.evidence[:_EVIDENCE]:
        yield from _sentence(f"{style.glyphs.dot} ", sentence, style)
    for line in judged.stderr:
        clipped = words.clip(words.safe(line), style.width - 18, style.glyphs.ellipsis)
        yield f"{_INDENT}{style.paint('dim', 'stderr | ' + clipped)}"


def _labelled(word: str, text: str, role: Role, style: Style) -> Iterator[str]:
    room = style.width - len(_INDENT)
    for number, line in enumerate(words.wrapped(words.safe(words.cut(text)), room)):
        label = f"  {word:<6}" if not number else _INDENT
        yield style.paint("title", label) + style.paint(role, line)


def _sentence(mark: str, text: str, style: Style) -> Iterator[str]:
    room = style.width - len(_INDENT) - len(mark)
    for number, line in enumerate(words.wrapped(words.safe(words.cut(text)), room)):
        yield f"{_INDENT}{mark if not number else ' ' * len(mark)}{line}"
