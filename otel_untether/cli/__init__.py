"""The `otel-untether` command: one module per subcommand, imported when it is named.

`run` stands between an operator and an agent that should start at once, so nothing is imported
that the named subcommand does not need.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from otel_untether import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    # argparse has no public name for what add_subparsers returns.
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

COMMANDS: Final = ("run", "report", "replay", "resend", "config", "doctor", "demo", "completion")

_EPILOG: Final = """\
examples:
  otel-untether run -- claude -p "fix the tests" --output-format stream-json --verbose
  otel-untether run -- codex exec --json "fix the tests" | jq .
  otel-untether report

Where telemetry goes is OpenTelemetry's own business: set OTEL_EXPORTER_OTLP_ENDPOINT, or
nothing and read it with `otel-untether report`.
"""


class Command(Protocol):
    """What a module in this package offers."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Describe the subcommand's arguments."""

    def main(self, args: argparse.Namespace) -> int:
        """Carry it out and return the exit status."""


def load(name: str) -> Command:
    """Import a subcommand's module."""
    return cast("Command", import_module(f"{__name__}.{name}"))


def build_parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return a parser that knows these subcommands."""
    parser = argparse.ArgumentParser(
        prog="otel-untether",
        description="OpenTelemetry for headless coding agents: traces, gauges, explained silence.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"otel-untether {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands:
        load(name).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is the subcommand's, 2 for wrong usage."""
    argv = sys.argv[1:] if argv is None else argv
    named = argv[0] if argv and argv[0] in COMMANDS else None
    parser = build_parser(COMMANDS if named is None else (named,))
    args = parser.parse_args(argv)
    try:
        return load(args.command).main(args)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has left; there is nobody to tell.
        sys.stderr.close()
        return 141
