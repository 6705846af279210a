"""What names a span, a log record or a line of metrics in a run's `delivered` file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_untether.export.environment import Signal


def span_key(span: ReadableSpan) -> str:
    """Return what names a span here: its id."""
    return f"{span.context.span_id:016x}" if span.context else ""


def log_key(record: ReadableLogRecord) -> str:
    """Return what names a log record here; `json_key` gives the same for its JSON."""
    log = record.log_record
    span_id = f"{log.span_id:016x}" if log.span_id else ""
    return f"{log.timestamp or 0}.{log.observed_timestamp or 0}.{span_id}"


def json_key(signal: Signal, item: dict[str, Any]) -> str:
    """Return the key of a span or log record as its OTLP JSON has it.

    That of a span without an id, which nobody can be sent, is its digest.
    """
    span_id: str = item.get("spanId", "")
    if signal == "traces":
        return span_id or line_key(msgspec.json.encode(item))
    return f"{item.get('timeUnixNano', 0)}.{item.get('observedTimeUnixNano', 0)}.{span_id}"


def line_key(line: bytes) -> str:
    """Return the key of a line of metrics."""
    from hashlib import blake2b  # noqa: PLC0415  loads OpenSSL, for what a collector is to have

    return blake2b(line.strip(), digest_size=8).hexdigest()
