"""What several subcommands need: the settings, the runs, a run read back."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING

from otel_untether.config import settings as config
from otel_untether.notice import notice
from otel_untether.report import run as recorded_run
from otel_untether.report.terminal import page
from otel_untether.report.terminal.style import style_of
from otel_untether.store import recovery
from otel_untether.store.runs import Store, StoreError, store_at

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from otel_untether.report.run import Recorded


def settings(path: str | None = None) -> config.Config:
    """Return the settings; the defaults, with a complaint on stderr, where they are wrong.

    `path` is the settings file that was asked for on the command line, if one was.
    """
    try:
        return config.load(path)
    except config.ConfigError as error:
        notice(f"{error}; the defaults are used")
        return config.Config()


def open_store(known: config.Config | None = None, folder: str | None = None) -> Store:
    """Return the runs on this machine, where the settings keep them: those given, or loaded.

    `folder` is the state directory that was asked for on the command line, if one was.
    """
    if folder is not None:
        return store_at(folder, os.environ)
    telemetry = (settings() if known is None else known).telemetry
    return store_at(telemetry.state_dir, os.environ)


def read(path: Path) -> Recorded:
    """Read a run, first ending what its watcher left open if that is dead.

    Raises StoreError for a folder that cannot be read or is no run's.
    """
    with contextlib.suppress(Exception):  # what is there can be read, whatever is wrong with it
        recovery.recover(path)
    try:
        recorded = recorded_run.read(path, time.time_ns())
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    if recorded.record is None and recorded.root is None:
        raise StoreError(f"{path}: not the folder of a run ({'; '.join(recorded.problems)})")
    return recorded


def show(recorded: Recorded, args: argparse.Namespace, lines: int | None = None) -> None:
    """Print a run to stdout; `args` has color, width and all, `lines` is how many at most."""
    style = style_of(sys.stdout, os.environ, args.color, args.width)
    limit = None if args.all else page.LINES
    for line in islice(page.render(recorded, style, limit), lines):
        print(line)
