"""Export requests as protobuf messages, from lines of OTLP JSON and back: to send them again.

OTLP JSON is the JSON mapping of protobuf with two exceptions
(https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): trace and span ids are
lower-case hex where the mapping has base64, and enums are integers.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from otel_untether.export.environment import Signal

Request: TypeAlias = (
    ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
)

_REQUESTS: Final[Mapping[Signal, type[Request]]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_IDS: Final = ("traceId", "spanId", "parentSpanId")
_HEX: Final = frozenset("0123456789abcdef")
# Where messages with ids sit, as paths of keys; "*" steps into every value.
_WITH_IDS: Final[tuple[tuple[str, ...], ...]] = (
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceSpans", "scopeSpans", "spans", "links"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceMetrics", "scopeMetrics", "metrics", "*", "dataPoints", "exemplars"),
)


def to_line(request: Request) -> bytes:
    """Encode an export request as one line of OTLP JSON, without its newline."""
    message = json_format.MessageToDict(request, use_integers_for_enums=True)
    _map_ids(message, lambda value: base64.b64decode(value).hex())
    return msgspec.json.encode(message)


def parse(signal: Signal, line: bytes) -> Request:
    """Read one line back; raises ValueError where it is no such request.

    Fields unknown to the installed schema are skipped, as OTLP asks of receivers.
    """
    try:
        message = msgspec.json.decode(line, type=dict[str, Any])
        if signal == "traces":
            _require_ids(message)
        _map_ids(message, lambda value: base64.b64encode(bytes.fromhex(value)).decode())
        return json_format.ParseDict(message, _REQUESTS[signal](), ignore_unknown_fields=True)
    # msgspec's errors are ValueErrors since 0.20, as is base64's.
    except (
        json_format.Error,
        msgspec.MsgspecError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise ValueError(f"not an OTLP JSON {signal} request: {error}") from error


def _require_ids(message: Any) -> None:
    for span in _descend(message, _WITH_IDS[0]):
        for key, digits in (("traceId", 32), ("spanId", 16)):
            if len(span.get(key, "")) != digits or not _HEX.issuperset(span[key]):
                raise ValueError(f"a span's {key} is none")


def _map_ids(message: Any, convert: Callable[[str], str]) -> None:
    for path in _WITH_IDS:
        for holder in _descend(message, path):
            for key in _IDS:
                if holder.get(key):
                    holder[key] = convert(holder[key])


def _descend(node: Any, path: Sequence[str]) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _descend(item, path)
    elif not path:
        yield node
    elif path[0] == "*":
        for value in node.values():
            if isinstance(value, dict):
                yield from _descend(value, path[1:])
    elif path[0] in node:
        yield from _descend(node[path[0]], path[1:])
