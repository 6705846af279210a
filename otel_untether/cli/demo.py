"""`otel-untether demo`: a scripted agent is run and watched, then its report is shown."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_untether.cli import common
from otel_untether.demo.freezes import FREEZES
from otel_untether.notice import printable
from otel_untether.store.runs import StoreError

if TYPE_CHECKING:
    from otel_untether.cli import Subparsers

_DESCRIPTION: Final = """\
Run a scripted agent under `otel-untether run`, then show its report. No model is asked and
nothing is billed. With --stall the agent freezes half way, in a state that real agents freeze
in, and the watchdog (with its thresholds shrunk to seconds) says what it sees.
"""
_EPILOG: Final = """\
examples:
  otel-untether demo
  otel-untether demo --stall model          the model never answers
  otel-untether demo --stall wedged --kill  blocked on a lock, and killed for it
"""
# The watchdog's settings at a pace one can watch; what the agent does takes about 3 s.
_HASTE: Final = {
    "STALL_TIMEOUT": "2",
    "STALL_REPEAT_SECONDS": "2",
    "LIVENESS_TIMEOUT": "4",
    "TOOL_TIMEOUT": "2",
    "APPROVAL_TIMEOUT": "2",
    "SAMPLE_INTERVAL": "0.25",
    "KILL_GRACE": "1",
}
_KILL: Final = {
    "STALL_AUTO_KILL": "true",
    "KILL_CAUSES": "wedged,model_silent,after_tool_result,spinning,tool_hung,lock_wait",
}
# Seconds after which a frozen agent that nobody kills is ended, and one that is to be killed:
# where a machine is so busy that samples are late, the verdict is, too.
_WATCHED: Final = 11.0
_KILLED: Final = 20.0
_HEALTHY: Final = 120.0
_ENDING: Final = 10.0


def add_parser(subparsers: Subparsers) -> None:
    """Describe the arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="run a scripted agent and show its report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stall", choices=tuple(FREEZES), help="freeze like this half way")
    parser.add_argument("--kill", action="store_true", help="have the watchdog kill it then")
    parser.add_argument(
        "--show-output", action="store_true", help="let the agent's JSON lines through"
    )
    parser.add_argument(
        "--color", choices=("auto", "always", "never"), default="auto", help="colours (auto)"
    )
    parser.add_argument("--width", type=int, metavar="N", help="columns (the terminal's)")


def main(args: argparse.Namespace) -> int:
    """Run the scripted agent, then print the report of its run."""
    if args.kill and not args.stall:
        return _complain("--kill is for an agent that freezes; expected --stall too")
    began = time.time_ns()
    try:
        watcher = _start(args)
    except OSError as error:
        return _complain(str(error))
    status = _wait(watcher, _patience(args))
    try:
        recorded = common.read(_folder_of(began))
    except StoreError as error:
        return _complain(str(error))
    print(flush=True)
    common.show(recorded, argparse.Namespace(**vars(args), all=False))
    return 0 if args.stall else status


def _start(args: argparse.Namespace) -> subprocess.Popen[bytes]:
    # -P: or else Python would look for our modules in the working directory first.
    python = [sys.executable, "-P", "-m"]
    agent = [*python, "otel_untether.demo"]
    agent += ["--stall", args.stall] if args.stall else []
    command = [*python, "otel_untether", "run", "--engine", "claude", "--", *agent]
    settings = (_HASTE if args.stall else {}) | (_KILL if args.kill else {})
    given = {f"OTEL_UNTETHER_{name}": value for name, value in settings.items()}
    print("$ otel-untether run --engine claude -- python", *agent[2:], file=sys.stderr, flush=True)
    return subprocess.Popen(  # noqa: S603  our own command
        command,
        stdin=subprocess.DEVNULL,
        stdout=None if args.show_output else subprocess.DEVNULL,
        env=os.environ | given,
    )


def _patience(args: argparse.Namespace) -> float:
    if not args.stall:
        return _HEALTHY
    return _KILLED if args.kill else _WATCHED


def _wait(watcher: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for the end; a frozen agent that is left alone has none of its own."""
    try:
        return watcher.wait(seconds)
    except subprocess.TimeoutExpired:
        print("otel-untether demo: it would stay so for ever; ending it", file=sys.stderr)
        watcher.terminate()
    try:
        return watcher.wait(_ENDING)
    except subprocess.TimeoutExpired:
        watcher.kill()
        return watcher.wait()


def _folder_of(began: int) -> Path:
    """Return the folder of the demo that began then (ns since the epoch); raises StoreError."""
    store = common.open_store()
    name = Path(sys.executable).name
    for run in store.list_runs().runs:
        if run.record.started >= began and run.record.command == name:
            return run.path
    raise StoreError(f"{store.runs_dir}: the run has left no folder there")


def _complain(problem: str) -> int:
    print(printable(f"otel-untether demo: {problem}"), file=sys.stderr)
    return 2
