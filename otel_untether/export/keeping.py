"""Keeping a run's spans and log records in its folder the moment they exist.

These are exporters for the SDK's simple processors. What they could not write is told to the
ledger: it is lost, unless a collector takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_untether.export.item_keys import log_key, span_key
from otel_untether.export.otlp_json import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_untether.export.ledger import Ledger
    from otel_untether.export.otlp_json import Lines
    from otel_untether.store.journal import Journal


class SpanKeeper(SpanExporter):
    """Appends ended spans to `lines`, and tells the journal that they have ended.

    The journal's "end" says that a span is safe: it is written after the span, and where the
    span could not be written (a full disk may have room elsewhere) the journal takes all of it.
    Without a folder, `lines` and `journal` are None, and spans are only counted.
    """

    def __init__(self, lines: Lines | None, journal: Journal | None, ledger: Ledger) -> None:
        self._lines = lines
        self._journal = journal
        self._ledger = ledger

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        problem = self._lines.write(spans) if self._lines is not None else None
        if self._journal is not None:
            if problem is None:
                for span in spans:
                    self._journal.span_ended(span)
            elif self._journal.keep(encode("traces", spans)):
                problem = None
        for span in spans:
            self._ledger.made("traces", span_key(span), problem)
        return SpanExportResult.FAILURE if problem else SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()


class LogKeeper(LogRecordExporter):
    """Appends log records to `lines`, None where there is no folder."""

    def __init__(self, lines: Lines | None, ledger: Ledger) -> None:
        self._lines = lines
        self._ledger = ledger

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Keep them."""
        problem = self._lines.write(batch) if self._lines is not None else None
        for record in batch:
            self._ledger.made("logs", log_key(record), problem)
        return LogRecordExportResult.FAILURE if problem else LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the file."""
        if self._lines is not None:
            self._lines.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True
