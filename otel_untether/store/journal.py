"""What is open, on disk, so that a crash loses nothing.

A span leaves only when it ends, so a watcher that dies takes the open ones with it. The
journal has each span's start, one JSON object a line, written by one write(2): what the kernel
has taken survives our SIGKILL. `recover` later ends what was left open.

    {"at": 1, "kind": "resource", "resource": {…}}
    {"at": 2, "kind": "start", "scope": {…}, "span": {…}}      the span as OTLP JSON, without end
    {"at": 3, "kind": "end", "spanId": "00f067aa0ba902b7"}
    {"at": 4, "kind": "kill.decided", …}                       decisions, before they are acted on

`at` is ns since the epoch. Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether import semconv
from otel_untether.store import run_lock
from otel_untether.store.files import LineFile, lines
from otel_untether.store.record import Run, load_run
from otel_untether.store.run_folder import JOURNAL, TRACES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

ORPHANED: Final = "orphaned"
_ERROR: Final = 2  # STATUS_CODE_ERROR of opentelemetry/proto/trace/v1/trace.proto
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


class Journal:
    """The journal of one run. Writing never raises: a full disk must not stop a session."""

    def __init__(self, run_dir: Path) -> None:
        """Open it, raising OSError where that cannot be done."""
        self._file = LineFile(run_dir / JOURNAL)

    def record(self, kind: str, **facts: Any) -> bool:
        """Write what was decided, and have the disk confirm, before it is acted on.

        Return whether it is on disk.
        """
        return self._write({"at": time.time_ns(), "kind": kind, **facts}, sync=True)

    def resource(self, resource: Resource) -> None:
        """Note whose spans these are."""
        encoded = {"attributes": _attributes(resource.attributes.items())}
        self._write({"at": time.time_ns(), "kind": "resource", "resource": encoded})

    def span_started(self, span: ReadableSpan) -> None:
        """Note a span that is now open."""
        scope = span.instrumentation_scope
        self._write(
            {
                "at": time.time_ns(),
                "kind": "start",
                "scope": {"name": scope.name, "version": scope.version or ""} if scope else {},
                "span": _span(span),
            }
        )

    def span_ended(self, span: ReadableSpan) -> None:
        """Note that a span is open no more."""
        if span.context:
            span_id = f"{span.context.span_id:016x}"
            self._write({"at": time.time_ns(), "kind": "end", "spanId": span_id})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, entry: dict[str, Any], *, sync: bool = False) -> bool:
        try:
            self._file.append(_ENCODER.encode(entry))
            if sync:
                self._file.sync()
        except (OSError, ValueError, TypeError, RecursionError, msgspec.MsgspecError):
            return False
        return True


def _span(span: ReadableSpan) -> dict[str, Any]:
    """Encode a started span as OTLP JSON (opentelemetry/proto/trace/v1/trace.proto)."""
    context, parent = span.context, span.parent
    encoded: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}" if context else "",
        "spanId": f"{context.span_id:016x}" if context else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time or 0),
        "attributes": _attributes((span.attributes or {}).items()),
        "flags": 0x100 | (0x200 if parent and parent.is_remote else 0),
    }
    if parent:
        encoded["parentSpanId"] = f"{parent.span_id:016x}"
    if context and context.trace_state:
        encoded["traceState"] = context.trace_state.to_header()
    return encoded


def _attributes(items: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in items]


def _value(value: Any) -> dict[str, Any]:
    """Encode an attribute value as an OTLP JSON AnyValue; 64-bit integers are strings."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list() | tuple():
            return {"arrayValue": {"values": [_value(item) for item in value]}}
        case _:
            return {"stringValue": str(value)}


@dataclass(slots=True)
class _Left:
    """What a journal leaves behind."""

    last: int = 0
    resource: dict[str, Any] = field(default_factory=dict)
    open: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self, entry: dict[str, Any]) -> None:
        self.last = max(self.last, entry["at"])
        match entry["kind"]:
            case "resource":
                self.resource = entry["resource"]
            case "start":
                self.open[entry["span"]["spanId"]] = entry
            case "end":
                self.open.pop(entry["spanId"], None)


def recover(run_dir: Path) -> int:
    """End the spans a dead watcher left open; return how many.

    They get the same ids, status ERROR, `error.type` "orphaned" and, as their end, the last
    sign of life in the journal. They are appended to the run's traces.jsonl. A run that may
    still be watched is left alone, and recovering twice adds nothing. Raises StoreError where
    the run cannot be read, OSError where it cannot be written.
    """
    run = load_run(run_dir)
    if run.record.ended is not None:
        return 0
    lock = run_lock.acquire(run_dir)
    if lock is None:
        return 0
    with lock:
        return _recover(run)


def _recover(run: Run) -> int:
    left = _Left(last=run.record.started)
    for entry in _entries(run.path / JOURNAL):
        # A torn or foreign line says nothing.
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            left.read(entry)
    for span_id in _span_ids(run.path / TRACES):
        left.open.pop(span_id, None)
    if left.open:
        _append_orphans(run.path, left)
    run.update(ended=left.last, outcome=ORPHANED)
    return len(left.open)


def _append_orphans(run_dir: Path, left: _Left) -> None:
    traces = LineFile(run_dir / TRACES)
    try:
        for entry in left.open.values():
            scope_spans = {"scope": entry["scope"], "spans": [_orphan(entry["span"], left.last)]}
            request = {"resourceSpans": [{"resource": left.resource, "scopeSpans": [scope_spans]}]}
            traces.append(_ENCODER.encode(request))
        traces.sync()
    finally:
        traces.close()


def _orphan(span: dict[str, Any], last: int) -> dict[str, Any]:
    ended = {
        "endTimeUnixNano": str(max(last, int(span["startTimeUnixNano"])) + 1),
        "status": {"code": _ERROR, "message": "the watcher died before this span ended"},
        "attributes": [
            *span.get("attributes", []),
            *_attributes([(semconv.ERROR_TYPE, ORPHANED)]),
        ],
    }
    return span | ended


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        for line in lines(path):
            with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
                yield msgspec.json.decode(line)
    except FileNotFoundError:
        return


def _span_ids(path: Path) -> Iterator[str]:
    for request in _entries(path):
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            for resource_spans in request["resourceSpans"]:
                for scope_spans in resource_spans["scopeSpans"]:
                    yield from (span["spanId"] for span in scope_spans["spans"])
