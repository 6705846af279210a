"""Span processors of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_untether.store.journal import Journal


class JournalProcessor(SpanProcessor):
    """Tells a journal which sampled spans are open.

    Add it after the processor that puts ended spans on disk: the journal's "end" says that
    the span is safe.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Journal the start."""
        if span.context and span.context.trace_flags.sampled:
            self._journal.span_started(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Journal the end."""
        if span.context and span.context.trace_flags.sampled:
            self._journal.span_ended(span)

    def shutdown(self) -> None:
        """Close the journal."""
        self._journal.close()
