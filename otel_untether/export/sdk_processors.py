"""What keeps spans and log records, as processors of the SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk._logs.export import (
    LogRecordExporter,
    LogRecordExportResult,
    SimpleLogRecordProcessor,
)
from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_untether.export.keeping import LogKeeper, Processor


class _SpanProcessor(SpanProcessor):
    """Tells another one, which is not derived from the SDK's."""

    def __init__(self, told: Processor) -> None:
        self._told = told

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._told.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._told.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._told.force_flush(timeout_millis)

    def shutdown(self) -> None:
        self._told.shutdown()


class _LogExporter(LogRecordExporter):
    """Gives log records to a keeper."""

    def __init__(self, keeper: LogKeeper) -> None:
        self._keeper = keeper

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        kept = self._keeper.export(batch)
        return LogRecordExportResult.SUCCESS if kept else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        self._keeper.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._keeper.force_flush(timeout_millis)


def span_processor(told: Processor) -> SpanProcessor:
    """Return a processor of the SDK's that tells this one."""
    return _SpanProcessor(told)


def log_processor(keeper: LogKeeper) -> LogRecordProcessor:
    """Return a processor of the SDK's that gives this keeper each log record at once."""
    return SimpleLogRecordProcessor(_LogExporter(keeper))
