"""`otel-untether runs`: the runs on this machine, listed, compared, let go."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_untether.cli import comparison
from otel_untether.cli.common import open_store, read, settings
from otel_untether.notice import printable
from otel_untether.report.terminal import text as words
from otel_untether.session.wording import figure
from otel_untether.store.runs import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.cli import Subparsers
    from otel_untether.config.settings import TelemetryConfig
    from otel_untether.store.runs import Run, Store

_EPILOG: Final = """\
examples:
  otel-untether runs                            the newest 20
  otel-untether runs --stalled --since 7d       those that froze within a week
  otel-untether runs --engine codex --outcome failed --json | jq -r '.[].run_id'
  otel-untether runs --id 9a1e                  by the start of a run's, trace's or session's id
  otel-untether runs compare 5f0c 9a1e
  otel-untether runs prune --keep-days 3 --dry-run

Times are UTC. Exit status: 0, or 2 if there is no such run or the usage is wrong.
"""
_LISTED: Final = 20
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WIDEST: Final = 30  # of what comes from outside
_HEAD: Final = ("started", "run", "engine", "outcome", "took", "stalls", "cost", "telemetry")
_RIGHT: Final = frozenset({"took", "cost"})


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "runs",
        help="list, compare and delete runs",
        description="List the runs on this machine, the newest first.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", metavar="NAME", help="only this engine's")
    parser.add_argument("--outcome", metavar="WORD", help="only those that ended like this")
    parser.add_argument("--stalled", action="store_true", help="only those that stalled")
    parser.add_argument(
        "--since", type=_since, metavar="WHEN", help="2h, 7d, or 2026-11-22 or 2026-11-22T14:00"
    )
    parser.add_argument("--id", metavar="START", help="start of a run, trace or session id")
    parser.add_argument("--all", action="store_true", help=f"more than {_LISTED}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument("--state-dir", metavar="DIR", help="look for runs there")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    compare = actions.add_parser("compare", help="put two runs side by side")
    compare.add_argument("first", metavar="A", help="start of a run, trace or session id")
    compare.add_argument("second", metavar="B", help="of another one")
    compare.add_argument("--json", action="store_true", help="print JSON")
    prune = actions.add_parser("prune", help="delete old runs, never one that is watched or sent")
    prune.add_argument("--keep-days", type=_limit, metavar="N", help="delete what is older")
    prune.add_argument("--keep-runs", type=_limit, metavar="N", help="keep no more than these")
    prune.add_argument("--keep-megabytes", type=_limit, metavar="N", help="in all")
    prune.add_argument("--dry-run", action="store_true", help="only say what would go")


def main(args: argparse.Namespace) -> int:
    """Do what was asked for."""
    known = settings(args.config)
    store = open_store(known, args.state_dir)
    try:
        if args.action == "compare":
            return _compare(store, args)
        if args.action == "prune":
            return _prune(store, known.telemetry, args)
        return _list(store, args)
    except StoreError as error:
        print(printable(f"otel-untether runs: {error}"), file=sys.stderr)
        return 2


def _since(text: str) -> int:
    """Return the moment of a time ago, or of a date, in ns since the epoch."""
    ago = re.fullmatch(r"(\d{1,6})([smhdw])", text)
    if ago:
        return time.time_ns() - int(ago[1]) * _UNITS[ago[2]] * 1_000_000_000
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected 30m, 2h, 7d, or a date like 2026-11-22"
        ) from None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1_000_000_000


def _limit(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number, 0 or more")
    return value


def _list(store: Store, args: argparse.Namespace) -> int:
    listing = store.list_runs()
    chosen = [run for run in listing.runs if _wanted(run, args)]
    for problem in listing.problems:
        print(printable(f"not read: {problem}"), file=sys.stderr)
    shown = chosen if args.all or args.json else chosen[:_LISTED]
    if args.json:
        print(json.dumps([_document(run) for run in shown], indent=2))
        return 0
    if not chosen:
        none = "no run fits" if listing.runs else "there are no runs yet; try: otel-untether demo"
        print(printable(f"{store.runs_dir}: {none}"), file=sys.stderr)
        return 0
    print("\n".join(_table(map(_cells, shown))))
    if len(chosen) > len(shown):
        print(f"and {figure(len(chosen) - len(shown), 'older run')}; --all lists them")
    return 0


def _wanted(run: Run, args: argparse.Namespace) -> bool:
    record = run.record
    return (
        (args.engine is None or args.engine in (record.engine, record.command))
        and (args.outcome is None or args.outcome == _outcome(run))
        and (not args.stalled or bool(record.stalls))
        and (args.since is None or record.started >= args.since)
        and (args.id is None or run.is_named(args.id))
    )


def _outcome(run: Run) -> str:
    if run.record.ended is None:
        return "running" if run.running else "orphaned"
    return run.record.outcome or "unknown"


def _telemetry(run: Run) -> str:
    """Say where a run's telemetry is."""
    if run.undelivered:
        return "here, for resend"
    return "collector" if run.delivered else "here"


def _document(run: Run) -> dict[str, Any]:
    record = run.record
    ended = record.ended
    return {
        "run_id": record.run_id,
        "trace_id": record.trace_id,
        "session_id": record.session_id,
        "engine": record.engine,
        "command": record.command,
        "model": record.model,
        "outcome": _outcome(run),
        "exit_code": record.exit_code,
        "started": record.started,
        "ended": ended,
        "duration_s": None if ended is None else round((ended - record.started) / 1e9, 6),
        "stalls": record.stalls,
        "cause": record.cause,
        "cost_usd": record.cost_usd,
        "telemetry": _telemetry(run),
        "folder": str(run.path),
    }


def _cells(run: Run) -> tuple[str, ...]:
    record = run.record
    started = datetime.fromtimestamp(record.started / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    engine = record.engine if record.engine != "unknown" else record.command or "unknown"
    outcome = _outcome(run) + (f" (exit {record.exit_code})" if record.exit_code else "")
    until = time.time_ns() if run.running else record.ended
    took = words.duration(until - record.started) if until else ""
    stalls = f"{record.stalls} {record.cause or ''}".strip() if record.stalls else ""
    cost = "" if record.cost_usd is None else words.money(record.cost_usd)
    told = (started, record.run_id, engine, outcome, took, stalls, cost, _telemetry(run))
    return tuple(words.clip(words.safe(cell), _WIDEST, "…") for cell in told)


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [_HEAD, *rows]
    widths = [max(map(words.width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            " " * (width - words.width(cell)) + cell if name in _RIGHT else words.pad(cell, width)
            for name, cell, width in zip(_HEAD, line, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _compare(store: Store, args: argparse.Namespace) -> int:
    pair = [read(store.find(name).path) for name in (args.first, args.second)]
    found = comparison.compare(*pair)
    if args.json:
        print(json.dumps([row._asdict() for row in found], indent=2))
    else:
        print("\n".join(comparison.lines(found)))
    return 0


def _prune(store: Store, kept: TelemetryConfig, args: argparse.Namespace) -> int:
    def limit(given: float | None, default: float) -> float:
        return default if given is None else given

    pruned = store.prune(
        time.time_ns(),
        max_age=limit(args.keep_days, kept.keep_days) * 86_400,
        max_count=int(limit(args.keep_runs, kept.keep_runs)),
        max_bytes=int(limit(args.keep_megabytes, kept.keep_megabytes) * 2**20),
        dry_run=args.dry_run,
    )
    for path in pruned.folders:
        print(printable(path.name))
    said = "would be deleted" if args.dry_run else "deleted"
    lost = ""
    if pruned.undelivered:
        lost = f", {pruned.undelivered} of them with {pruned.spans} spans no collector has had"
    print(f"{figure(len(pruned.folders), 'run')} {said}{lost}", file=sys.stderr)
    return 0
