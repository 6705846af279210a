"""Journaling open spans, as a span processor is called."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from otel_untether.store.otlp_values import plain

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from otel_untether.store.journal import Journal


class _Root(Struct):
    """An open root span, and what the journal knows of it."""

    span: ReadableSpan
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    events: int = 0


class JournalProcessor:
    """Tells a journal which sampled spans are open, and what becomes of their root meanwhile.

    A root lives as long as its session and learns most of what is known of it on the way: with
    each start and end of a span below it, what is new in it is journaled. That a span has ended
    is for `keeping.SpanKeeper` to say, once it is on disk. Of a trace that is not `live`, as it is
    made of a recording, only the roots' starts are told.
    """

    def __init__(self, journal: Journal, *, live: bool = True) -> None:
        self._journal = journal
        self._live = live
        self._lock = threading.Lock()
        self._roots: dict[int, _Root] = {}
        journal.catch_up = self.update

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Journal the start."""
        context = span.context
        if not (context and context.trace_flags.sampled):
            return
        is_root = span.parent is None or span.parent.is_remote
        if is_root or self._live:
            self._journal.span_started(span)
            self.update()
        if is_root and self._live:
            root = _Root(span, span.name, plain(span.attributes), len(span.events))
            with self._lock:
                self._roots[context.span_id] = root

    def on_end(self, span: ReadableSpan) -> None:
        """Forget a root that has ended, journal what became of the others."""
        if not self._live:
            return
        with self._lock:
            self._roots.pop(span.context.span_id if span.context else 0, None)
        self.update()

    def update(self) -> None:
        """Journal what is new in the open roots."""
        with self._lock:
            for root in self._roots.values():
                self._journal_news(root)

    def _journal_news(self, root: _Root) -> None:
        span = root.span
        attributes = plain(span.attributes)
        news: dict[str, Any] = {}
        if attributes != root.attributes:
            known = root.attributes
            news = {key: it for key, it in attributes.items() if known.get(key) != it}
        events = tuple(span.events)[root.events :]
        name = span.name if span.name != root.name else None
        if news or events or name:
            self._journal.span_updated(span, name, news, events)
        root.name, root.attributes = span.name, attributes
        root.events += len(events)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True

    def shutdown(self) -> None:
        """Close the journal."""
        self._journal.close()
