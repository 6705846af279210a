"""`otel-untether engines`: which agents are known, and what each says of itself."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.cli import Subparsers
    from otel_untether.engines.engine import Engine

_EPILOG: Final = """\
examples:
  otel-untether engines
  otel-untether engines --json | jq '.[] | select(.name == "codex")'

An agent that does not say a thing on its output is not made to: what is missing is absent.
"""
_COLUMNS: Final = ("starts", "ends", "subagents", "retries", "waits", "times", "usage", "cost")


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "engines",
        help="list the agents that are known, and what each tells",
        description="List the agents that are known, what the output of each tells, and by which "
        "flags it is asked to.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print them."""
    from otel_untether.engines import registry  # noqa: PLC0415  `--help` needs none of it

    found = list(registry.engines())
    if args.json:
        print(json.dumps([_document(engine) for engine in found], indent=2))
    else:
        print("\n".join(_table(found)))
    return 0


def _document(engine: Engine) -> dict[str, Any]:
    return {
        "name": engine.name,
        "commands": sorted(engine.commands),
        "packages": sorted(engine.packages),
        "flags": engine.json_flags,
        "decoded": engine.understood,
        "tells": sorted(engine.tells),
        "transcripts": engine.transcripts is not None,
        "asks_again_after": engine.traits.asks_again_after,
    }


def _table(engines: list[Engine]) -> Iterator[str]:
    from otel_untether.engines.engine import TELLS  # noqa: PLC0415  as above

    yield _row("", *_COLUMNS, "disk", "asks again")
    for engine in engines:
        marks = (_mark(engine, word) for word in _COLUMNS)
        patience = engine.traits.asks_again_after
        again = f"after {patience:.0f} s" if patience else "?"
        disk = "yes" if engine.transcripts else "-"
        yield _row(engine.name, *marks, disk, again)
    yield ""
    names = (engine.name for engine in engines)
    width = max(len(word) for word in (*TELLS, "asks again", *names))
    for word, meaning in TELLS.items():
        yield f"{word:{width}}  its output says {meaning}"
    yield f"{'disk':{width}}  what it writes down is read while it runs, and can be replayed"
    yield f"{'asks again':{width}}  when it gives up a model that is silent, and tries once more"
    yield ""
    for engine in engines:
        flags = engine.json_flags or "no flags known"
        undecoded = "" if engine.understood else "  (its process is watched; not decoded yet)"
        yield f"{engine.name:{width}}  {', '.join(sorted(engine.commands))} {flags}{undecoded}"


def _mark(engine: Engine, word: str) -> str:
    if not engine.understood:
        return "?"
    return "yes" if word in engine.tells else "-"


def _row(name: str, *cells: str) -> str:
    return f"{name:12}" + "".join(f"{cell:11}" for cell in cells).rstrip()
