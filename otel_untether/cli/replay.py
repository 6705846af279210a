"""`otel-untether replay`: recorded sessions become traces."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.cli.common import open_store, settings
from otel_untether.notice import printable
from otel_untether.sources.recordings import RecordingError, find, inspect
from otel_untether.store.runs import StoreError
from otel_untether.supervisor.signals import be_interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from multiprocessing.context import ForkServerContext, SpawnContext

    from otel_untether.cli import Subparsers

_DESCRIPTION: Final = """\
Make traces of recorded sessions, with their original times: what an agent printed (JSON lines,
or lines with arrival times), Claude Code's own transcripts with their subagents, folders of
these. The same recording always gives the same ids.
"""
_EPILOG: Final = """\
examples:
  otel-untether replay session.jsonl && otel-untether report
  otel-untether replay --engine codex run.jsonl
  otel-untether replay ~/.claude/projects

Traces go where `otel-untether run` would send them.
Exit status: 0, 1 if something could not be replayed, 2 if nothing could or the usage is wrong.
"""
_BAR: Final = 24
_UNTIMED: Final = "no line says when it came: each is given a tenth of a second"
_INTERRUPTED: Final = 130


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "replay",
        help="make traces of recorded sessions",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    parser.add_argument(
        "--engine", metavar="NAME", help="the agent's format, where the lines do not tell"
    )
    parser.add_argument("--config", metavar="FILE", help="read this otel-untether.toml")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no summary lines")


def main(args: argparse.Namespace) -> int:
    """Replay what can be replayed, and say what could not."""
    be_interrupted()  # a run that has begun is ended
    if args.engine is not None:
        args.engine = _engine(args.engine)
        if args.engine is None:
            return 2
    files, failures = _files(args.path)
    statuses = [
        _isolated(file, args, f"{number}/{len(files)} ") if len(files) > 1 else _one(file, args)
        for number, file in enumerate(files, 1)
    ]
    if _INTERRUPTED in statuses:
        return _INTERRUPTED
    failures += sum(status != 0 for status in statuses)
    return 0 if not failures else 1 if 0 in statuses else 2


def _engine(name: str) -> str | None:
    """Return the engine's own name for one that was given; None, and a complaint, for others."""
    from otel_untether.engines import registry  # noqa: PLC0415  only where it is asked for

    try:
        return registry.get(name).name
    except ValueError as error:
        _complain(error)
        return None


def _files(paths: Sequence[Path]) -> tuple[list[Path], int]:
    """Return the files to replay, and how many paths had none."""
    files: list[Path] = []
    failures = 0
    for path in paths:
        try:
            files += find(path)
        except RecordingError as error:
            _complain(error)
            failures += 1
    return files, failures


def _isolated(file: Path, args: argparse.Namespace, prefix: str) -> int:
    """Replay in a process of its own: OpenTelemetry is set up once in each."""
    child = _processes().Process(target=_leave, args=(file, args, prefix))
    child.start()
    try:
        child.join()
    except KeyboardInterrupt:
        child.join()
        return _INTERRUPTED
    return child.exitcode or 0


def _processes() -> SpawnContext | ForkServerContext:
    # Or else Python would look for its own modules, too, in the working directory first.
    os.environ["PYTHONSAFEPATH"] = "1"
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    # It imports the SDK once; each child is a fork of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["otel_untether.sources.replay"])
    return context


def _leave(file: Path, args: argparse.Namespace, prefix: str) -> None:
    try:
        status = _one(file, args, prefix)
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.stdout.flush()
    # At once: an exporter's own exit handlers may wait for a dead collector.
    os._exit(status)


def _one(file: Path, args: argparse.Namespace, prefix: str = "") -> int:
    from otel_untether.sources.replay import replay  # noqa: PLC0415  imports the SDK

    known = settings(args.config)
    progress = _Progress(printable(f"{prefix}{file.name}"))
    try:
        recording = inspect(file)
        done = replay(
            recording,
            store=open_store(known),
            environ=os.environ,
            engine=args.engine,
            settings=known,
            progress=progress.show,
        )
    except (RecordingError, StoreError, OSError) as error:
        progress.clear()
        _complain(error)
        return 1
    progress.clear()
    _print(done.problems)
    if not args.quiet:
        times = f" ({_UNTIMED})" if recording.scan.untimed else ""
        print(printable(f"{file}: {done.summary.text()}, run {done.run_id}{times}"))
    return 0


class _Progress:
    """A bar on standard error, where that is a terminal."""

    def __init__(self, name: str) -> None:
        self._name = printable(name)
        self._drawn = sys.stderr.isatty()
        self.show(0.0)

    def show(self, done: float) -> None:
        """Draw the share that is done."""
        if self._drawn:
            full = round(done * _BAR)
            bar = "#" * full + "." * (_BAR - full)
            print(f"\r\x1b[K[{bar}] {done:4.0%} {self._name}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the line as it was."""
        if self._drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(problems: Iterable[str]) -> None:
    for problem in problems:
        _complain(problem)


def _complain(problem: object) -> None:
    print(printable(f"otel-untether replay: {problem}"), file=sys.stderr)
