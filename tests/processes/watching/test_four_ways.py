"""One session is one object: whichever way it comes in, the same comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_untether
from otel_untether import Recorder, RunInfo, semconv
from tests.support.otlp_receiver import wait_until

RECORDINGS = Path(__file__).parents[2] / "conformance" / "recordings" / "claude"
RECORDING = RECORDINGS / "claude_ok.jsonl"
RUN = ["run", "--engine", "claude", "--", "cat", str(RECORDING)]
# Prints the recording, and waits to be told to end.
HELD = ["sh", "-c", f"cat {RECORDING}; read x || true"]
OTEL_UNTETHER = [sys.executable, "-m", "otel_untether"]
# What differs between the ways: a process that is there or not, and whose run it is.
OWN = {
    "process.pid",
    "process.exit.code",
    "process.executable.name",
    "untether.run.id",
    "untether.session.duration_s",
    "untether.session.outcome",
}


class Shown(NamedTuple):
    """A span as it is compared: its name, its parent's, and its attributes."""

    name: str
    parent: str | None
    attributes: tuple[tuple[str, str], ...]


def shown(name: str, parent: str | None, attributes: dict[str, Any]) -> Shown:
    kept = {
        key: json.dumps(value)
        for key, value in attributes.items()
        if key not in OWN and not (key.startswith("untether.tree.") and key.endswith(".peak"))
    }
    return Shown(name, parent, tuple(sorted(kept.items())))


def of_provider(spans: tuple[ReadableSpan, ...]) -> Counter[Shown]:
    names = {span.context.span_id: span.name for span in spans if span.context}
    return Counter(
        shown(
            span.name,
            names.get(span.parent.span_id) if span.parent else None,
            {k: list(v) if isinstance(v, tuple) else v for k, v in (span.attributes or {}).items()},
        )
        for span in spans
        if span.name != "untether.session.started"
    )


def value(attribute: dict[str, Any]) -> Any:
    ((kind, found),) = attribute["value"].items()
    if kind == "arrayValue":
        return [value({"value": item}) for item in found.get("values", ())]
    return int(found) if kind == "intValue" else found


def of_folder(state: Path) -> Counter[Shown]:
    (run,) = (state / "runs").iterdir()
    spans = [
        span
        for line in (run / "traces.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]
    names = {span["spanId"]: span["name"] for span in spans}
    return Counter(
        shown(
            span["name"],
            names.get(span.get("parentSpanId")),
            {item["key"]: value(item) for item in span.get("attributes", ())},
        )
        for span in spans
        if span["name"] != "untether.session.started"
    )


def commanded(state: Path, *words: str) -> Counter[Shown]:
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(state)}
    environ["OTEL_UNTETHER_EXIT_TIMEOUT"] = "60"
    ran = subprocess.run(
        [*OTEL_UNTETHER, *words], env=environ, capture_output=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return of_folder(state)


class Program:
    """A host program's providers."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)

    @property
    def spans(self) -> Counter[Shown]:
        return of_provider(self.exporter.get_finished_spans())

    def metrics(self) -> dict[str, list[dict[str, Any]]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: [dict(point.attributes or {}) for point in metric.data.data_points]
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def program() -> Program:
    return Program()


def recorded(program: Program) -> Counter[Shown]:
    recorder = Recorder(
        RunInfo("run", started=0, engine="claude"),
        tracer_provider=program.tracer_provider,
        meter_provider=program.meter_provider,
    )
    for at, line in enumerate(RECORDING.read_bytes().splitlines(keepends=True), 1):
        recorder.feed(line, at * 1_000_000)
    recorder.finish(exit_code=0)
    return program.spans


async def watched(program: Program) -> None:
    async with otel_untether.watch(
        ["cat", str(RECORDING)],
        engine="claude",
        tracer_provider=program.tracer_provider,
        meter_provider=program.meter_provider,
    ):
        pass


def test_all_four_ways_make_the_same_spans(tmp_path: Path, program: Program) -> None:
    anyio.run(watched, program)
    ways = {
        "run": commanded(
            tmp_path / "run", "run", "--engine", "claude", "--", "cat", str(RECORDING)
        ),
        "replay": commanded(tmp_path / "replay", "replay", str(RECORDING)),
        "Recorder": recorded(Program()),
        "watch": program.spans,
    }
    expected = ways["Recorder"]
    assert sum(expected.values()) > 10
    for way, spans in ways.items():
        assert spans - expected == expected - spans == Counter(), way


def run_until_sampled(state: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(state)}
    environ["OTEL_UNTETHER_EXIT_TIMEOUT"] = "60"
    command = [*OTEL_UNTETHER, "run", "--engine", "claude", "--", *HELD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ):
        assert wait_until(lambda: is_sampled(state), 60)


def is_sampled(state: Path) -> bool:
    return any(file.stat().st_size for file in state.glob("runs/*/samples.jsonl"))


def watch_until_sampled(program: Program) -> None:
    with otel_untether.watch(
        HELD,
        engine="claude",
        stdin=subprocess.PIPE,
        tracer_provider=program.tracer_provider,
        meter_provider=program.meter_provider,
    ) as agent:
        assert wait_until(lambda: semconv.TREE_RSS.name in program.metrics(), 60)
        assert agent.stdin is not None
        agent.stdin.close()


def test_run_and_watch_make_the_same_metrics(tmp_path: Path, program: Program) -> None:
    run_until_sampled(tmp_path)
    (run,) = (tmp_path / "runs").iterdir()
    by_run = {
        metric["name"]
        for line in (run / "metrics.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceMetrics"]
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
        if scope["scope"]["name"] == "otel_untether"
    }
    watch_until_sampled(program)
    by_watch = program.metrics()
    # Where telemetry is lost is known of what is exported by us, not of a program's exporters.
    assert set(by_watch) | {"untether.telemetry.lost"} == by_run | {"untether.telemetry.lost"}
    gauges = [name for name in by_watch if name.startswith(("untether.tree.", "untether.session."))]
    assert gauges
    for name in gauges:
        if name != "untether.sessions.active":
            assert all("untether.run.id" in point for point in by_watch[name]), name
