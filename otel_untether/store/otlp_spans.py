"""Spans in OTLP's JSON encoding, as opentelemetry/proto/trace/v1/trace.proto has them.

Written without protobuf, which would take most of the time that a span costs. Fields that have
their default are left out, as protobuf's JSON mapping does. Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether.store.otlp_values import encode_attributes, plain

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, SpanContext

# SpanFlags: that the next bit means something, and that the parent is in another process.
_KNOWN: Final = 0x100
_REMOTE: Final = 0x200


def encode_started(span: ReadableSpan) -> dict[str, Any]:
    """Encode what is known of a span when it starts."""
    context, parent = span.context, span.parent
    encoded: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}" if context else "",
        "spanId": f"{context.span_id:016x}" if context else "",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time or 0),
        "attributes": encode_attributes(plain(span.attributes).items()),
        "flags": _flags(parent),
    }
    if parent:
        encoded["parentSpanId"] = f"{parent.span_id:016x}"
    if context and context.trace_state:
        encoded["traceState"] = context.trace_state.to_header()
    return encoded


def encode_ended(span: ReadableSpan) -> dict[str, Any]:
    """Encode a whole span."""
    encoded = encode_started(span)
    encoded["endTimeUnixNano"] = str(span.end_time or 0)
    encoded["status"] = encode_status(span)
    if span.events:
        encoded["events"] = [encode_event(event) for event in span.events]
    if span.links:
        encoded["links"] = [_link(link) for link in span.links]
    dropped = {
        "droppedAttributesCount": span.dropped_attributes,
        "droppedEventsCount": span.dropped_events,
        "droppedLinksCount": span.dropped_links,
    }
    encoded.update({key: count for key, count in dropped.items() if count})
    return encoded


def encode_status(span: ReadableSpan) -> dict[str, Any]:
    """Encode a span's status: nothing where it has none."""
    status: dict[str, Any] = {}
    if code := span.status.status_code.value:
        status["code"] = code
    if span.status.description:
        status["message"] = span.status.description
    return status


def encode_event(event: Event) -> dict[str, Any]:
    """Encode an event of a span."""
    encoded: dict[str, Any] = {
        "timeUnixNano": str(event.timestamp),
        "name": event.name,
        "attributes": encode_attributes(plain(event.attributes).items()),
    }
    if event.dropped_attributes:
        encoded["droppedAttributesCount"] = event.dropped_attributes
    return encoded


def _link(link: Link) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "traceId": f"{link.context.trace_id:032x}",
        "spanId": f"{link.context.span_id:016x}",
        "attributes": encode_attributes((link.attributes or {}).items()),
        "flags": _flags(link.context),
    }
    if link.dropped_attributes:
        encoded["droppedAttributesCount"] = link.dropped_attributes
    return encoded


def _flags(context: SpanContext | None) -> int:
    return _KNOWN | (_REMOTE if context and context.is_remote else 0)
