"""OTLP as JSON lines: one export request a line, the format of OTLP files.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ has the format, which the
collector's `otlp_json_file` receiver reads. It is the JSON mapping of protobuf with two
exceptions (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): trace and span
ids are lower-case hex where the mapping has base64, and enums are integers.

`opentelemetry-exporter-otlp-json-file` writes the same. It pins the exact version of every
other OpenTelemetry package (0.66b1 needs 1.45.1), so depending on it would move a user's
OpenTelemetry. Switch to it once it accepts a range, or is released with the SDK.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from google.protobuf import json_format
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from otel_untether.store import run_folder
from otel_untether.store.files import LineFile
from otel_untether.store.private_folder import make_private
from otel_untether.store.runs import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


Signal: TypeAlias = Literal["traces", "logs", "metrics"]
Request: TypeAlias = (
    ExportTraceServiceRequest | ExportLogsServiceRequest | ExportMetricsServiceRequest
)

FILES: Final[Mapping[Signal, str]] = {
    "traces": run_folder.TRACES,
    "logs": run_folder.LOGS,
    "metrics": run_folder.METRICS,
}
_REQUESTS: Final[Mapping[Signal, type[Request]]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_ENCODERS: Final[Mapping[Signal, Callable[[Any], Request]]] = {
    "traces": encode_spans,
    "logs": encode_logs,
    "metrics": encode_metrics,
}
_IDS: Final = ("traceId", "spanId", "parentSpanId")
# Where messages with ids sit, as paths of keys; "*" steps into every value.
_WITH_IDS: Final[tuple[tuple[str, ...], ...]] = (
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceSpans", "scopeSpans", "spans", "links"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resourceMetrics", "scopeMetrics", "metrics", "*", "dataPoints", "exemplars"),
)


def encode(signal: Signal, batch: Any) -> bytes:
    """Encode what an exporter of `signal` is given as one line, without its newline."""
    return to_line(_ENCODERS[signal](batch))


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


class Lines:
    """A file of export requests, opened at the first one."""

    def __init__(self, signal: Signal, path: Path) -> None:
        self._signal = signal
        self._path = path
        self._file: LineFile | None = None

    def write(self, batch: Any) -> str | None:
        """Append a batch; return why that failed, None where it is on disk. Raises nothing."""
        try:
            line = encode(self._signal, batch)
            # A collection may find nothing to report.
            if line != b"{}":
                self._open().append(line)
        # What a foreign encoder may raise is open, and none of it may reach the caller.
        except Exception as error:  # noqa: BLE001
            return getattr(error, "strerror", None) or str(error) or type(error).__name__
        return None

    def _open(self) -> LineFile:
        if self._file is None:
            make_private(self._path.parent)
            self._file = LineFile(self._path)
        return self._file

    def close(self) -> None:
        """Close the file, if it was ever opened."""
        if self._file is not None:
            self._file.close()


class FileMetricExporter(MetricExporter):
    """Appends metrics to a file; by default `export/metrics.jsonl` in the state directory.

    Known to `OTEL_METRICS_EXPORTER` as `untether_file`: the SDK takes metric exporters only
    when it makes the provider. Spans and log records get theirs added to the provider.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        default = state_dir(os.environ) / "export" / FILES["metrics"]
        self._lines = Lines("metrics", path or default)

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002
        **_kwargs: Any,
    ) -> MetricExportResult:
        """Append a collection as one line."""
        problem = self._lines.write(metrics_data)
        return MetricExportResult.FAILURE if problem else MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:  # noqa: ARG002
        """Close the file."""
        self._lines.close()
