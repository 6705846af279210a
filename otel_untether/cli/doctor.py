"""`otel-untether doctor`: whether all that is needed is there, and what to do where it is not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import TYPE_CHECKING, Final

from otel_untether.notice import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.cli import Subparsers
    from otel_untether.cli.checks import Check

_EPILOG: Final = """\
examples:
  otel-untether doctor
  otel-untether doctor --versions       also start each agent found, for its version
  otel-untether doctor --json

Exit status: 0 nothing is wrong, 1 something is.
"""
_COLOURS: Final = {"ok": "32", "warning": "33", "problem": "31"}
_MARKS: Final = {"ok": "ok", "warning": "note", "problem": "FAIL"}


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "doctor",
        help="check that everything needed is in place",
        description="Check the configuration, the endpoint, and what this machine lets us see.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument("--versions", action="store_true", help="run each agent's --version")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Check everything and print it."""
    checks = list(_checks(args))
    if args.json:
        print(json.dumps([check._asdict() for check in checks], indent=2))
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for check in checks:
            print("\n".join(_lines(check, colour=colour)))
    return int(any(check.status == "problem" for check in checks))


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    # Here and not above: `--help` needs none of it.
    from otel_untether.cli import checks, collector_check  # noqa: PLC0415

    yield checks.configuration(args.config)
    yield checks.state_folder(os.environ, checks.configured_state_dir(args.config))
    yield from collector_check.endpoints(os.environ)
    yield from checks.process_tree()
    yield checks.signalling()
    yield from checks.agents(versions=args.versions)


def _lines(check: Check, *, colour: bool) -> Iterator[str]:
    mark = f"{_MARKS[check.status]:4}"
    if colour:
        mark = f"\x1b[{_COLOURS[check.status]}m{mark}\x1b[0m"
    yield f"{mark}  {check.name:14} {printable(check.text)}"
    if check.advice:
        yield f"{'':6}{'':14} → {printable(check.advice)}"
