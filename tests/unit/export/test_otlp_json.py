"""OTLP as JSON lines, checked against the protobuf schema."""

from __future__ import annotations

import base64
import json
import math
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceState,
    use_span,
)
from opentelemetry.trace.propagation import set_span_in_context

from otel_untether.export import otlp_json, otlp_protobuf
from otel_untether.export.file_metric_exporter import FileMetricExporter
from otel_untether.export.keeping import LogKeeper, SpanKeeper
from otel_untether.export.ledger import Ledger
from otel_untether.export.otlp_json import Lines
from otel_untether.export.sdk_processors import log_processor
from tests.support.otlp_receiver import REQUESTS

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test", "1.0")
OTHER = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, is_remote=True)


def a_span(**attributes: Any) -> ReadableSpan:
    """Return an ended span that has one of everything."""
    span = TRACER.start_span("chat", kind=SpanKind.CLIENT, links=[Link(OTHER, {"why": "resumed"})])
    span.set_attributes(attributes)
    span.add_event("untether.stall.warning", {"idle": 1.5})
    span.set_status(Status(StatusCode.ERROR, "because"))
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def some_metrics() -> MetricsData:
    """Return a collection with one of each instrument, and exemplars."""
    reader = InMemoryMetricReader()
    exponential = View(
        instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation()
    )
    provider = MeterProvider(
        [reader],
        resource=Resource({"service.name": "test"}, "https://example.org/schema"),
        exemplar_filter=AlwaysOnExemplarFilter(),
        shutdown_on_exit=False,
        views=[exponential],
    )
    meter = provider.get_meter("test", "1.0", "https://example.org/scope", {"a": 1})
    meter.create_counter("untether.stalls").add(3, {"cause": "wedged"})
    meter.create_up_down_counter("active").add(-2.5)
    meter.create_histogram("gen_ai.invoke_agent.duration", unit="s").record(2.5)
    for value in (0, 0.001, 7, 1e9):
        meter.create_histogram("exponential", description="many orders").record(value)
    with use_span(NonRecordingSpan(OTHER)):
        meter.create_gauge("memory", unit="By").set(1 << 40, {"pid": 7})
    meter.create_observable_gauge("none", [lambda _: []])
    meter.create_observable_gauge("nan", [lambda _: [Observation(math.inf)]])
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    return data


def test_ids_are_lower_case_hex_and_enums_are_integers() -> None:
    """The two ways in which OTLP JSON is not protobuf's own JSON."""
    span = a_span()
    encoded = json.loads(otlp_json.encode("traces", [span]))
    (found,) = encoded["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span.context is not None
    assert found["traceId"] == f"{span.context.trace_id:032x}"
    assert found["spanId"] == f"{span.context.span_id:016x}"
    assert found["links"][0]["traceId"] == f"{OTHER.trace_id:032x}"
    assert found["links"][0]["spanId"] == f"{OTHER.span_id:016x}"
    assert (found["kind"], found["status"]["code"]) == (3, 2)
    assert isinstance(found["startTimeUnixNano"], str)


def test_bytes_in_attributes_stay_base64() -> None:
    """Only ids are hex."""
    request = encode_spans([a_span()])
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="blob").value.bytes_value = b"\x00\xff"
    line = otlp_protobuf.to_line(request)
    assert b'{"bytesValue":"AP8="}' in line
    assert otlp_protobuf.parse("traces", line) == request


def strictly(signal: str, line: bytes) -> Any:
    """Read a line by the schema alone, with ids put back by hand; unknown fields are errors."""

    def restore(node: Any) -> Any:
        if isinstance(node, list):
            return [restore(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: base64.b64encode(bytes.fromhex(value)).decode()
            if key in ("traceId", "spanId", "parentSpanId")
            else restore(value)
            for key, value in node.items()
        }

    return json_format.ParseDict(restore(json.loads(line)), REQUESTS[signal]())


def test_spans_fit_the_schema_and_are_what_opentelemetry_makes_of_them() -> None:
    """A line read by the schema alone is what the SDK's encoder made."""
    spans = [a_span(a="b", n=1 << 62, f=math.inf, flags=(True, False)), a_span()]
    line = otlp_json.encode("traces", spans)
    assert b"\n" not in line
    assert strictly("traces", line) == encode_spans(spans)
    assert otlp_protobuf.parse("traces", line) == encode_spans(spans)


def test_a_span_of_every_kind_is_what_opentelemetry_makes_of_it() -> None:
    limits = SpanLimits(max_attributes=2, max_events=1, max_links=1)
    provider = TracerProvider(shutdown_on_exit=False, span_limits=limits)
    tracer = provider.get_tracer("t", "2", "https://example.org/scope", {"scope": True})
    state = TraceState([("vendor", "x"), ("other", "y")])
    parent = SpanContext(7, 8, is_remote=True, trace_state=state)
    spans = []
    for kind in SpanKind:
        span = tracer.start_span(
            kind.name,
            set_span_in_context(NonRecordingSpan(parent)),
            kind,
            links=[Link(OTHER, {"n": 1}), Link(parent)],
            attributes={"a": [1, 2], "b": [], "c": "dropped"},
        )
        span.add_event("first")
        span.add_event("second", {"k": (1.5, math.nan)})
        span.end()
        spans.append(span)
    child = tracer.start_span("child", set_span_in_context(spans[0]))
    child.end()
    made = [span for span in (*spans, child) if isinstance(span, ReadableSpan)]
    line = otlp_json.encode("traces", made)
    assert str(strictly("traces", line)) == str(encode_spans(made))


def test_a_lone_surrogate_is_replaced() -> None:
    """Which no UTF-8 can say: what else there is to say arrives."""
    line = otlp_json.encode("traces", [a_span(name="a\udc80b", other="kept")])
    assert b'"a?b"' in line
    assert b'"kept"' in line


def test_metrics_fit_the_schema_and_come_back() -> None:
    """Those of every instrument."""
    data = some_metrics()
    line = otlp_json.encode("metrics", data)
    assert strictly("metrics", line) == encode_metrics(data)
    assert otlp_protobuf.parse("metrics", line) == encode_metrics(data)
    assert b'"exemplars"' in line


def test_exemplars_have_hex_ids_too() -> None:
    """The ids hidden deepest."""
    request = encode_metrics(some_metrics())
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]
    point.exemplars.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), as_int=1)
    line = otlp_protobuf.to_line(request)
    assert bytes(range(16)).hex().encode() in line
    assert strictly("metrics", line) == request


def span_exporter(path: Path) -> SpanKeeper:
    return SpanKeeper(Lines("traces", path), None, Ledger(kept=True))


def with_bodies(request: Any) -> Any:
    """Give a record without a body an empty one, which means the same: encoders differ."""
    for record in request.resource_logs[0].scope_logs[0].log_records:
        record.body.SetInParent()
    return request


@pytest.mark.parametrize(
    "record",
    [
        LogRecord(
            timestamp=1,
            observed_timestamp=2,
            context=set_span_in_context(NonRecordingSpan(OTHER)),
            event_name="untether.kill.decided",
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body={"why": ["wedged", 7]},
            attributes={"pid": 1},
        ),
        LogRecord(timestamp=1, observed_timestamp=2),
    ],
)
def test_logs_are_what_opentelemetry_makes_of_them(tmp_path: Path, record: LogRecord) -> None:
    """Through the SDK, as a session's log records are."""
    path = tmp_path / "logs.jsonl"
    emitted = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    keeper = LogKeeper(Lines("logs", path), Ledger(kept=True))
    provider.add_log_record_processor(log_processor(keeper))
    provider.add_log_record_processor(SimpleLogRecordProcessor(emitted))
    provider.get_logger("test").emit(record)
    provider.shutdown()
    (line,) = path.read_bytes().splitlines()
    assert with_bodies(strictly("logs", line)) == with_bodies(
        encode_logs(emitted.get_finished_logs())
    )
    assert otlp_protobuf.parse("logs", line) == strictly("logs", line)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.one_of(
            st.text(),
            st.booleans(),
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.floats(allow_nan=False),
            st.lists(st.text(), max_size=3),
        ),
        max_size=5,
    )
)
def test_whatever_the_attributes_one_line_comes_back(attributes: dict[str, Any]) -> None:
    """Newlines, U+2028, surrogates and infinities do not break a line."""
    line = otlp_json.encode("traces", [a_span(**{f"k{k}": v for k, v in attributes.items()})])
    assert b"\n" not in line
    assert otlp_protobuf.parse("traces", line) == strictly("traces", line)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"resourceSpans": 1}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": "zz"}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"spanId": 1}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 1}]}]}]}',
        b'{"resourceSpans": [{"scopeSpans": [{"spans": [1]}]}]}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_request_is_a_value_error(line: bytes) -> None:
    """Named as what it is not."""
    with pytest.raises(ValueError, match="traces"):
        otlp_protobuf.parse("traces", line)


def test_unknown_fields_are_skipped() -> None:
    """As OTLP asks of a receiver: a newer writer may know more."""
    request = otlp_protobuf.parse("traces", b'{"resourceSpans": [], "later": {"a": 1}}')
    assert request.ByteSize() == 0


def test_files_are_private_and_appended_to(tmp_path: Path) -> None:
    """One line an export, mode 0600."""
    path = tmp_path / "new" / "traces.jsonl"
    for _ in range(2):
        exporter = span_exporter(path)
        assert exporter.export([a_span()])
        exporter.shutdown()
    assert len(path.read_bytes().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_line_spoils_only_itself(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next export begins on a new one."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b'{"resourceSpans": [{"scop')
    exporter = span_exporter(path)
    exporter.export([a_span()])
    exporter.shutdown()
    torn, whole = path.read_bytes().splitlines()
    assert torn == b'{"resourceSpans": [{"scop'
    assert otlp_protobuf.parse("traces", whole)


def test_nothing_to_report_is_no_line(tmp_path: Path) -> None:
    """An empty collection leaves no trace."""
    path = tmp_path / "metrics.jsonl"
    assert FileMetricExporter(path).export(MetricsData([])) is MetricExportResult.SUCCESS
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_is_a_failed_export() -> None:
    """Not an exception: the span's end() must not notice."""
    exporter = span_exporter(Path("/dev/full"))
    assert not exporter.export([a_span()])
    exporter.shutdown()


def test_an_unwritable_place_is_a_failed_export(tmp_path: Path) -> None:
    """A file where a folder should be: FAILURE, and again."""
    (tmp_path / "file").write_text("")
    exporter = FileMetricExporter(tmp_path / "file" / "metrics.jsonl")
    results: Sequence[MetricExportResult] = [exporter.export(some_metrics()) for _ in range(2)]
    assert set(results) == {MetricExportResult.FAILURE}
    exporter.shutdown()


def test_by_name_metrics_go_to_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OTEL_METRICS_EXPORTER=untether_file makes it in any process, with no argument."""
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    (point,) = entry_points(group="opentelemetry_metrics_exporter", name="untether_file")
    exporter = point.load()()
    exporter.export(some_metrics())
    exporter.shutdown()
    assert (tmp_path / "export" / "metrics.jsonl").exists()
