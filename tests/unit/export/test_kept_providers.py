"""Providers without the SDK: what they write is what the SDK's would."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, set_span_in_context

from otel_untether.export import kept_metrics, kept_providers, otlp_objects, providers
from otel_untether.export.kept_metrics import KeptMeterProvider, KeptMetrics
from otel_untether.export.kept_resource import KeptResource
from otel_untether.export.kept_spans import KeptTracerProvider
from otel_untether.export.otlp_json import encode
from otel_untether.export.propagation import RootContext
from otel_untether.metrics import FleetMetrics
from otel_untether.store.runs import RunIdentity
from tests.support.otel import fresh_globals
from tests.support.otlp_receiver import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_untether.export.telemetry import Telemetry

__all__ = ["fresh_globals"]

RUN = RunIdentity("5f0cdeadbeef0001", "claude")
ROOT = RootContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
# Asks for what is so anyway, and so for the SDK.
SDK = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}
_OF_ONE_RUN = ("TimeUnixNano", "timeUnixNano", "spanId", "parentSpanId")


def record(telemetry: Telemetry) -> None:
    """Make some of each signal, as a session does."""
    tracer = telemetry.tracer_provider.get_tracer("scope", "1.0", "https://schema")
    logger = telemetry.logger_provider.get_logger("scope", "1.0", "https://schema")
    root = tracer.start_span("invoke_agent claude", telemetry.parent, attributes={"a": 1})
    below = set_span_in_context(root)
    link = Link(SpanContext(7, 8, is_remote=False), {"why": "resumed"})
    child = tracer.start_span("execute_tool Bash", below, attributes={"x": ["y"]}, links=[link])
    child.set_status(Status(StatusCode.ERROR, "failed"))
    child.end()
    root.add_event("untether.stall.warning", {"cause": "wedged"}, timestamp=5)
    logger.emit(
        timestamp=5,
        context=below,
        severity_number=SeverityNumber.WARN,
        event_name="untether.stall.warning",
        attributes={"cause": "wedged", "idle": 3.5},
    )
    logger.emit(LogRecord(timestamp=6, body="a record", severity_text="INFO"))
    fleet = FleetMetrics(telemetry.meter_provider)
    fleet.announce("claude")
    fleet.active.add(1, {"engine": "claude"})
    fleet.active.add(-1, {"engine": "claude"})
    fleet.cost.add(0.25)
    for seconds in (0.0, 0.01, 3.0, 10_000.0):
        fleet.tool_duration.record(seconds, {"tool": "Bash"})
    root.end()


def written(folder: Path, environ: dict[str, str]) -> dict[str, Any]:
    """Return what is in a run's files, but for when it was and which ids were drawn."""
    folder.mkdir()
    telemetry = providers.start(RUN, root=ROOT, run_dir=folder, environ=environ)
    assert isinstance(
        telemetry.tracer_provider, TracerProvider if environ.keys() & SDK else KeptTracerProvider
    )
    record(telemetry)
    assert telemetry.shutdown(5)
    assert telemetry.problems == []
    files = sorted(folder.glob("*.jsonl"))
    return {
        file.name: [_timeless(json.loads(line)) for line in file.read_text().splitlines()]
        for file in files
        if file.name != "journal.jsonl"
    }


def _timeless(node: Any) -> Any:
    """Return it without times, ids, the SDK's name, and an order of its own."""
    if isinstance(node, list):
        # The SDK has metrics in the order in which they were first measured.
        return sorted(map(_timeless, node), key=json.dumps)
    if not isinstance(node, dict):
        return node
    return {
        key: "some" if key.endswith(_OF_ONE_RUN) and item != "5" else _timeless(item)
        for key, item in node.items()
        if key != "value" or not _names_the_sdk(node)
    }


def _names_the_sdk(node: dict[str, Any]) -> bool:
    return str(node.get("key", "")).startswith("telemetry.sdk.")


@pytest.mark.usefixtures("fresh_globals")
@pytest.mark.parametrize(
    "given_by_user",
    [
        {},
        {"OTEL_SERVICE_NAME": "agents", "OTEL_RESOURCE_ATTRIBUTES": "team=a%20b, tier = 1,wrong"},
        {"OTEL_RESOURCE_ATTRIBUTES": "service.name=x,host.name=y"},
        {"OTEL_RESOURCE_ATTRIBUTES": "=nameless,service.name=,team="},
    ],
)
def test_what_is_written_is_what_the_sdk_would_write(
    tmp_path: Path, given_by_user: dict[str, str]
) -> None:
    kept = written(tmp_path / "kept", given_by_user)
    assert [*kept] == ["logs.jsonl", "metrics.jsonl", "traces.jsonl"]
    assert kept == written(tmp_path / "sdk", {**given_by_user, **SDK})


@pytest.mark.usefixtures("fresh_globals")
def test_the_resource_says_that_no_sdk_of_opentelemetry_made_it(tmp_path: Path) -> None:
    telemetry = providers.start(RUN, run_dir=tmp_path, environ={})
    provider: Any = telemetry.tracer_provider
    assert provider.resource.attributes["telemetry.sdk.name"] == "otel_untether"
    telemetry.shutdown(5)


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"},
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_CONFIG_FILE": "otel.yaml"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "10"},
        {"OTEL_METRIC_EXPORT_INTERVAL": "1000"},
        {"OTEL_OF_A_LATER_DAY": "1"},
    ],
)
def test_whoever_asks_the_sdk_for_more_gets_it(environ: dict[str, str]) -> None:
    assert not kept_providers.suffice(environ)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_SERVICE_NAME": "agents", "OTEL_RESOURCE_ATTRIBUTES": "a=b"},
        {"OTEL_UNTETHER_STATE_DIR": "/state"},
        {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"},
    ],
)
def test_where_nothing_is_asked_for_the_files_suffice(environ: dict[str, str]) -> None:
    assert kept_providers.suffice(environ)


amounts = st.one_of(st.integers(0, 2**40), st.floats(0, 1e9))
labels = st.dictionaries(st.sampled_from("ab"), st.text(max_size=3), max_size=2)
measured = st.lists(
    st.tuples(st.sampled_from(["counter", "level", "histogram"]), amounts, labels), max_size=12
)


def _measured(provider: Any, doings: list[Any]) -> None:
    meter = provider.get_meter("scope", schema_url="https://schema")
    counter = meter.create_counter("counter", "1", "What grows.")
    level = meter.create_up_down_counter("level", "1", "What comes and goes.")
    histogram = meter.create_histogram("histogram", "s", "What takes time.")
    for what, amount, attributes in doings:
        if what == "counter":
            counter.add(amount, attributes)
        elif what == "level":
            level.add(-amount, attributes)
        else:
            histogram.record(amount, attributes)


@given(measured)
def test_whatever_is_measured_is_collected_as_by_the_sdk(doings: list[Any]) -> None:
    reader = InMemoryMetricReader()
    sdk = MeterProvider([reader], shutdown_on_exit=False)
    kept = KeptMeterProvider(KeptResource(sdk._sdk_config.resource.attributes), None)
    for provider in (kept, sdk):
        _measured(provider, doings)
    by_sdk = reader.get_metrics_data() or MetricsData([])
    expected, found = (encode("metrics", collected) for collected in (by_sdk, kept.collect()))
    assert _timeless(json.loads(found)) == _timeless(json.loads(expected))
    sdk.shutdown()


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What instruments have to say, which is nothing for a terminal."""
    logger = logging.getLogger(f"opentelemetry.{kept_metrics.__name__}")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_what_only_grows_takes_nothing_away(complaints: pytest.LogCaptureFixture) -> None:
    provider = KeptMeterProvider(KeptResource({}), None)
    meter = provider.get_meter("scope")
    counter, histogram = meter.create_counter("counter"), meter.create_histogram("histogram")
    counter.add(-1)
    histogram.record(-1)
    assert provider.collect().resource_metrics == []
    assert "counter only grows" in complaints.text
    assert "histogram has sizes from 0 on" in complaints.text


@pytest.mark.parametrize("amount", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_number_is_not_measured(
    complaints: pytest.LogCaptureFixture, amount: float
) -> None:
    provider = KeptMeterProvider(KeptResource({}), None)
    _measured(provider, [(what, amount, {}) for what in ("counter", "level", "histogram")])
    assert provider.collect().resource_metrics == []
    assert len({record.getMessage() for record in complaints.records}) == 3


def test_metrics_are_written_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_metrics, "_INTERVAL", 0.01)
    path = tmp_path / "metrics.jsonl"
    provider = KeptMeterProvider(KeptResource({}), KeptMetrics(path))
    provider.get_meter("scope").create_counter("counter").add(1)
    assert provider.force_flush()
    assert wait_until(lambda: path.read_bytes().count(b"\n") > 2)
    provider.shutdown()


def _refuse(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_a_thread_metrics_are_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading.Thread, "start", _refuse)
    path = tmp_path / "metrics.jsonl"
    provider = KeptMeterProvider(KeptResource({}), KeptMetrics(path))
    provider.get_meter("scope").create_counter("counter").add(1)
    assert provider.force_flush()
    provider.shutdown()
    assert path.read_bytes().count(b"\n") == 2


def _told_at_once(told: Callable[[int], object], threads: int) -> None:
    """Call from several threads at once, with 0, 1, 2, ..."""
    started = threading.Barrier(threads)

    def tell(number: int) -> None:
        started.wait()
        told(number)

    all_of_them = [threading.Thread(target=tell, args=(number,)) for number in range(threads)]
    for thread in all_of_them:
        thread.start()
    for thread in all_of_them:
        thread.join()


def test_threads_that_measure_at_once_lose_nothing() -> None:
    provider = KeptMeterProvider(KeptResource({}), None)
    counter = provider.get_meter("scope").create_counter("counter")

    def add(number: int) -> None:
        for _ in range(1_000):
            counter.add(1, {"thread": str(number % 2)})

    _told_at_once(add, 8)
    (resource,) = otlp_objects.metrics(provider.collect())["resourceMetrics"]
    points = resource["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"]
    assert sum(int(point["asInt"]) for point in points) == 8_000
