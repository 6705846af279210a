"""`otel-untether config`: the settings in force, and where each came from."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any, Final

from otel_untether.config.settings import KEYS, Config, ConfigError, load
from otel_untether.notice import notice, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.cli import Subparsers

_EPILOG: Final = """\
examples:
  otel-untether config                     every setting, its value, where it came from
  otel-untether config --explain           and what it means
  OTEL_UNTETHER_TOOL_TIMEOUT=900 otel-untether config --json | jq .watchdog.tool_timeout

Exit status: 0 fine, 2 a setting is wrong (the message says which, where, and what it should be).
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "config",
        help="show the settings in force and where they came from",
        description="Show the settings in force, and the file or variable each came from.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--explain", action="store_true", help="say what each setting means")


def main(args: argparse.Namespace) -> int:
    """Print the settings."""
    try:
        config = load(args.config)
    except ConfigError as error:
        notice(str(error))
        return 2
    for line in config.notices:
        notice(line)
    if args.json:
        print(json.dumps(_document(config), indent=2))
    else:
        print("\n".join(_table(config, explain=args.explain)))
    return 0


def _document(config: Config) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key in KEYS:
        entry = {"value": config.value(key), "source": config.source(key)}
        document.setdefault(key.section, {})[key.name] = entry
    return document | {"files": list(config.files)}


def _table(config: Config, *, explain: bool) -> Iterator[str]:
    """Yield lines that are also TOML, the source in a comment."""
    width = max(len(_assignment(config, key.path)) for key in KEYS)
    section = ""
    for key in KEYS:
        if key.section != section:
            yield f"{os.linesep if section else ''}[{key.section}]"
            section = key.section
        meaning = f" · {key.brief}" if explain else ""
        text = printable(_assignment(config, key.path))
        yield f"{text:{width}}  # {printable(config.source(key))}{meaning}"


def _assignment(config: Config, path: str) -> str:
    key = next(key for key in KEYS if key.path == path)
    value = config.value(key)
    if value is None:
        return f"# {key.name} is not set"
    if isinstance(value, float):
        return f"{key.name} = {value:g}"
    return f"{key.name} = {json.dumps(value)}"
