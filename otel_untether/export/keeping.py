"""Keeping a run's spans and log records in its folder the moment they exist.

Called as the SDK's processors and exporters are; where the SDK is used, `sdk_processors` makes
such of these. What could not be written is told to the ledger: it is lost, unless a collector
takes it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_untether.export.item_keys import log_key, span_key
from otel_untether.export.otlp_json import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_untether.export.ledger import Ledger
    from otel_untether.export.otlp_json import Lines
    from otel_untether.store.journal import Journal


_log = logging.getLogger(__name__)

# Spans to a line at most; even with all their content they stay below the longest line.
_MOST: Final = 32


class Processor(Protocol):
    """What is told of spans, in the SDK's words."""

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Hear of a start."""

    def on_end(self, span: Any) -> None:
        """Hear of an end."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Finish what was begun."""

    def shutdown(self) -> None:
        """Come to an end."""


class SpanKeeping:
    """Gives sampled spans to their keeper as they end: each at once, or some together.

    A line for each span is a quarter of what a span takes, and most of that line says whose it
    is. So those that end `together` are written together: of a replay, which can be done again,
    all, and of a live session those that end within one look at its output. A root's end has all
    of them written: an exporter that hangs may be in the way of whatever comes after.
    """

    def __init__(self, keeper: SpanKeeper, *, replay: bool = False, most: int = _MOST) -> None:
        self._keeper = keeper
        self._most = most
        self._gathering = int(replay)
        self._lock = threading.Lock()
        self._ended: list[ReadableSpan] = []

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write together what ends meanwhile, at the latest at the end of it."""
        with self._lock:
            self._gathering += 1
        try:
            yield
        finally:
            with self._lock:
                self._gathering -= 1
                if not self._gathering:
                    self._keep()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Wait for its end."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it, or note that it is to be kept with those that end next."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        is_root = span.parent is None or span.parent.is_remote
        with self._lock:
            self._ended.append(span)
            if is_root or not self._gathering or len(self._ended) >= self._most:
                self._keep()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Keep what has ended."""
        with self._lock:
            self._keep()
        return True

    def shutdown(self) -> None:
        """Keep what has ended, and close the file."""
        self.force_flush()
        self._keeper.shutdown()

    def _keep(self) -> None:
        ended, self._ended = self._ended, []
        if not ended:
            return
        try:
            self._keeper.export(ended)
        # As the SDK's own processors do: others are to be told of the span.
        except Exception:  # noqa: BLE001
            _log.exception("spans were not kept")


class SpanKeeper:
    """Appends ended spans to `lines`, and tells the journal that they have ended.

    The journal's "end" says that a span is safe: it is written after the span, and where the
    span could not be written (a full disk may have room elsewhere) the journal takes all of it.
    Without a folder, `lines` and `journal` are None, and spans are only counted.
    """

    def __init__(self, lines: Lines | None, journal: Journal | None, ledger: Ledger) -> None:
        self._lines = lines
        self._journal = journal
        self._ledger = ledger

    def export(self, spans: Sequence[ReadableSpan]) -> bool:
        """Keep them; tell whether they are on disk."""
        problem = self._lines.write(spans) if self._lines is not None else None
        if self._journal is not None:
            if problem is None:
                for span in spans:
                    self._journal.span_ended(span)
            elif self._journal.keep(encode("traces", spans)):
                problem = None
        for span in spans:
            self._ledger.made("traces", span_key(span), problem)
        return problem is None

    def shutdown(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()


class LogKeeper:
    """Appends log records to `lines`, None where there is no folder."""

    def __init__(self, lines: Lines | None, ledger: Ledger) -> None:
        self._lines = lines
        self._ledger = ledger

    def export(self, batch: Sequence[ReadableLogRecord]) -> bool:
        """Keep them; tell whether they are on disk."""
        problem = self._lines.write(batch) if self._lines is not None else None
        for record in batch:
            self._ledger.made("logs", log_key(record), problem)
        return problem is None

    def shutdown(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True
