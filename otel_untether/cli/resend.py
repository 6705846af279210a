"""`otel-untether resend`: send what no collector has taken."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_untether.cli.common import open_store
from otel_untether.store.runs import Run, Store, StoreError

if TYPE_CHECKING:
    from otel_untether.cli import Subparsers

_EPILOG: Final = """\
examples:
  otel-untether resend                 everything a collector should have had, and has not
  otel-untether resend 5f0c            one run, whether or not it was meant for a collector
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 otel-untether resend --all

What a collector took is noted and never sent again.
Exit status: 0 nothing is left, 1 something is, 2 wrong usage.
"""


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "resend",
        help="send what no collector has taken yet",
        description="Send the stored telemetry of runs to OTEL_EXPORTER_OTLP_ENDPOINT.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="*", metavar="RUN", help="start of a run's id or trace id")
    parser.add_argument(
        "--all", action="store_true", help="also runs that were recorded without an endpoint"
    )


def main(args: argparse.Namespace) -> int:
    """Send it, newest run first, and say what became of it."""
    # Here and not above: `--help` needs no OpenTelemetry.
    from otel_untether.export.otlp_client import ConfigError, send  # noqa: PLC0415
    from otel_untether.export.resend import resend  # noqa: PLC0415

    try:
        runs = _chosen(open_store(), args.run, everything=args.all)
        outcomes = [resend(run, partial(send, environ=os.environ)) for run in runs]
    except (StoreError, ConfigError) as error:
        print(f"otel-untether resend: {error}", file=sys.stderr)
        return 2
    for problem in dict.fromkeys(text for outcome in outcomes for text in outcome.problems):
        print(f"otel-untether resend: {problem}", file=sys.stderr)
    sent, left = sum(o.sent for o in outcomes), sum(o.left for o in outcomes)
    print(f"{sent} sent, {left} left, in {len(runs)} run{'s' if len(runs) != 1 else ''}")
    return 1 if left else 0


def _chosen(store: Store, prefixes: list[str], *, everything: bool) -> list[Run]:
    from otel_untether.export.resend import was_meant_for_collector  # noqa: PLC0415

    if prefixes:
        return [store.find(prefix) for prefix in prefixes]
    return [
        run
        for run in store.list_runs().runs
        if not run.running and (everything or was_meant_for_collector(run))
    ]
