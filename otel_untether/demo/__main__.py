"""The command: play the script, or freeze in it."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import psutil

from otel_untether.demo import script
from otel_untether.demo.freezes import FREEZES
from otel_untether.demo.voice import Session, Voice

if TYPE_CHECKING:
    from collections.abc import Sequence

_TERMINATED = 128 + 15


def main(argv: Sequence[str] | None = None) -> int:
    """Play the script; 0 at its end and after SIGINT, 143 after SIGTERM, as Claude Code does."""
    args = _arguments(argv)
    _signals(deaf=args.deaf)
    session = Session(args.pace)
    voice = Voice(session)
    try:
        _play(voice, args.stall)
    except KeyboardInterrupt:
        script.finish(voice, interrupted=True)
    finally:
        _end_children()
    return 0


def _play(voice: Voice, stall: str | None) -> None:
    script.start(voice.session)
    script.work(voice)
    if stall:
        FREEZES[stall](voice)
    script.delegate(voice)
    script.finish(voice)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m otel_untether.demo",
        description="A scripted agent that prints what Claude Code prints. No model is asked.",
    )
    parser.add_argument("--stall", choices=tuple(FREEZES), help="work, then freeze in this state")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument(
        "--pace", type=_pace, default=0.4, metavar="S", help="seconds an answer takes (0.4)"
    )
    return parser.parse_args(argv)


def _pace(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected 0 to 3600 seconds, got {text}")
    return seconds


def _signals(*, deaf: bool) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else _terminate)
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _terminate(*_: object) -> NoReturn:
    raise SystemExit(_TERMINATED)


def _end_children() -> None:
    """Kill the commands at work, one that is only just being started too.

    A list of our own would miss that one: a signal may come between its fork and its entry.
    """
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            child.kill()


if __name__ == "__main__":
    sys.exit(main())
