"""`otel-untether report`: what happened in a run."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.cli.common import open_store, read, settings, show
from otel_untether.notice import printable
from otel_untether.report import json_document as machine
from otel_untether.report.run import uncollected
from otel_untether.report.terminal import text as words
from otel_untether.session.wording import figure
from otel_untether.store.runs import StoreError

if TYPE_CHECKING:
    from otel_untether.cli import Subparsers
    from otel_untether.report.run import Recorded
    from otel_untether.store.runs import Run, Store

_EPILOG: Final = """\
examples:
  otel-untether report                   the newest run
  otel-untether report 5f0c              the run whose id or trace id starts with this
  otel-untether report ./runs/2026…      a run's folder, from another machine perhaps
  otel-untether report --list            the runs on this machine
  otel-untether report --json | jq .verdict
  otel-untether report --html report.html    one file, to look into or to attach
  otel-untether report --markdown | gh issue create --title froze --body-file -
  otel-untether report --step-summary        onto the page of a CI job (GITHUB_STEP_SUMMARY)
  otel-untether report --follow              again and again, while it runs

Exit status: 0, or 2 if there is no such run, or a file cannot be written.
"""
_LISTED: Final = 20
_SUMMARY: Final = "GITHUB_STEP_SUMMARY"
_PACE: Final = 1.0  # seconds between two looks
_NO_RUNS: Final = "there are no runs yet; try: otel-untether demo"


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "report",
        help="show what happened in a run",
        description="Show a run: its waterfall, where the time went, its errors and stalls.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="id, trace id or folder of a run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--html", metavar="FILE", help="write one HTML file (- is stdout)")
    parser.add_argument(
        "--step-summary",
        action="store_true",
        help="append Markdown to the file that GITHUB_STEP_SUMMARY names",
    )
    parser.add_argument("--follow", action="store_true", help="show it anew while it runs")
    parser.add_argument("--all", action="store_true", help="give every span a line of its own")
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument("--state-dir", metavar="DIR", help="look for runs there")
    parser.add_argument("--list", action="store_true", help="list the runs, newest first")
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colours (auto)"
    )
    parser.add_argument("--width", type=int, metavar="N", help="columns (the terminal's)")


def main(args: argparse.Namespace) -> int:
    """Print the report."""
    try:
        store = open_store(settings(args.config), args.state_dir)
        if args.list:
            return _list(store)
        path = _chosen(store, args.run)
        if args.follow:
            return _follow(path, args)
        with uncollected():
            return _print(read(path), args)
    except StoreError as error:
        return _complain(error)
    except BrokenPipeError:
        raise  # whoever reads has enough; that is nobody's mistake
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}")


def _print(recorded: Recorded, args: argparse.Namespace) -> int:
    """Write the report in the forms that were asked for; without any, show it."""
    # Each imported where it is asked for.
    if args.html:
        from otel_untether.report.html import document as page  # noqa: PLC0415

        _write(args.html, page.document(recorded))
    if args.markdown or args.step_summary:
        from otel_untether.report import markdown  # noqa: PLC0415

        if args.markdown:
            _write("-", markdown.document(recorded))
        if args.step_summary:
            _append_summary(markdown.document(recorded))
    if args.json:
        sys.stdout.writelines(machine.text(recorded))
    if not (args.html or args.markdown or args.step_summary or args.json):
        show(recorded, args)
    return 0


def _write(name: str, text: str) -> None:
    data = text.encode("utf-8", "replace")
    if name != "-":
        Path(name).write_bytes(data)
        print(printable(f"written: {name} ({words.size(len(data))})"), file=sys.stderr)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _append_summary(text: str) -> None:
    """Append to the summary of a CI job, as GitHub, Gitea and Forgejo have it."""
    name = os.environ.get(_SUMMARY)
    if not name:
        raise StoreError(f"{_SUMMARY} is not set; expected the file of a CI job's summary")
    with Path(name).open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)


def _follow(path: Path, args: argparse.Namespace) -> int:
    """Show the run again and again while it lasts, on a terminal; then once more, whole."""
    drawn = sys.stdout.isatty()
    while (recorded := read(path)).running:
        if drawn:
            print("\x1b[H\x1b[J", end="")
            show(recorded, args, lines=shutil.get_terminal_size().lines - 1)
            sys.stdout.flush()
        time.sleep(_PACE)
    if drawn:
        print("\x1b[H\x1b[J", end="")
    return _print(recorded, args)


def _complain(problem: object) -> int:
    print(printable(f"otel-untether report: {problem}"), file=sys.stderr)
    return 2


def _chosen(store: Store, name: str | None) -> Path:
    if name is None:
        newest = store.newest()
        if newest is None:
            problems = store.list_runs().problems
            raise StoreError("; ".join(problems) or f"{store.runs_dir}: {_NO_RUNS}")
        return newest
    if os.sep in name or Path(name).is_dir():
        return Path(name)
    return store.folder_of(name)


def _list(store: Store) -> int:
    listing = store.list_runs()
    for run in listing.runs[:_LISTED]:
        print(_line(run))
    hidden = len(listing.runs) - _LISTED
    if hidden > 0:
        print(printable(f"and {figure(hidden, 'older run')} in {store.runs_dir}"))
    if not listing.runs:
        print(printable(f"{store.runs_dir}: {_NO_RUNS}"), file=sys.stderr)
    for problem in listing.problems:
        print(printable(f"not read: {problem}"), file=sys.stderr)
    return 0


def _line(run: Run) -> str:
    record = run.record
    started = datetime.fromtimestamp(record.started / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    outcome = "running" if run.running else record.outcome or "unknown"
    took = words.duration(record.ended - record.started) if record.ended else ""
    cost = "" if record.cost_usd is None else words.money(record.cost_usd)
    told = f"{started}  {record.run_id:16}  {record.engine:10} {outcome:12} {took:>8} {cost:>9}"
    return words.safe(told).rstrip()
