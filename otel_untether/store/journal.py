"""What is open, on disk, so that a crash loses nothing.

A span leaves only when it ends, so a watcher that dies takes the open ones with it. The
journal has each span's start, one JSON object a line, written by one write(2): what the kernel
has taken survives our SIGKILL. `recovery.recover` later ends what was left open.

    {"at": 1, "kind": "resource", "resource": {…}}
    {"at": 2, "kind": "start", "scope": {…}, "span": {…}}      the span as OTLP JSON, without end
    {"at": 3, "kind": "update", "span": {"spanId": …, …}}      what a root has learned since
    {"at": 4, "kind": "end", "span": {"spanId": …, …}}         it is in traces.jsonl
    {"at": 5, "kind": "span", "request": {"resourceSpans": …}} a whole one, which is not
    {"at": 6, "kind": "progress", "attributes": […]}           what the session has used by now
    {"at": 7, "kind": "untether.kill.decided", …}              decisions, before they are acted on
    {"at": 0, "kind": "dropped", "span": {"spanId": …}}        a root that no sampler wanted

`at` is ns since the epoch, on a clock that never steps. What is only of use while a span is open
goes when the journal is written anew (`compaction`). Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.clock import Clock
from otel_untether.store import files
from otel_untether.store.compaction import compacted
from otel_untether.store.encoding import ENCODER
from otel_untether.store.otlp_spans import encode_event, encode_started, encode_status
from otel_untether.store.otlp_values import encode_attributes
from otel_untether.store.run_folder import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan

# In bytes: what says how far a session is may come without a span that ends.
_LARGEST: Final = 16 << 20


class Journal:
    """The journal of one run. Writing never raises: a full disk must not stop a session."""

    def __init__(self, run_dir: Path, now: Callable[[], int] | None = None) -> None:
        """Open it, raising OSError where that cannot be done.

        `now` returns the time in ns since the epoch, by default that of a `Clock`.
        """
        self._path = run_dir / JOURNAL
        self._file = files.LineFile(self._path)
        self._lock = threading.Lock()
        self._largest = _LARGEST
        self._now = now or Clock().now
        # Told by whoever knows open spans: journals what they have learned.
        self.catch_up: Callable[[], object] = lambda: None

    def record(self, kind: str, **facts: Any) -> bool:
        """Write what was decided, and have the disk confirm, before it is acted on.

        Return whether it is on disk.
        """
        self.catch_up()
        return self._write(kind, facts, sync=True)

    def progress(self, facts: Mapping[str, Any]) -> None:
        """Note what would be attributes of the session's root if it ended now."""
        self.catch_up()
        self._write("progress", {"attributes": encode_attributes(facts.items())})

    def resource(self, resource: Resource) -> None:
        """Note whose spans these are."""
        encoded = {"attributes": encode_attributes(resource.attributes.items())}
        self._write("resource", {"resource": encoded})

    def span_started(self, span: ReadableSpan) -> None:
        """Note a span that is now open."""
        scope = span.instrumentation_scope
        named = {"name": scope.name, "version": scope.version or ""} if scope else {}
        self._write("start", {"scope": named, "span": encode_started(span)})

    def span_updated(
        self,
        span: ReadableSpan,
        name: str | None,
        news: Mapping[str, Any],
        events: Iterable[Event],
    ) -> None:
        """Note what an open span has learned: a new name, attributes, events."""
        update = {"spanId": _span_id(span), "attributes": encode_attributes(news.items())}
        if name is not None:
            update["name"] = name
        if encoded := [encode_event(event) for event in events]:
            update["events"] = encoded
        self._write("update", {"span": update})

    def span_ended(self, span: ReadableSpan) -> None:
        """Note that a span is open no more: it is on disk, with the rest of what is known of it."""
        end: dict[str, Any] = {
            "spanId": _span_id(span),
            "endTimeUnixNano": str(span.end_time or span.start_time or 0),
        }
        if status := encode_status(span):
            end["status"] = status
        self._write("end", {"span": end})

    def keep(self, request: bytes) -> bool:
        """Keep ended spans, a line of OTLP JSON, that could be written nowhere else.

        Return whether they are here.
        """
        return self._write("span", {"request": msgspec.Raw(request)})

    def compact(self, *, ended: bool = False) -> None:
        """Write it anew without what a recovery would not need; `ended` keeps ended spans, too.

        Without them the disk must have had them. Where that fails the journal stays as it is.
        """
        with self._lock, contextlib.suppress(OSError):
            if not self._file.closed:
                files.replace(self._path, compacted(self._path, ended=ended), sync=True)
                before, self._file = self._file, files.LineFile(self._path)
                before.close()
                self._largest = max(_LARGEST, 2 * self._file.size)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _write(self, kind: str, facts: Mapping[str, Any], *, sync: bool = False) -> bool:
        entry = {"at": self._now(), "kind": kind, **facts}
        try:
            line = ENCODER.encode(entry)
            with self._lock:
                self._file.append(line)
                if sync:
                    self._file.sync()
        except (OSError, ValueError, TypeError, RecursionError, msgspec.MsgspecError):
            return False
        if self._file.size > self._largest:
            self.compact(ended=True)
        return True


def _span_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}" if span.context else ""
