"""The gauges of live sessions: what they say, whose they are, and when they stop."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpExporter,
)
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics import export as sdk_classes
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import ResourceMetrics as SdkResourceMetrics
from opentelemetry.sdk.resources import Resource

from otel_untether import semconv
from otel_untether.clock import Clock
from otel_untether.export import gauge_exporter as gauge_export
from otel_untether.export import metric_data
from otel_untether.export.gauge_exporter import GaugeExporter
from otel_untether.export.kept_resource import KeptResource
from otel_untether.export.metric_data import NumberDataPoint, ResourceMetrics, Sum
from otel_untether.export.otlp_json import encode
from otel_untether.export.session_gauges import SessionGauges, session_resource
from otel_untether.proc_diag import Identity, ProcessSnapshot, SocketDiag, Tree, TreeSnapshot
from otel_untether.proc_diag.sampler import Sampler, Window
from otel_untether.session.activity import Wait
from otel_untether.session.state import SessionState
from otel_untether.stall import Finding
from otel_untether.watching.measures import own_measures
from tests.support import processes
from tests.support.otlp_receiver import grpc_receiver, hanging, http_receiver, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 10**9
START = 1000 * SECOND
CUMULATIVE, DELTA = AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA


def session(run: str = "run-1") -> SessionState:
    """Make a session that has said a line at its start."""
    state = SessionState(run, START, engine="claude", pid=4242)
    state.line(START)
    return state


def sample(**changes: Any) -> TreeSnapshot:
    """Make a sample of a leader and a zombie, all of it known."""
    leader = ProcessSnapshot(Identity(4242, 1.0), state="S")
    zombie = ProcessSnapshot(Identity(4243, 2.0), state="Z")
    known: dict[str, Any] = {
        "leader": leader, "processes": (leader, zombie), "sockets": (), "cpu_time": 2.5,
        "cpu_rate": 0.25, "rss": 1000, "threads": 4, "fds": 20, "io_read": 70, "io_written": 30,
    }  # fmt: skip
    return TreeSnapshot(**({"at": 1.0, "alive": True} | known | changes))


def gauges(state: SessionState | None = None, *samples: TreeSnapshot) -> SessionGauges:
    """Make the gauges of a session that was sampled so."""
    state, window = state or session(), Window()
    for each in samples:
        window.append(each)
    return SessionGauges(state, Resource({}), window)


def values(collected: ResourceMetrics | SdkResourceMetrics) -> dict[str, Any]:
    """Return the values by metric; by the label that tells them apart where there is one."""
    found: dict[str, Any] = {}
    for metric in collected.scope_metrics[0].metrics:
        points: dict[object, object] = {}
        for point in metric.data.data_points:
            labels = dict(point.attributes or {})
            points[next(iter(labels.values()), "")] = getattr(point, "value", None)
        found[metric.name] = points.get("", points)
    return found


def test_whole_tree_is_reported() -> None:
    found = values(gauges(None, sample()).collect(START + 5 * SECOND, CUMULATIVE))
    assert found == {
        "untether.session.idle": 5,
        "untether.session.last_event.timestamp": 1000,
        "untether.session.open_tools": 0,
        "untether.session.state": {"working": 1},
        "untether.tree.cpu.utilization": 0.25,
        "untether.tree.cpu.time": 2.5,
        "untether.tree.memory.rss": 1000,
        "untether.tree.threads": 4,
        "untether.tree.fds": 20,
        "untether.tree.processes": 1,
        "untether.tree.zombies": 1,
        "untether.tree.io.read": 70,
        "untether.tree.io.write": 30,
        "untether.tree.tcp.connections": {"established": 0},
    }


def test_unknown_is_not_reported_and_never_zero() -> None:
    unknown = TreeSnapshot(1.0, None)
    found = values(gauges(None, unknown).collect(START, CUMULATIVE))
    assert not [name for name in found if name.startswith("untether.tree.")]


def test_sample_from_long_ago_says_nothing_about_now() -> None:
    """The sampling has stopped, which must not look like a tree that does not change."""
    each = gauges(None, sample())
    now = each.clock.from_monotonic(1.0)
    assert "untether.tree.fds" in values(each.collect(now + 200 * SECOND, CUMULATIVE))
    assert "untether.tree.fds" not in values(each.collect(now + 400 * SECOND, CUMULATIVE))


def test_session_without_samples_reports_itself() -> None:
    state = session()
    found = values(SessionGauges(state, Resource({})).collect(START, CUMULATIVE))
    assert found.keys() == {
        "untether.session.idle",
        "untether.session.last_event.timestamp",
        "untether.session.open_tools",
        "untether.session.state",
    }


def test_connections_are_reported_by_state_and_a_state_left_is_zero() -> None:
    """A series that only stopped would show its last value for minutes."""
    window = Window()
    each = SessionGauges(session(), Resource({}), window)
    window.append(
        sample(
            sockets=(
                SocketDiag(1, "ESTABLISHED", 443, receive_age=9.0),
                SocketDiag(2, "ESTABLISHED", 443, receive_age=0.5),
                SocketDiag(3, "CLOSE_WAIT", 443, receive_age=99.0),
                SocketDiag(4, "FIN_WAIT1", 443),
            )
        )
    )
    first = values(each.collect(START, CUMULATIVE))
    window.append(sample())
    second = values(each.collect(START, CUMULATIVE))
    by_state = {"established": 2, "close_wait": 1, "fin_wait_1": 1}
    assert first["untether.tree.tcp.connections"] == by_state
    assert first["untether.tree.tcp.receive_age"] == 0.5
    assert second["untether.tree.tcp.connections"] == dict.fromkeys(by_state, 0)
    assert "untether.tree.tcp.receive_age" not in second


def finding(kind: Any) -> Finding:
    """Make a finding."""
    return Finding(kind, "model_silent", START, START)


def test_state_is_one_and_the_states_before_it_are_zero() -> None:
    state = SessionState("run-1", START, engine="claude")
    each = SessionGauges(state, Resource({}))

    def current() -> dict[str, int]:
        found: dict[str, int] = values(each.collect(START, CUMULATIVE))["untether.session.state"]
        return found

    assert current() == {"starting": 1}
    state.line(START)
    assert current() == {"starting": 0, "working": 1}
    state.waits["a"] = Wait("a", "rate_limit", START)
    assert current()["working"] == 1
    state.waits["b"] = Wait("b", "approval", START)
    assert current()["waiting"] == 1
    each.found(finding("stall"))
    each.found(finding("liveness"))
    assert current()["stalled"] == 1
    each.found(finding("recovered"))
    state.waits.clear()
    each.end()
    assert current() == {"starting": 0, "working": 0, "waiting": 0, "stalled": 0, "ended": 1}


def test_a_stalled_state_says_why_and_the_cause_before_it_is_over() -> None:
    """Alerts count sessions by cause: none may be in two at once."""
    each = SessionGauges(session(), Resource({}))
    each.found(finding("stall"))
    each.collect(START, CUMULATIVE)
    each.found(Finding("stall", "wedged", START, START))
    (states,) = (
        metric.data.data_points
        for metric in each.collect(START, CUMULATIVE).scope_metrics[0].metrics
        if metric.name == "untether.session.state"
    )
    by_cause = {
        dict(point.attributes or {})["untether.stall.cause"]: point.value
        for point in states
        if isinstance(point, NumberDataPoint)
    }
    assert by_cause == {"model_silent": 0, "wedged": 1}


def test_terminal_sample_has_nothing_left_and_keeps_what_was_used() -> None:
    """Alerts on the last values would fire until the series are stale."""
    each = gauges(None, sample(sockets=(SocketDiag(1, "ESTABLISHED", 443, receive_age=9.0),)))
    each.collect(START, CUMULATIVE)
    each.end()
    found = values(each.collect(START + 60 * SECOND, CUMULATIVE))
    assert found["untether.session.idle"] == 0
    assert found["untether.tree.memory.rss"] == found["untether.tree.processes"] == 0
    assert found["untether.tree.cpu.utilization"] == found["untether.tree.zombies"] == 0
    assert found["untether.tree.tcp.connections"] == {"established": 0}
    assert found["untether.tree.cpu.time"] == 2.5
    assert found["untether.session.state"] == {"working": 0, "ended": 1}


def test_types_and_units_are_what_the_registry_says() -> None:
    each = gauges(None, sample(sockets=(SocketDiag(1, "ESTABLISHED", 443, receive_age=9.0),)))
    each.found(finding("stall"))
    (scope,) = each.collect(START, CUMULATIVE).scope_metrics
    registered = {
        name: metric
        for name, metric in semconv.METRICS.items()
        if metric.instrument.startswith("observable")
    }
    assert {metric.name for metric in scope.metrics} == registered.keys()
    for metric in scope.metrics:
        expected = registered[metric.name]
        assert (metric.unit, metric.description) == (expected.unit, expected.brief)
        assert isinstance(metric.data, Sum) == (expected.instrument == "observable_counter")
        labels = {key for point in metric.data.data_points for key in point.attributes or {}}
        assert labels == set(expected.attributes)
    assert scope.scope.name == "otel_untether"


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_a_collection_is_written_the_same_in_the_sdks_classes_and_in_ours(
    temporality: AggregationTemporality,
) -> None:
    connected = sample(sockets=(SocketDiag(1, "ESTABLISHED", 443, receive_age=9.0),))

    def written(base: Any, classes: Any) -> Any:
        window = Window()
        each = SessionGauges(session(), base, window)
        window.append(connected)
        collected = each.collect(START + SECOND, temporality, classes)
        return json.loads(encode("metrics", classes.MetricsData([collected])))

    service = {"service.name": "agents"}
    ours = written(KeptResource(service), metric_data)
    (resource,) = ours["resourceMetrics"]
    assert len(resource["scopeMetrics"][0]["metrics"]) > 10
    assert ours == written(Resource(service), sdk_classes)
    assert isinstance(gauges().collect(START, temporality, sdk_classes), SdkResourceMetrics)


def test_totals_are_cumulative_since_the_session_began() -> None:
    points = counter_points(gauges(None, sample()).collect(START + SECOND, CUMULATIVE))
    assert points == {
        "untether.tree.cpu.time": (START, 2.5),
        "untether.tree.io.read": (START, 70),
        "untether.tree.io.write": (START, 30),
    }


def test_totals_are_deltas_for_an_exporter_that_wants_them() -> None:
    window = Window()
    each = SessionGauges(session(), Resource({}), window)
    window.append(sample())
    first = counter_points(each.collect(START + SECOND, DELTA))
    window.append(sample(cpu_time=4.0))
    second = counter_points(each.collect(START + 2 * SECOND, DELTA))
    assert first["untether.tree.cpu.time"] == (START, 2.5)
    assert second["untether.tree.cpu.time"] == (START + SECOND, 1.5)


def counter_points(collected: ResourceMetrics) -> dict[str, tuple[int, float]]:
    """Return start and value of the counters."""
    found = {}
    for metric in collected.scope_metrics[0].metrics:
        if isinstance(metric.data, Sum):
            (point,) = metric.data.data_points
            found[metric.name] = point.start_time_unix_nano, point.value
    return found


def test_resource_is_the_session_on_top_of_the_service() -> None:
    base = Resource({"service.name": "bot", "host.name": "here", "service.instance.id": "bot-1"})
    assert session_resource(base, session()).attributes == {
        "service.name": "bot",
        "host.name": "here",
        "service.instance.id": "run-1",
        "untether.run.id": "run-1",
        "untether.engine": "claude",
        "process.pid": 4242,
    }


def test_resource_has_the_engine_s_own_id_where_it_was_known_at_first() -> None:
    """Learnt later, it would make other series of the same session."""
    early, late = session("early"), session("late")
    early.session_id = "abc"
    each = [SessionGauges(state, Resource({})) for state in (early, late)]
    for _ in range(2):
        first, second = (one.collect(START, CUMULATIVE).resource.attributes for one in each)
        assert first["gen_ai.conversation.id"] == "abc"
        assert "gen_ai.conversation.id" not in second
        late.session_id = "def"


def test_resource_follows_the_engine_once_it_is_known() -> None:
    state = SessionState("run-1", START)
    each = SessionGauges(state, Resource({}))
    first = each.collect(START, CUMULATIVE).resource.attributes
    state.engine = "pi"
    second = each.collect(START, CUMULATIVE).resource.attributes
    assert (first["untether.engine"], second["untether.engine"]) == ("unknown", "pi")


class Recording(MetricExporter):
    """Keeps what it is given; fails while `failing`."""

    def __init__(self, temporality: AggregationTemporality = CUMULATIVE) -> None:
        super().__init__(preferred_temporality={ObservableCounter: temporality})
        self.exports: list[MetricsData] = []
        self.failing = False
        self.threads: set[str] = set()

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 0, **kwargs: Any
    ) -> MetricExportResult:
        """Keep it."""
        del timeout_millis, kwargs
        self.threads.add(threading.current_thread().name)
        self.exports.append(metrics_data)
        if self.failing:
            raise OSError("no")
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Nothing is kept back."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        """Tell that it was called, which it must not be."""
        raise AssertionError("the exporters are not ours", timeout_millis, kwargs)

    def runs(self) -> list[set[str]]:
        """Return which sessions each export was of."""
        return [
            {str(each.resource.attributes["untether.run.id"]) for each in data.resource_metrics}
            for data in self.exports
        ]


@contextmanager
def exporting(*exporters: MetricExporter, interval: float = 3600) -> Iterator[GaugeExporter]:
    """Export, and end with nothing left running."""
    before = set(threading.enumerate())
    exporter = GaugeExporter(exporters, interval=interval)
    yield exporter
    exporter.shutdown(5)

    def left() -> bool:
        return "untether-gauges" not in {t.name for t in {*threading.enumerate()} - before}

    assert wait_until(left)


def test_all_sessions_go_into_one_export_by_one_thread() -> None:
    recording = Recording()
    with exporting(recording) as exporter:
        for number in range(5):
            exporter.add(gauges(session(f"run-{number}")))
        assert exporter.flush(5)
        assert recording.runs() == [{f"run-{number}" for number in range(5)}]
        assert recording.threads == {"untether-gauges"}


def test_session_that_ended_is_exported_once_more_and_then_never() -> None:
    recording = Recording()
    with exporting(recording) as exporter:
        one, other = gauges(session("one")), gauges(session("other"))
        exporter.add(one)
        exporter.add(other)
        exporter.remove(one)
        exporter.remove(one)
        exporter.flush(5)
        exporter.flush(5)
    first, second, last = recording.runs()
    assert first == {"one", "other"}
    assert second == last == {"other"}
    ended = recording.exports[0].resource_metrics[1]
    assert values(ended)["untether.session.state"] == {"ended": 1}


def test_export_happens_each_interval() -> None:
    recording = Recording()
    with exporting(recording, interval=0.02) as exporter:
        exporter.add(gauges())
        assert wait_until(lambda: len(recording.exports) >= 3)


def test_terminal_sample_no_collector_took_is_tried_again() -> None:
    recording = Recording()
    recording.failing = True
    with exporting(recording) as exporter:
        one = gauges(session("one"))
        exporter.add(one)
        exporter.remove(one)
        exporter.flush(5)
        recording.failing = False
        exporter.flush(5)
    assert recording.runs() == [{"one"}, {"one"}]


def test_exporter_that_fails_does_not_cost_the_other_its_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = Recording(), Recording()
    bad.failing = True
    exporter = GaugeExporter([bad, good], interval=3600)
    exporter.add(gauges())
    assert exporter.flush(5)
    assert len(good.exports) == 1
    assert "an exporter of metrics failed" in caplog.text
    bad.failing = False
    exporter.shutdown(5)


def test_session_that_cannot_be_collected_does_not_cost_the_others_theirs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recording = Recording()
    with exporting(recording) as exporter:
        bad = gauges(session("bad"))
        bad._state = None  # type: ignore[assignment]  # breaks it
        exporter.add(bad)
        exporter.add(gauges(session("good")))
        exporter.flush(5)
    assert recording.runs()[0] == {"good"}
    assert "could not be collected" in caplog.text


def test_exporters_get_the_temporality_they_prefer() -> None:
    cumulative, delta = Recording(), Recording(DELTA)
    with exporting(cumulative, delta) as exporter:
        exporter.add(gauges(None, sample(at=time.monotonic())))
        exporter.flush(5)
    for recording, temporality in ((cumulative, CUMULATIVE), (delta, DELTA)):
        (scope,) = recording.exports[0].resource_metrics[0].scope_metrics
        sums = [metric.data for metric in scope.metrics if isinstance(metric.data, sdk_classes.Sum)]
        assert {each.aggregation_temporality for each in sums} == {temporality}


def test_very_many_sessions_go_into_messages_a_receiver_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gauge_export, "BATCH", 2)
    recording = Recording()
    with exporting(recording) as exporter:
        for number in range(5):
            exporter.add(gauges(session(f"run-{number}")))
        exporter.flush(5)
        assert [len(runs) for runs in recording.runs()] == [2, 2, 1]


def test_the_console_shows_them() -> None:
    """Its exporter has all that it is given write itself."""
    shown = StringIO()
    exporter = GaugeExporter([ConsoleMetricExporter(out=shown)], interval=60)
    exporter.add(gauges())
    assert exporter.flush(30)
    assert semconv.SCOPE in shown.getvalue()
    exporter.shutdown(30)


def test_the_console_shows_them_where_nobody_is_known_whose_they_are() -> None:
    """As where a file asks for metrics alone, and there is no provider that could tell."""
    shown = StringIO()
    exporter = GaugeExporter([ConsoleMetricExporter(out=shown)], interval=60)
    own_measures(MeterProvider(shutdown_on_exit=False), exporter, None).show(session(), Clock())
    assert exporter.flush(30)
    assert '"untether.run.id": "run-1"' in shown.getvalue()
    exporter.shutdown(30)


def test_without_exporters_there_is_no_thread() -> None:
    before = set(threading.enumerate())  # of earlier tests, some may be at their end
    exporter = GaugeExporter([])
    exporter.add(gauges())
    begun = set(threading.enumerate()) - before
    assert "untether-gauges" not in [thread.name for thread in begun]
    assert exporter.flush(0.1)
    assert exporter.shutdown(0.1)


@pytest.mark.parametrize(
    ("value", "seconds"), [("250", 0.25), ("", 60), ("soon", 60), ("-1", 60), ("nan", 60)]
)
def test_interval_is_the_environment_s(
    value: str, seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    exporter = GaugeExporter([], environ={"OTEL_METRIC_EXPORT_INTERVAL": value})
    assert exporter.interval == seconds
    assert ("is not a positive number" in caplog.text) == (value in ("soon", "-1", "nan"))


def test_flush_does_not_wait_for_a_dead_collector() -> None:
    with hanging() as url:
        exporter = GaugeExporter([HttpExporter(f"{url}/v1/metrics", timeout=6)], interval=3600)
        exporter.add(gauges())
        began = time.monotonic()
        assert not exporter.shutdown(0.2)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_real_process_arrives_at_a_real_receiver_and_vanishes(protocol: str) -> None:
    """Sampled, exported over OTLP, with its own Resource; gone after its end."""
    with (
        http_receiver() if protocol == "http" else grpc_receiver() as receiver,
        processes.busy() as pid,
    ):
        otlp: Any = (
            HttpExporter(f"{receiver.url}/v1/metrics")
            if protocol == "http"
            else GrpcExporter(receiver.url, insecure=True)
        )
        sampler, exporter = Sampler(0.05), GaugeExporter([otlp], interval=3600)
        state = SessionState("run-1", time.time_ns(), engine="claude", pid=pid)
        window = sampler.add("run-1", Tree(pid))
        bystander = SessionState("run-2", time.time_ns(), engine="codex", pid=os.getpid())
        base = Resource({"service.name": "otel-untether"})
        own = SessionGauges(state, base, window)
        exporter.add(own)
        exporter.add(SessionGauges(bystander, base))
        # On a busy machine it may get nothing of a core for longer than that.
        assert wait_until(lambda: len(window) > 5 and uses_cpu(window))
        sampler.close()
        assert exporter.flush(10)
        exporter.remove(own)
        assert exporter.flush(10)
        assert exporter.flush(10)
        exporter.shutdown(10)
        otlp.shutdown()
    arrived = [received(request) for _, request in receiver.requests]
    live = arrived[0]["run-1"]
    assert live["untether.tree.cpu.utilization"] > 0.05
    assert live["untether.tree.memory.rss"] > 10**6
    assert live["untether.tree.processes"] == 1
    assert arrived[1]["run-1"]["untether.tree.processes"] == 0
    assert ["run-1" in each for each in arrived] == [True, True, False, False]
    resource = receiver.requests[0][1].resource_metrics[0].resource
    attributes = {each.key: each.value for each in resource.attributes}
    assert attributes["service.instance.id"].string_value == "run-1"
    assert attributes["service.name"].string_value == "otel-untether"
    assert attributes["process.pid"].int_value == pid


def uses_cpu(window: Window) -> bool:
    """Tell whether what will be exported shows it at work."""
    return window.latest is not None and (window.latest.cpu_rate or 0) > 0.1


def received(request: Any) -> dict[str, dict[str, float]]:
    """Return what a request holds: the last value of each metric, by session."""
    found: dict[str, dict[str, float]] = {}
    for each in request.resource_metrics:
        own = {item.key: item.value.string_value for item in each.resource.attributes}
        metrics = found.setdefault(own["untether.run.id"], {})
        for metric in each.scope_metrics[0].metrics:
            data = metric.sum if metric.HasField("sum") else metric.gauge
            for point in data.data_points:
                metrics[metric.name] = point.as_double or point.as_int
    return found
