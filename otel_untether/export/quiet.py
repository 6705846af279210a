"""Keeps what OpenTelemetry logs out of the terminal the agent runs in."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Final

from otel_untether.export.text import discreet
from otel_untether.store.files import open_log
from otel_untether.store.run_folder import OTEL_LOG

if TYPE_CHECKING:
    from io import TextIOWrapper
    from pathlib import Path

# The SDK, and what its exporters stand on; both complain about a dead collector.
_LOGGERS: Final = ("opentelemetry", "urllib3", "requests", "grpc")


class _Quiet(logging.FileHandler):
    """A log file whose own errors, such as a full disk, are not printed either.

    Closed, it stays closed, where `logging` opens a file anew for a record that comes later:
    exporters left behind at a deadline go on complaining.
    """

    _ended = False

    def _open(self) -> TextIOWrapper:
        """Open it for its user only, which `open` leaves to the umask, and through no link."""
        return open_log(self.baseFilename)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing, where `logging` prints a traceback to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; opening the file, which happens here, may fail too."""
        if self._ended:
            return
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def close(self) -> None:
        """Close the file for good."""
        with self.lock or contextlib.nullcontext():
            self._ended = True
            super().close()


class _Discreet(logging.Formatter):
    """Leaves out what a log may not hold: an exporter that fails quotes its URL, or a header."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as text, its traceback as well."""
        return discreet(super().format(record))


def keep_off_stderr(run_dir: Path | None) -> None:
    """Send these libraries' log records to the run's folder, or nowhere."""
    handler: logging.Handler = logging.NullHandler()
    if run_dir is not None:
        handler = _Quiet(run_dir / OTEL_LOG, encoding="utf-8", delay=True)
        handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.propagate = False
        for old in [old for old in logger.handlers if isinstance(old, _Quiet)]:
            logger.removeHandler(old)
            old.close()
        logger.addHandler(handler)
