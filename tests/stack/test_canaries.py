"""One canary in every field of every signal: gone at the first hop, whichever collector that is."""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from scripts.collector_redaction import UNSUSPECTED
from scripts.stack.backends import CONFIG, Backend, eventually, free_port
from tests.support.canaries import CANARIES, canary, everywhere, logs, metrics, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOPS = {
    "one machine": ("otel-collector.yaml",),
    "agent": ("scale/agent.yaml",),
    "agent before Kafka": ("scale/agent.yaml", "scale/kafka-producer.yaml"),
    "gateway": ("scale/gateway.yaml",),
    "sampling gateway": ("scale/gateway.yaml", "scale/gateway-sampling.yaml"),
}


@contextmanager
def hop(binaries: dict[str, str], names: tuple[str, ...], directory: Path) -> Iterator[str]:
    """Run a collector that writes what it would send into a file; yield its gRPC address."""
    grpc_port, health = free_port(), free_port()
    overlay = directory / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(_to_file(names, directory)))
    command = [binaries["OTELCOL_BIN"]]
    command += [f"--config={path}" for path in (*(CONFIG / name for name in names), overlay)]
    environment = {
        "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
        "OTELCOL_QUEUE_DIRECTORY": str(directory / "queue"),
        "OTELCOL_GRPC_ENDPOINT": f"127.0.0.1:{grpc_port}",
        "OTELCOL_HTTP_ENDPOINT": f"127.0.0.1:{free_port()}",
        "OTELCOL_METRICS_HOST": "127.0.0.1",
        "OTELCOL_METRICS_PORT": str(free_port()),
        "OTELCOL_LOGS_FILE": str(directory / "logs.jsonl"),
        "OTELCOL_DECISION_WAIT": "1s",
        "GATEWAY_HOST": "127.0.0.1",
    }
    collector = Backend(
        "collector", command, f"http://127.0.0.1:{health}", directory / "log", environment
    )
    collector.start()
    try:
        yield f"127.0.0.1:{grpc_port}"
    finally:
        collector.stop()


def _to_file(names: tuple[str, ...], directory: Path) -> dict[str, Any]:
    pipelines: dict[str, Any] = {}
    for name in names:
        pipelines |= yaml.safe_load((CONFIG / name).read_text())["service"]["pipelines"]
    overlay: dict[str, Any] = {"exporters": {}, "service": {"pipelines": {}}}
    for name in pipelines:
        signal = name.partition("/")[0]
        file = f"file/{name.replace('/', '-')}"
        overlay["exporters"][file] = {
            "path": str(directory / f"{name.replace('/', '-')}.jsonl"),
            "flush_interval": "100ms",
        }
        kept = [
            exporter
            for exporter in pipelines[name].get("exporters", [])
            if exporter.startswith(("forward", "span_metrics"))
        ]
        overlay["service"]["pipelines"][name] = {"exporters": [*kept, file]}
        assert signal in ("traces", "metrics", "logs")
    if names[0] == "scale/gateway.yaml":
        overlay |= yaml.safe_load((CONFIG / "scale/plaintext.yaml").read_text())
    return overlay


@pytest.mark.parametrize("names", HOPS.values(), ids=HOPS.keys())
def test_no_canary_passes_the_first_hop(
    binaries: dict[str, str], names: tuple[str, ...], tmp_path: Path
) -> None:
    sent = everywhere()
    with hop(binaries, names, tmp_path) as address, grpc.insecure_channel(address) as channel:
        now = time.time_ns()
        TraceServiceStub(channel).Export(spans(now))
        MetricsServiceStub(channel).Export(metrics(now))
        LogsServiceStub(channel).Export(logs(now))
        eventually(
            "spans, metrics and logs came through",
            lambda: all(
                mark in _left(tmp_path) for mark in ("mark-span", "mark.metric", "mark-log")
            ),
        )
    left = _left(tmp_path)
    assert {canary: place for place, canary in sent.items() if canary in left} == {}


def _passed(directory: Path, *marks: str) -> bool:
    left = _left(directory)
    return all(mark in left for mark in marks)


def _left(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("*.jsonl"))


def test_a_codex_tool_is_not_told_in_clear(binaries: dict[str, str], tmp_path: Path) -> None:
    for names in HOPS.values():
        directory = tmp_path / names[-1].replace("/", "-")
        directory.mkdir()
        with hop(binaries, names, directory) as address, grpc.insecure_channel(address) as channel:
            LogsServiceStub(channel).Export(logs(time.time_ns(), service="codex_cli_rs"))
            eventually("the record came through", partial(_passed, directory, "mark-log"))
        assert "ls /srv/private" not in _left(directory)


def test_numbers_and_our_own_links_pass_as_they_are(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    with hop(binaries, HOPS["agent"], tmp_path) as address:
        with grpc.insecure_channel(address) as channel:
            TraceServiceStub(channel).Export(spans(time.time_ns()))
        left = eventually("spans came through", lambda: _left(tmp_path))
    assert '"intValue":"4096"' in left
    assert '"key":"untether.session.outcome","value":{"stringValue":"crashed"}' in left
    assert "commit 3f786850e387550fdab836ed7e6dc881de23001b" in left


def test_nobody_gets_past_the_redaction_by_naming_the_key_that_it_ignores(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    request, log = spans(time.time_ns()), logs(time.time_ns())
    span = request.resource_spans[0].scope_spans[0].spans[0]
    told = log.resource_logs[0].scope_logs[0].log_records[0]
    body = told.body.kvlist_value.values.add(key="deep").value.kvlist_value.values
    places = {
        "resource": request.resource_spans[0].resource.attributes,
        "span": span.attributes,
        "map": span.attributes.add(key="map").value.kvlist_value.values,
        "event": span.events.add(name="event").attributes,
        "log": told.attributes,
        "body": body,
    }
    for place, attributes in places.items():
        value = attributes.add(key=UNSUSPECTED).value
        value.kvlist_value.values.add(key="x").value.string_value = canary(f"forged {place}")
    with (
        hop(binaries, HOPS["one machine"], tmp_path) as address,
        grpc.insecure_channel(address) as channel,
    ):
        TraceServiceStub(channel).Export(request)
        LogsServiceStub(channel).Export(log)
        eventually("both came through", partial(_passed, tmp_path, "mark-span", "deep"))
    left = _left(tmp_path)
    assert [place for place in places if CANARIES[f"forged {place}"] in left] == []


def test_what_holds_no_secret_passes_as_it_came(binaries: dict[str, str], tmp_path: Path) -> None:
    """Of every type, nested, and in a body; also a number that JSON has no word for."""
    request, log = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="work")
    span.trace_id, span.span_id = bytes(range(16)), bytes(range(8))
    record = log.resource_logs.add().scope_logs.add().log_records.add()
    for attributes in (span.attributes, record.attributes, record.body.kvlist_value.values):
        attributes.add(key="text").value.string_value = "a text"
        attributes.add(key="bytes").value.bytes_value = b"bytes"
        attributes.add(key="real").value.double_value = 0.5
        attributes.add(key="yes").value.bool_value = True
        attributes.add(key="list").value.array_value.values.add().int_value = 7
        inner = attributes.add(key="map").value.kvlist_value.values
        inner.add(key="inner").value.string_value = "inner"
    other = request.resource_spans[0].scope_spans[0].spans.add(name="no number")
    other.trace_id, other.span_id = bytes(range(16)), bytes(range(1, 9))
    other.attributes.add(key="ratio").value.double_value = float("nan")
    other.attributes.add(key="secret text").value.string_value = f"is {canary('beside nan')}"
    with (
        hop(binaries, HOPS["one machine"], tmp_path) as address,
        grpc.insecure_channel(address) as channel,
    ):
        TraceServiceStub(channel).Export(request)
        LogsServiceStub(channel).Export(log)
        eventually("both came through", partial(_passed, tmp_path, "no number", '"body"'))
    passed = _read(tmp_path, ExportTraceServiceRequest(), "traces")
    first, second = passed.resource_spans[0].scope_spans[0].spans
    assert first.attributes == span.attributes
    assert CANARIES["beside nan"] not in str(second)
    read = _read(tmp_path, ExportLogsServiceRequest(), "logs")
    (kept,) = read.resource_logs[0].scope_logs[0].log_records
    assert (kept.attributes, kept.body) == (record.attributes, record.body)


def _read(directory: Path, into: Any, signal: str) -> Any:
    """Return the one document of a file of OTLP-JSON, whose ids are hexadecimal."""
    document = json.loads((directory / f"{signal}.jsonl").read_text())
    for part in document.get("resourceSpans", ()):
        for span in part["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId"):
                span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
            span.pop("parentSpanId", None)
    return ParseDict(document, into)


def test_every_field_has_a_canary_of_its_own() -> None:
    planted = everywhere()
    assert len(planted) == len(set(planted.values())) > 100
