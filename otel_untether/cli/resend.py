"""`otel-untether resend`: send what no collector has taken."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from otel_untether.cli.common import open_store, settings
from otel_untether.report.terminal.text import clip, safe
from otel_untether.store.housekeeping import mend
from otel_untether.store.runs import Run, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.cli import Subparsers
    from otel_untether.export.environment import HeldBack, Signal
    from otel_untether.export.resend import Resent

_EPILOG: Final = """\
examples:
  otel-untether resend                 everything a collector should have had, and has not
  otel-untether resend 5f0c            one run, whether or not it was meant for a collector
  OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 otel-untether resend --all

What a collector took is noted and never sent again.
What it refuses, and would again, is noted too, and stays on disk.
So is a line that cannot be read, once it was named and the exit status was 1.
A signal whose exporter is none (OTEL_LOGS_EXPORTER=none) is not sent, and not counted as left.
Exit status: 0 nothing is left, 1 something is or may be, 2 wrong usage.
"""
# In seconds: of the whole command, and what argparse may take for a number of them.
_TIMEOUT: Final = 300.0
_LONGEST: Final = 500  # of what is said about one problem
_FOR_EVER: Final = 1e9


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
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument(
        "--all", action="store_true", help="also runs that were recorded without an endpoint"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT,
        metavar="S",
        help=f"seconds that all of it may take (default {_TIMEOUT:g})",
    )


def _seconds(text: str) -> float:
    """Read a positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < _FOR_EVER:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0")
    return seconds


def main(args: argparse.Namespace) -> int:
    """Send it, newest run first, and say what became of it."""
    # Here and not above: `--help` needs no OpenTelemetry.
    from otel_untether.export.environment import SIGNALS, held_back  # noqa: PLC0415
    from otel_untether.export.otlp_client import Sender  # noqa: PLC0415
    from otel_untether.export.quiet import keep_off_stderr  # noqa: PLC0415
    from otel_untether.export.resend import resend  # noqa: PLC0415
    from otel_untether.export.sdk_settings import usable  # noqa: PLC0415

    keep_off_stderr(None)
    try:
        chosen, problems = _chosen(open_store(settings(args.config)), args.run, everything=args.all)
    except StoreError as error:
        return _wrong(str(error))
    not_sent = held_back(os.environ)
    if chosen and len(not_sent) == len(SIGNALS) and "nowhere" in not_sent.values():
        return _wrong("there is no endpoint: set OTEL_EXPORTER_OTLP_ENDPOINT")
    unread = bool(problems)
    send = Sender(usable(os.environ, problems), args.timeout)
    outcomes = [resend(run, send, not_sent) for run in chosen]
    problems += [text for outcome in outcomes for text in outcome.problems]
    problems += _nowhere(outcomes, not_sent)
    for problem in dict.fromkeys(problems):
        _say(clip(safe(problem), _LONGEST, "…"))
    print(_summary(outcomes))
    return _status(outcomes, unread=unread)


def _wrong(problem: str) -> int:
    """Say what keeps anything from being sent; return the exit status."""
    _say(safe(problem))
    return 2


def _say(line: str) -> None:
    print(f"otel-untether resend: {line}", file=sys.stderr)


def _nowhere(outcomes: list[Resent], not_sent: Mapping[Signal, HeldBack]) -> list[str]:
    """Say what stays on disk because nothing tells where its signal goes."""
    from otel_untether.export.ledger import listed  # noqa: PLC0415

    counts = {
        signal: sum(outcome.held_back[signal] for outcome in outcomes)
        for signal, why in not_sent.items()
        if why == "nowhere"
    }
    names = [f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT" for signal in counts if counts[signal]]
    return [f"nowhere to send {listed(counts)}: set {', '.join(names)}"] if names else []


def _status(outcomes: list[Resent], *, unread: bool) -> int:
    if any(outcome.unusable for outcome in outcomes):
        return 2
    unknown = unread or not all(outcome.looked_at for outcome in outcomes)
    return 1 if unknown or any(it.left or it.newly_lost for it in outcomes) else 0


def _summary(outcomes: list[Resent]) -> str:
    """Say how much was sent and is left, and of how many runs that says nothing."""
    looked_at = [outcome for outcome in outcomes if outcome.looked_at]
    sent, left = sum(it.sent for it in looked_at), sum(it.left for it in looked_at)
    refused = sum(it.refused for it in looked_at)
    lost = sum(it.lost for it in looked_at)
    counts = f"{sent} sent, {left} left" + (f", {refused} refused" if refused else "")
    counts += f", {lost} line{'s' if lost != 1 else ''} unreadable" if lost else ""
    said = f"{counts}, in {len(looked_at)} run{'s' if len(looked_at) != 1 else ''}"
    skipped = len(outcomes) - len(looked_at)
    return said + (f"; {skipped} not looked at" if skipped else "")


def _chosen(store: Store, prefixes: list[str], *, everything: bool) -> tuple[list[Run], list[str]]:
    """Return the runs to send, and what kept others from being among them."""
    from otel_untether.export.resend import was_meant_for_collector  # noqa: PLC0415

    mend(store)
    if prefixes:
        return [store.find(prefix) for prefix in prefixes], []
    listing = store.list_runs()
    wanted = [run for run in listing.runs if everything or was_meant_for_collector(run)]
    return [run for run in wanted if not run.running], list(listing.problems)
