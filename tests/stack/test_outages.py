"""Backends that go away and come back: nothing that was accepted is lost."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_untether.store import segments
from scripts.stack.backends import ImportingStack, Stack, eventually
from tests.stack.agents import AGENT, COMMAND, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def own_stack(binaries: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    """A stack that a test may break."""
    with Stack(binaries, tmp_path) as running:
        yield running


def send_span(stack: Stack) -> str:
    """Send one span, see it accepted by the collector, and return its trace id."""
    provider = TracerProvider(resource=Resource.create({"service.name": "outage"}))
    exporter = OTLPSpanExporter(f"{stack.endpoint()}/v1/traces", timeout=5)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("outage").start_as_current_span("work") as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
    provider.shutdown()
    return trace_id


def send_count(stack: Stack, value: int) -> str:
    """Send one counter at `value` from a process of its own and return its instance id."""
    instance = uuid.uuid4().hex
    exporter = OTLPMetricExporter(f"{stack.endpoint()}/v1/metrics", timeout=5)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    resource = Resource.create({"service.name": "outage", "service.instance.id": instance})
    provider = MeterProvider([reader], resource=resource)
    provider.get_meter("outage").create_counter("outage.things").add(value)
    provider.shutdown()
    return instance


def test_spans_survive_a_dead_jaeger_and_then_a_dead_collector(own_stack: Stack) -> None:
    before = send_span(own_stack)
    eventually("the first trace is in Jaeger", lambda: own_stack.trace(before))
    own_stack.jaeger.kill()
    during = send_span(own_stack)
    own_stack.collector.kill()
    own_stack.jaeger.start()
    own_stack.collector.start()
    assert eventually("the trace sent meanwhile is in Jaeger", lambda: own_stack.trace(during))
    assert own_stack.trace(before)


def test_metrics_wait_for_prometheus_and_keep_their_time(own_stack: Stack) -> None:
    own_stack.prometheus.kill()
    before = time.time()
    instance = send_count(own_stack, 7)
    after = time.time()
    own_stack.collector.kill()
    own_stack.prometheus.start()
    own_stack.collector.start()
    series = f'outage_things_total{{instance="{instance}"}}'
    ((stamped,),) = [
        eventually("the counter is in Prometheus", lambda: own_stack.query(f"timestamp({series})"))
    ]
    assert own_stack.value(series) == 7
    assert before - 0.001 <= float(stamped["value"][1]) <= after


def test_a_session_without_a_collector_is_sent_later(own_stack: Stack, tmp_path: Path) -> None:
    own_stack.collector.kill()
    runner = Runner(own_stack, tmp_path / "state")
    runner.directory.mkdir()
    session = runner.run()
    assert session.process.returncode == 0
    own_stack.collector.start()
    eventually("all of it is sent", lambda: resent(own_stack, runner.directory))
    spans = eventually(
        "the whole session is in Jaeger",
        lambda: (s := own_stack.spans_of(session.service)) and not dangling(s) and s,
    )
    assert any(span["name"] == "invoke_agent claude" for span in spans)


def resent(stack: Stack, state: Path) -> bool:
    """Run `resend`, and say what it says; whether nothing is left."""
    result = subprocess.run(
        [COMMAND, "resend"],
        capture_output=True,
        text=True,
        check=False,
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint(),
            "OTEL_UNTETHER_STATE_DIR": str(state),
        },
    )
    print(f"resend, {result.returncode}: {result.stdout}{result.stderr}")
    assert result.returncode in (0, 1)
    return result.returncode == 0


def dangling(spans: list[dict[str, Any]]) -> set[str]:
    """Return the parents that are named and not there."""
    parents = {span["parentSpanId"] for span in spans if span.get("parentSpanId")}
    return parents - {span["spanId"] for span in spans}


def compress_half(traces: Path) -> None:
    """Have the older spans of a run compressed, as those of a long one are."""
    lines = traces.read_bytes().splitlines(keepends=True)
    traces.write_bytes(b"".join(lines[: len(lines) // 2]))
    segments.compress(segments.set_aside(traces))
    traces.write_bytes(b"".join(lines[len(lines) // 2 :]))


def test_a_session_without_an_endpoint_is_read_by_the_collector(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    """The local files are what the collector's own receiver reads, those of long runs too."""
    service, state = f"local-{uuid.uuid4().hex[:8]}", tmp_path / "state"
    local = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    subprocess.run(
        [COMMAND, "run", "--", *AGENT],
        check=True,
        stdout=subprocess.DEVNULL,
        env=local | {"OTEL_UNTETHER_STATE_DIR": str(state), "OTEL_SERVICE_NAME": service},
    )
    (traces,) = state.glob("runs/*/traces.jsonl")
    compress_half(traces)
    with ImportingStack(binaries, tmp_path, state) as stack:

        def whole() -> bool:
            spans = stack.spans_of(service)
            root = any(span["name"] == "invoke_agent claude" for span in spans)
            return root and not any(span["warnings"] for span in spans)

        eventually("the session is in Jaeger, nothing missing", whole)
