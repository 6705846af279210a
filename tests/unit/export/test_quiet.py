"""What OpenTelemetry's own loggers say stays out of the terminal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from otel_untether.export import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "opentelemetry"


@pytest.fixture
def handlers() -> Iterator[list[logging.Handler]]:
    """The handlers of OpenTelemetry's logger, as they were before and after a test."""
    logger = logging.getLogger(NAME)
    before, propagate = list(logger.handlers), logger.propagate
    yield logger.handlers
    for handler in logger.handlers:
        if handler not in before:
            handler.close()
    logger.handlers, logger.propagate = before, propagate


def complaint() -> logging.LogRecord:
    """Return a record such as an exporter makes."""
    return logging.LogRecord(NAME, logging.WARNING, __file__, 1, "no collector", None, None)


def test_a_complaint_is_in_the_run_folder(tmp_path: Path, handlers: list[logging.Handler]) -> None:
    """Its user can read there why nothing arrived."""
    quiet.keep_off_stderr(tmp_path)
    handlers[-1].handle(complaint())
    (log,) = tmp_path.iterdir()
    assert "no collector" in log.read_text()


def test_a_complaint_that_comes_after_the_end_opens_nothing(
    tmp_path: Path, handlers: list[logging.Handler]
) -> None:
    """An exporter that was left behind at a deadline may be just about to complain."""
    quiet.keep_off_stderr(tmp_path)
    handlers[-1].close()
    handlers[-1].handle(complaint())
    assert list(tmp_path.iterdir()) == []
