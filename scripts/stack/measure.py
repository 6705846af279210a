"""What sessions cost their backends: `python -m scripts.stack.measure [fleet]`.

Starts the stack on loopback, sends it spans and gauges shaped like the package's own, and
prints what each component used for them; with `fleet` the spans only, through Kafka and into
OpenSearch. `docs/scaling.md` quotes the results; each takes a minute or two and both processors
of a small machine.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_untether import semconv

from .backends import PATIENCE, Backend, Stack, eventually, get
from .obtain import obtain
from .recipes import RECIPES
from .scaled import FleetStack

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

SPANS_A_BATCH, BATCHES = 500, 200
SESSIONS, EXPORTS = 2000, 4
GAUGES = [name for name, m in semconv.METRICS.items() if m.instrument.startswith("observable")]


def attribute(pair: KeyValue, key: str, value: str | int) -> None:
    """Fill in one attribute."""
    pair.key = key
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value


def span_batch() -> bytes:
    """Return one request of tool spans with the attributes that the package gives them."""
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    attribute(part.resource.attributes.add(), "service.name", "otel-untether")
    attribute(part.resource.attributes.add(), "service.instance.id", os.urandom(8).hex())
    scope = part.scope_spans.add()
    scope.scope.name = semconv.SCOPE
    trace_id = os.urandom(16)
    now = time.time_ns()
    for _ in range(SPANS_A_BATCH):
        span = scope.spans.add(name="execute_tool Bash", trace_id=trace_id, kind=1)
        span.span_id, span.parent_span_id = os.urandom(8), os.urandom(8)
        span.start_time_unix_nano, span.end_time_unix_nano = now - 10**9, now
        told: dict[str, str | int] = {
            semconv.OPERATION_NAME: "execute_tool",
            semconv.CONVERSATION_ID: "e0ef655b-f93a-4f91-80cb-6e0b7a7c5202",
            semconv.TOOL_NAME: "Bash",
            semconv.TOOL_CALL_ID: "toolu_b5597ecf71c244dcbd8e4b08",
            semconv.TOOL_TYPE: "function",
            semconv.PROCESS_EXIT_CODE: 0,
        }
        for key, value in told.items():
            attribute(span.attributes.add(), key, value)
    return request.SerializeToString()


def gauge_export(sessions: int, value: int) -> bytes:
    """Return one export of every gauge of `sessions` sessions, a Resource each."""
    request = ExportMetricsServiceRequest()
    now = time.time_ns()
    for session in range(sessions):
        part = request.resource_metrics.add()
        attribute(part.resource.attributes.add(), "service.name", "otel-untether")
        attribute(part.resource.attributes.add(), "service.instance.id", f"{session:016x}")
        attribute(part.resource.attributes.add(), semconv.ENGINE, "claude")
        scope = part.scope_metrics.add()
        for name in GAUGES:
            metric = scope.metrics.add(name=name, unit=semconv.METRICS[name].unit)
            metric.gauge.data_points.add(time_unix_nano=now, as_double=value + session)
    return request.SerializeToString()


def post(url: str, body: bytes) -> None:
    """Send one OTLP request."""
    headers = {"Content-Type": "application/x-protobuf"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE):
        pass


def usage(backend: Backend) -> tuple[float, int]:
    """Return processor seconds used so far, and resident bytes."""
    assert backend.process is not None
    process = psutil.Process(backend.process.pid)
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


def size(directory: Path) -> int:
    """Return the bytes on disk below a directory."""
    return sum(f.stat().st_blocks * 512 for f in directory.rglob("*") if f.is_file())


def counter(stack: Stack, name: str) -> float:
    """Return one of the collector's own counters, summed over its labels."""
    page = f"http://127.0.0.1:{stack.ports['collector_metrics']}/metrics"
    with urllib.request.urlopen(page) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{"))


def measure_spans(stack: Stack, directory: Path) -> None:
    """Send spans as fast as they are taken, and wait until Jaeger has them."""
    batches = [span_batch() for _ in range(BATCHES)]
    total = SPANS_A_BATCH * BATCHES
    backends = (stack.collector, stack.jaeger)
    before = [usage(backend) for backend in backends]
    disk = size(directory / "jaeger")
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda body: post(f"{stack.endpoint()}/v1/traces", body), batches))
    accepted = time.monotonic() - began
    sent = "otelcol_exporter_sent_spans"
    eventually("all spans are stored", lambda: counter(stack, sent) >= total, 300)
    stored = time.monotonic() - began
    print(f"spans: {total}, {len(batches[0]) / SPANS_A_BATCH:.0f} bytes each as OTLP protobuf")
    print(f"  accepted {total / accepted:.0f}/s, stored {total / stored:.0f}/s")
    for backend, (cpu, _) in zip(backends, before, strict=True):
        spent, resident = usage(backend)
        print(
            f"  {backend.name}: {(spent - cpu) / total * 1e6:.0f} processor s a million, "
            f"{resident >> 20} MiB resident"
        )
    print(f"  on disk: {(size(directory / 'jaeger') - disk) / total:.0f} bytes a span")


def measure_fleet(fleet: FleetStack, directory: Path) -> None:
    """Send spans as fast as they are taken, and wait until OpenSearch has them."""
    batches = [span_batch() for _ in range(BATCHES)]
    total = SPANS_A_BATCH * BATCHES
    backends = (fleet.agent, fleet.kafka, *fleet.gateways, fleet.jaeger, fleet.opensearch)
    before = [usage(backend) for backend in backends]
    places = (directory / "kafka", directory / "opensearch")
    disks = [size(place) for place in places]
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda body: post(f"{fleet.endpoint()}/v1/traces", body), batches))
    accepted = time.monotonic() - began
    eventually("all spans are stored", lambda: stored_spans(fleet) >= total, 600)
    stored = time.monotonic() - began
    print(f"fleet: {total} spans, accepted {total / accepted:.0f}/s, stored {total / stored:.0f}/s")
    for backend, (cpu, _) in zip(backends, before, strict=True):
        spent, resident = usage(backend)
        print(
            f"  {backend.name}: {(spent - cpu) / total * 1e6:.0f} processor s a million, "
            f"{resident >> 20} MiB resident"
        )
    get(f"{fleet.opensearch_url}/_flush")
    for place, disk in zip(places, disks, strict=True):
        print(f"  on disk, {place.name}: {(size(place) - disk) / total:.0f} bytes a span")


def stored_spans(fleet: FleetStack) -> int:
    """Return how many spans OpenSearch has."""
    return int(get(f"{fleet.opensearch_url}/jaeger-span-*/_count")["count"])


def measure_series(stack: Stack, directory: Path) -> None:
    """Export the gauges of many sessions a few times."""
    series = SESSIONS * len(GAUGES)
    cpu, resident = usage(stack.prometheus)
    collector_cpu, _ = usage(stack.collector)
    body = b""
    for value in range(EXPORTS):
        body = gauge_export(SESSIONS, value)
        post(f"{stack.endpoint()}/v1/metrics", body)
        time.sleep(1)
    first = f'count({{service_name="otel-untether", instance="{0:016x}"}})'
    eventually("the series are there", lambda: stack.value(first) >= len(GAUGES), 120)
    samples = series * EXPORTS
    spent, now_resident = usage(stack.prometheus)
    print(f"series: {series} of {SESSIONS} sessions, {len(GAUGES)} each")
    print(f"  {len(body) / SESSIONS:.0f} bytes a session and export as OTLP protobuf")
    print(f"  prometheus: {(now_resident - resident) / series:.0f} bytes resident a series")
    print(f"  prometheus: {(spent - cpu) / samples * 1e6:.1f} processor s a million samples")
    used = usage(stack.collector)[0] - collector_cpu
    print(f"  collector: {used / samples * 1e6:.1f} processor s a million samples")
    print(
        f"  on disk (mostly the log of what is in memory): {size(directory / 'prometheus')} bytes"
    )


def main() -> int:
    """Measure, and print what came out."""
    binaries: dict[str, str] = {}
    for recipe in RECIPES:
        binaries |= obtain(recipe)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if "fleet" in sys.argv[1:]:
            with FleetStack(binaries, directory) as fleet:
                measure_fleet(fleet, directory)
            return 0
        with Stack(binaries, directory) as stack:
            measure_spans(stack, directory)
            measure_series(stack, directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
