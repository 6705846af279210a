"""Writes the tables of engines in `docs/engines.md` and `README.md`, from the registry.

    python -m scripts.engine_docs

The pages keep their prose; what stands between two marks is written anew. A test compares them
with what this would write, others try what each cell says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.engines import registry
from otel_untether.engines.engine import TELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from otel_untether.engines.engine import Engine

ROOT: Final = Path(__file__).resolve().parent.parent
_NAMES: Final = {
    "claude": "Claude Code",
    "codex": "Codex",
    "opencode": "OpenCode",
    "gemini": "Gemini CLI",
    "qwen": "Qwen Code",
    "pi": "Pi",
    "copilot": "Copilot CLI",
    "amp": "Amp",
    "cursor": "Cursor",
    "antigravity": "Antigravity",
}


def pages() -> dict[Path, str]:
    """Return each page with its table written anew."""
    return {ROOT / name: _document(ROOT / name, table) for name, table in _TABLES.items()}


def speaks_acp(engine: Engine) -> bool:
    """Tell whether an engine can be asked to serve the Agent Client Protocol."""
    return "acp" in (engine.server_arguments(["--acp"]), engine.server_arguments(["acp"]))


def _document(page: Path, table: Callable[[], str]) -> str:
    opening, closing = "<!-- engines -->\n", "<!-- end -->"
    head, _, rest = page.read_text().partition(opening)
    return head + opening + table() + "\n" + closing + rest.partition(closing)[2]


def _decoded() -> list[Engine]:
    return [engine for engine in registry.engines() if engine.understood]


def _whole() -> str:
    rows = (
        (
            f"`{engine.name}`",
            f"`{engine.json_flags}`",
            *(_yes(word in engine.tells) for word in TELLS),
            _yes(engine.transcripts is not None),
        )
        for engine in _decoded()
    )
    return _table(("engine", "asked for by", *TELLS, "disk"), rows)


def _short() -> str:
    rows = (
        (
            _NAMES[engine.name],
            f"`{engine.json_flags}`",
            "as they begin" if "starts" in engine.tells else "once over",
            *(_yes(word in engine.tells) for word in ("subagents", "usage", "retries", "waits")),
            _yes(engine.transcripts is not None),
            _yes(speaks_acp(engine)),
        )
        for engine in _decoded()
        if engine.name in _NAMES
    )
    heads = (
        "",
        "asked for events by",
        "tools",
        "subagents' work",
        "usage",
        "retries",
        "waits",
        "disk",
        "ACP",
    )
    return _table(heads, rows)


def _yes(told: bool) -> str:  # noqa: FBT001  a cell
    return "yes" if told else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


_TABLES: Final[dict[str, Callable[[], str]]] = {"docs/engines.md": _whole, "README.md": _short}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
