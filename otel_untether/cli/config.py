"""`otel-untether config`: the settings in force, and where each came from."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any, Final

from otel_untether.config.settings import KEYS, Config, ConfigError, load
from otel_untether.notice import notice, printable
from otel_untether.report.terminal.text import wrapped
from otel_untether.session.content import VARIABLE, from_environ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.cli import Subparsers
    from otel_untether.config.settings import Key

_WIDTH: Final = 96
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
        config = _with_capture(load(args.config))
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


def _with_capture(config: Config) -> Config:
    """Return the settings with what OpenTelemetry's own switch adds: content is captured by it."""
    if config.capture.content or not from_environ(os.environ).enabled:
        return config
    sources = {**config.sources, "capture.content": VARIABLE}
    return config._replace(capture=config.capture._replace(content=True), sources=sources)


def _document(config: Config) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key in KEYS:
        entry = {
            "value": config.value(key),
            "source": config.source(key),
            "unit": key.unit,
            "expected": key.expected,
            "variable": key.variable,
            "option": key.option,
        }
        document.setdefault(key.section, {})[key.name] = entry
    return document | {"files": list(config.files)}


def _table(config: Config, *, explain: bool) -> Iterator[str]:
    """Yield lines that are also TOML, the source in a comment."""
    width = max(len(_assignment(config, key)) for key in KEYS)
    section = ""
    for key in KEYS:
        if key.section != section:
            yield f"{os.linesep if section else ''}[{key.section}]"
            section = key.section
        if explain:
            yield from _meaning(key)
        text = printable(_assignment(config, key))
        unit = f"{key.unit}, " if key.unit else ""
        yield f"{text:{width}}  # {unit}{printable(config.source(key))}"


def _meaning(key: Key) -> Iterator[str]:
    """Say what a setting is, what it may be, and what sets it beside a file."""
    option = f", `run {key.option}`" if key.option else ""
    yield ""
    yield from (f"# {line}" for line in wrapped(f"{key.brief}: {key.expected}", _WIDTH))
    yield f"# {key.variable}{option}"


def _assignment(config: Config, key: Key) -> str:
    value = config.value(key)
    if value is None:
        return f"# {key.name} is not set"
    if isinstance(value, float):
        return f"{key.name} = {value:g}"
    return f"{key.name} = {json.dumps(value)}"
