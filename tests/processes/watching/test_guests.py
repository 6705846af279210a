"""Sessions in somebody else's program: its providers, its threads, its memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import Config, Recorder, RunInfo, semconv, watch
from otel_untether.config.settings import TelemetryConfig, WatchdogConfig
from otel_untether.export import guest_gauges, sdk
from tests.support.otlp_receiver import wait_until

LINE = b'{"type":"system","subtype":"init","session_id":"s","claude_code_version":"2"}\n'
ASLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


class Program:
    """A host program with metrics of its own."""

    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, **options)

    def points(self, name: str | None = None) -> dict[str, list[dict[str, Any]]]:
        """Collect, and return each metric's points as their attributes and value."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: [
                {**(point.attributes or {}), "value": getattr(point, "value", None)}
                for point in metric.data.data_points
            ]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if name in (None, metric.name)
        }

    def runs(self, name: str) -> set[str]:
        return {point[semconv.RUN_ID] for point in self.points(name).get(name, ())}

    def session(self, run_id: str, **options: Any) -> Recorder:
        run = RunInfo(run_id, started=0, engine="claude")
        return Recorder(run, meter_provider=self.provider, **options)


def resident() -> int:
    """Return this process's resident memory, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def many(program: Program, first: int, last: int) -> None:
    for number in range(first, last):
        session = program.session(f"run-{number}")
        session.feed(LINE, 1)
        if number % 50 == 0:
            program.points()
        session.finish(0)


def test_nothing_is_left_for_a_thread_of_ours_to_import() -> None:
    """A program may fork meanwhile, and what it forks would wait for that import for ever."""
    later = {
        "gzip", "html", "json", "signal", "otel_untether.kill.left_behind",
        "otel_untether.session.redactor", "otel_untether.watching.judge",
    }  # fmt: skip
    code = "import sys, otel_untether.watching.guest_host; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert later <= set(told.stdout.split())


@pytest.mark.timeout(600)
def test_after_ten_thousand_sessions_the_newest_is_shown_and_memory_is_flat() -> None:
    """The SDK folds everything beyond 2,000 attribute sets of an instrument, for ever."""
    program = Program()
    many(program, 0, 2_000)
    before = resident()
    many(program, 2_000, 10_000)
    newest = program.session("newest")
    newest.feed(LINE, 1)
    points = program.points()
    assert "newest" in program.runs(semconv.SESSION_IDLE.name)
    assert not [p for found in points.values() for p in found if "otel.metric.overflow" in p]
    assert resident() - before < 30 * 2**20
    newest.finish(0)


def test_where_the_sdk_cannot_be_made_to_forget_sessions_get_fresh_scopes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sdk, "forget_attribute_sets", lambda *_: False)
    monkeypatch.setattr(guest_gauges, "_SHOWN_ENDED", 5)
    program = Program()
    many(program, 0, 1_000)
    newest = program.session("newest")
    assert "newest" in program.runs(semconv.SESSION_IDLE.name)
    newest.finish(0)


def test_a_session_that_ended_is_shown_as_ended_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guest_gauges, "_INTERVAL", 0)
    program = Program()
    session = program.session("run")
    session.feed(LINE, 1)
    states = semconv.SESSION_STATES.name
    assert {p[semconv.SESSION_STATE] for p in program.points(states)[states] if p["value"]} == {
        "working"
    }
    session.finish(0)
    assert {p[semconv.SESSION_STATE] for p in program.points(states)[states] if p["value"]} == {
        "ended"
    }
    program.points()
    program.points()
    assert program.runs(states) == set()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of threads, from 3.12 on
def test_a_fork_of_the_program_shows_none_of_its_sessions() -> None:
    """It never hears of their ends: one that is over would fall ever more silent."""
    program = Program()
    session = program.session("its own")
    child = os.fork()
    if not child:
        try:
            os._exit(len(program.runs(semconv.SESSION_IDLE.name)))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert program.runs(semconv.SESSION_IDLE.name) == {"its own"}
    session.finish()


def test_the_programs_views_apply() -> None:
    program = Program(views=[View(instrument_name="untether.*", aggregation=DropAggregation())])
    session = program.session("run")
    session.feed(LINE, 1)
    assert not [name for name in program.points() if name.startswith("untether.")]
    session.finish(0)


def test_the_tree_of_a_live_process_is_measured() -> None:
    program = Program()
    config = Config(watchdog=WatchdogConfig(sample_interval=0.1))
    with watch(ASLEEP, stdin=-1, config=config, meter_provider=program.provider) as agent:
        name = semconv.TREE_RSS.name
        assert wait_until(lambda: any(p["value"] > 0 for p in program.points(name).get(name, ())))
        assert agent.stdin is not None
        agent.stdin.close()


@contextmanager
def suppressed() -> Iterator[None]:
    token = context.attach(context.set_value("suppress_instrumentation", value=True))
    try:
        yield
    finally:
        context.detach(token)


def test_suppressed_instrumentation_leaves_no_trace_and_no_traceparent() -> None:
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    program = Program()
    code = "import os; print(os.environ.get('TRACEPARENT'))"
    with (
        suppressed(),
        watch(
            [sys.executable, "-c", code],
            tracer_provider=tracers,
            meter_provider=program.provider,
        ) as agent,
    ):
        assert list(agent) == [b"None"]
    assert exporter.get_finished_spans() == ()
    assert program.points() == {}


def test_many_agents_share_one_sampler_and_one_thread_that_looks_after_them() -> None:
    def ours() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return sorted(name for name in names if name.startswith("untether-"))

    config = Config(watchdog=WatchdogConfig(sample_interval=0.25))
    blocks = [watch(ASLEEP, stdin=-1, config=config) for _ in range(20)]
    agents = [block.__enter__() for block in blocks]
    try:
        # What sessions of other tests have asked may still be answered, in a thread of its own.
        assert wait_until(lambda: ours() == ["untether-attendant", "untether-sampler"])
    finally:
        for agent, block in zip(agents, blocks, strict=True):
            assert agent.stdin is not None
            agent.stdin.close()
            block.__exit__(None, None, None)
    assert wait_until(lambda: "untether-sampler" not in ours())


def test_a_run_is_kept_where_asked_for_with_its_own_spans_and_no_others(tmp_path: Path) -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    tracer = tracers.get_tracer("program")
    config = Config(telemetry=TelemetryConfig(state_dir=str(tmp_path)))
    with (
        tracer.start_as_current_span("the program's"),
        watch(["echo", "{}"], config=config, keep_run=True, tracer_provider=tracers) as agent,
    ):
        tracer.start_span("also the program's").end()
        agent.wait()
    (run,) = (tmp_path / "runs").iterdir()
    assert '"outcome":"completed"' in (run / "run.json").read_text()
    names = re.findall(r'"name":"([^"]*)"', (run / "traces.jsonl").read_text())
    spans = [name for name in names if not name.startswith(("otel_untether", "untether.session.s"))]
    assert spans == ["invoke_agent unknown"]
