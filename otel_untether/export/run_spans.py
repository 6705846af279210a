"""A guest session's own copy of its spans, in its run's folder, beside the program's exporters."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.export.otlp_json import Lines
from otel_untether.export.sdk import environment
from otel_untether.export.sdk_settings import usable
from otel_untether.store.run_folder import TRACES

# It raises for some of OTEL_* as it is imported, into a program that did without it until now.
_UNUSABLE: Final[list[str]] = []
_USABLE: Final = usable(os.environ, _UNUSABLE)
with environment(_USABLE) if _UNUSABLE else contextlib.nullcontext():
    from opentelemetry.sdk.trace import SpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.trace import TracerProvider


class RunSpans(SpanProcessor):
    """Writes the spans of some sessions into their folders, of one TracerProvider.

    A session's spans are told by its root, which carries the run's id, and by what they are
    below of: other sessions, and the program's own spans, may be in the same trace.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, Lines] = {}
        self._runs: dict[int, str] = {}  # of spans, by their ids

    def open(self, run_id: str, folder: Path) -> Callable[[], None]:
        """Keep a run's spans from now on; the call returned ends that."""
        with self._lock:
            self._files[run_id] = Lines("traces", folder / TRACES)
        return lambda: self._close(run_id)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Note whose span it is."""
        if span.context is None or not self._files:
            return
        with self._lock:
            run_id = self._runs.get(span.parent.span_id) if span.parent else None
            if run_id is None:
                named = (span.attributes or {}).get(semconv.RUN_ID)
                run_id = named if isinstance(named, str) and named in self._files else None
            if run_id is not None:
                self._runs[span.context.span_id] = run_id

    def on_end(self, span: ReadableSpan) -> None:
        """Write it down."""
        with self._lock:
            run_id = self._runs.get(span.context.span_id) if span.context else None
            lines = self._files.get(run_id) if run_id is not None else None
        if lines is not None and span.context and span.context.trace_flags.sampled:
            lines.write([span])

    def _close(self, run_id: str) -> None:
        with self._lock:
            lines = self._files.pop(run_id, None)
            self._runs = {key: whose for key, whose in self._runs.items() if whose != run_id}
        if lines is not None:
            lines.close(wait=False)  # it may be the program's event loop that calls


_of: Final[weakref.WeakKeyDictionary[TracerProvider, RunSpans]] = weakref.WeakKeyDictionary()
_making: Final = threading.Lock()


def keep_spans(provider: TracerProvider, run_id: str, folder: Path) -> Callable[[], None] | None:
    """Write a run's spans into its folder from now on; return what ends that.

    None for a provider that takes no processor, as is the one of a program that has none.
    """
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        return None
    with _making:
        if provider not in _of:
            _of[provider] = RunSpans()
            add(_of[provider])
    return _of[provider].open(run_id, folder)
