"""Writes what is said of causes: the tables of `docs/stalls.md`, and the end of the runbooks.

    python -m scripts.stall_docs

A page keeps its prose; what stands between two marks is written anew. A test compares the
pages with what this would write.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.config.keys import KEYS, KILLABLE
from otel_untether.config.settings import WatchdogConfig
from otel_untether.diagnosis.advice import ADVICE, EXCUSED
from otel_untether.diagnosis.causes import RULES
from otel_untether.diagnosis.objections import VETOES
from otel_untether.session.wording import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGE: Final = DOCS / "stalls.md"
RUNBOOKS: Final = DOCS / "runbooks.md"


def document(page: str) -> str:
    """Return the page with its tables written anew."""
    for name, table in _TABLES.items():
        opening, closing = f"<!-- {name} -->\n", "<!-- end -->"
        head, mark, rest = page.partition(opening)
        if mark:
            page = head + opening + table() + "\n" + closing + rest.partition(closing)[2]
    return page


def _sections() -> str:
    """Return a section for each cause, and for each thing that explains a silence."""
    causes = ((cause, f"{one.evidence}.", one.action) for cause, one in ADVICE.items())
    waits = ((cause, "Explains the silence: no stall.", do) for cause, do in EXCUSED.items())
    return "\n\n".join(
        f"### {cause}\n\n{_capital(text)}\n\n*What to do:* {do}."
        for cause, text, do in (*causes, *waits)
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _thresholds() -> str:
    config = WatchdogConfig()
    rows = (
        (f"`{key.name}`", duration(getattr(config, key.name)), key.brief)
        for key in KEYS
        if key.section == "watchdog" and key.kind == "seconds"
    )
    return _table(("key", "default", "what"), rows)


def _causes() -> str:
    stalls = {rule.cause: rule.stall for rule in RULES}
    rows = (
        (f"`{cause}`", _kill(cause, stall=stall), ADVICE[cause].evidence, ADVICE[cause].action)
        for cause, stall in stalls.items()
    )
    return _table(("cause", "kill", "evidence", "what to do"), rows)


def _kill(cause: str, *, stall: bool) -> str:
    if not stall:
        return "no stall"
    if cause in WatchdogConfig().kill_causes:
        return "by default"
    return "if named" if cause in KILLABLE else "never"


def _vetoes() -> str:
    return _table(("code", "what spares the tree"), ((f"`{c}`", w) for c, w in VETOES.items()))


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


_TABLES: Final[dict[str, Callable[[], str]]] = {
    "thresholds": _thresholds,
    "causes": _causes,
    "vetoes": _vetoes,
    "sections": _sections,
}


if __name__ == "__main__":
    for path in (PAGE, RUNBOOKS):
        path.write_text(document(path.read_text()))
