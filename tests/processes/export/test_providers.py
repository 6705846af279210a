"""Providers as OTEL_* asks for them, and an end within a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.export import providers as telemetry
from otel_untether.export.propagation import RootContext, child_environ, root_context
from otel_untether.export.providers import RootIdGenerator, SeededIdGenerator, Telemetry
from otel_untether.store.runs import RunIdentity
from tests.support.otel import fresh_globals
from tests.support.otlp_receiver import (
    Receiver,
    grpc_receiver,
    hanging,
    http_receiver,
    refusing,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["fresh_globals"]
pytestmark = pytest.mark.usefixtures("fresh_globals")

RUN = RunIdentity("5f0cdeadbeef0001", "claude")
ROOT = RootContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


def session(started: Telemetry) -> None:
    """Record a root span with one child, one log record and one count."""
    tracer = started.tracer_provider.get_tracer("test")
    root = tracer.start_span("invoke_agent claude", context=started.parent)
    context = trace.set_span_in_context(root)
    tracer.start_span("execute_tool Bash", context=context).end()
    started.logger_provider.get_logger("test").emit(
        LogRecord(
            timestamp=time.time_ns(),
            context=context,
            event_name="untether.session.summary",
            severity_number=SeverityNumber.INFO,
        )
    )
    started.meter_provider.get_meter("test").create_counter("untether.stalls").add(1)
    root.end()


def lines(path: Path) -> list[Any]:
    """Read a file of JSON lines; one that is not there has none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def spans(path: Path) -> list[Any]:
    """Return the spans of a traces.jsonl."""
    return [
        span
        for line in lines(path)
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def resource_of(path: Path) -> dict[str, Any]:
    """Return the resource attributes of the first line."""
    attributes = lines(path)[0]["resourceSpans"][0]["resource"]["attributes"]
    return {item["key"]: next(iter(item["value"].values())) for item in attributes}


def start(run_dir: Path | None, root: RootContext | None = ROOT, /, **environ: str) -> Telemetry:
    """Start telemetry in an environment that holds nothing else."""
    return telemetry.start(RUN, root=root, run_dir=run_dir, environ=environ)


def test_without_an_endpoint_everything_is_in_the_run_folder(tmp_path: Path) -> None:
    """Traces, logs and metrics are OTLP-JSON files of the run, and nothing is undelivered."""
    started = start(tmp_path)
    session(started)
    assert started.shutdown(5)
    assert [span["name"] for span in spans(tmp_path / "traces.jsonl")] == [
        "execute_tool Bash",
        "invoke_agent claude",
    ]
    assert len(lines(tmp_path / "logs.jsonl")) == 1
    assert len(lines(tmp_path / "metrics.jsonl")) == 1
    assert not (tmp_path / "delivered").exists()
    assert started.problems == []


def test_the_root_span_has_the_ids_its_child_was_told(tmp_path: Path) -> None:
    """What was in the child's TRACEPARENT is what the root span is."""
    root = root_context({})
    started = start(tmp_path, root)
    session(started)
    started.shutdown(5)
    child, span = spans(tmp_path / "traces.jsonl")
    told = child_environ({}, root)["TRACEPARENT"]
    assert f"00-{span['traceId']}-{span['spanId']}-01" == told
    assert child["parentSpanId"] == span["spanId"]
    assert "parentSpanId" not in span


def test_trace_flags_are_01(tmp_path: Path) -> None:
    """Not 03, which newer SDKs make of random ids, and which Codex rejects."""
    started = start(tmp_path)
    span = started.tracer_provider.get_tracer("test").start_span("a", context=started.parent)
    assert span.get_span_context().trace_flags == 1
    started.shutdown(5)


def test_an_ambient_parent_is_the_roots_parent(tmp_path: Path) -> None:
    """The trace of a valid TRACEPARENT goes on, with its state."""
    ambient = {
        "TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "TRACESTATE": "vendor=x",
    }
    started = start(tmp_path, root_context(ambient))
    session(started)
    started.shutdown(5)
    root = spans(tmp_path / "traces.jsonl")[-1]
    assert root["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert root["parentSpanId"] == "b7ad6b7169203331"
    assert root["traceState"] == "vendor=x"


def test_an_unsampled_ambient_parent_is_honoured(tmp_path: Path) -> None:
    """Who decided not to sample decided for us, too."""
    ambient = {"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    started = start(tmp_path, root_context(ambient))
    session(started)
    started.shutdown(5)
    assert spans(tmp_path / "traces.jsonl") == []


def test_the_sampler_is_the_environments(tmp_path: Path) -> None:
    """OTEL_TRACES_SAMPLER means what OpenTelemetry documents."""
    started = start(tmp_path, OTEL_TRACES_SAMPLER="always_off")
    session(started)
    started.shutdown(5)
    assert spans(tmp_path / "traces.jsonl") == []
    assert lines(tmp_path / "logs.jsonl")


def test_spans_are_on_disk_when_they_end(tmp_path: Path) -> None:
    """Nothing waits for a flush."""
    started = start(tmp_path)
    tracer = started.tracer_provider.get_tracer("test")
    tracer.start_span("a", context=started.parent).end()
    assert [span["name"] for span in spans(tmp_path / "traces.jsonl")] == ["a"]
    started.shutdown(5)


def test_the_resource_says_whose_telemetry_it_is(tmp_path: Path) -> None:
    """Service, run, host and process are told; command lines and paths are not."""
    started = start(tmp_path)
    session(started)
    started.shutdown(5)
    resource = resource_of(tmp_path / "traces.jsonl")
    assert resource["service.name"] == "otel-untether"
    assert resource["service.instance.id"] == resource["untether.run.id"] == RUN.run_id
    assert resource["process.pid"] == str(os.getpid())
    assert resource["host.name"]
    leaks = [key for key, value in resource.items() if "command" in key or "/" in str(value)]
    assert leaks == []


def test_the_environment_has_the_last_word_on_the_resource(tmp_path: Path) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over our defaults."""
    started = start(
        tmp_path,
        OTEL_SERVICE_NAME="mine",
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=me,team=a",
    )
    session(started)
    started.shutdown(5)
    resource = resource_of(tmp_path / "traces.jsonl")
    assert (resource["service.name"], resource["service.instance.id"], resource["team"]) == (
        "mine",
        "me",
        "a",
    )


def test_no_variable_is_left_behind(tmp_path: Path) -> None:
    """The process's own environment is as it was, also after a failure."""
    before = dict(os.environ)
    started = start(tmp_path, OTEL_TRACES_EXPORTER="nonesuch", OTEL_SERVICE_NAME="mine")
    started.shutdown(5)
    assert dict(os.environ) == before


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_gets_all_three_signals(tmp_path: Path, protocol: str) -> None:
    """With nothing but an endpoint set, and the folder still has spans and logs."""
    serve = grpc_receiver if protocol == "grpc" else http_receiver
    with serve() as receiver:
        started = start(tmp_path, **{OTLP: receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
        session(started)
        assert started.shutdown(10)
    assert {span.name for span in receiver.spans()} == {"execute_tool Bash", "invoke_agent claude"}
    assert [log.event_name for log in receiver.logs()] == ["untether.session.summary"]
    assert receiver.metric_names() == ["untether.stalls"]
    assert len(spans(tmp_path / "traces.jsonl")) == 2
    assert lines(tmp_path / "metrics.jsonl") == []


def test_http_is_the_protocol_of_an_endpoint_without_one(tmp_path: Path) -> None:
    """As the specification has it, and not gRPC."""
    with http_receiver() as receiver:
        started = start(tmp_path, **{OTLP: receiver.url})
        session(started)
        assert started.shutdown(10)
    assert len(receiver.spans()) == 2


def test_a_signals_own_endpoint_is_enough(tmp_path: Path) -> None:
    """Traces go to it; metrics, which have none, stay in the folder."""
    with http_receiver() as receiver:
        url = f"{receiver.url}/v1/traces"
        started = start(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=url)
        session(started)
        assert started.shutdown(10)
    assert len(receiver.spans()) == 2
    assert receiver.logs() == []
    assert len(lines(tmp_path / "metrics.jsonl")) == 1


def test_headers_reach_the_collector(tmp_path: Path) -> None:
    """OTEL_EXPORTER_OTLP_HEADERS is the SDK's own business, and works."""
    with http_receiver() as receiver:
        started = start(tmp_path, **{OTLP: receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-key=1"})
        session(started)
        assert started.shutdown(10)
    assert all(headers["x-key"] == "1" for headers in receiver.headers)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("place", [refusing, hanging], ids=["refusing", "hanging"])
def test_a_dead_collector_holds_nobody_up(tmp_path: Path, place: Any, protocol: str) -> None:
    """The end comes within the deadline, is not called a success, and loses nothing."""
    with place() as url:
        started = start(tmp_path, **{OTLP: url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
        session(started)
        before = time.monotonic()
        assert not started.shutdown(0.5)
        assert time.monotonic() - before < 5
    assert len(spans(tmp_path / "traces.jsonl")) == 2
    assert len(lines(tmp_path / "metrics.jsonl")) == 1
    assert (tmp_path / "delivered").read_text() == ""
    assert any("resend" in problem for problem in started.problems)


def test_a_collector_that_fails_gets_nothing_noted(tmp_path: Path) -> None:
    """A 500 is not a delivery."""
    with http_receiver(status=500) as receiver:
        started = start(tmp_path, **{OTLP: receiver.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.3"})
        session(started)
        assert not started.shutdown(5)
        assert receiver.headers
    assert (tmp_path / "delivered").read_text() == ""
    assert len(lines(tmp_path / "metrics.jsonl")) == 1


def test_a_slow_collector_is_waited_for(tmp_path: Path) -> None:
    """Slow but within the deadline is a delivery."""
    with http_receiver(delay=0.2) as receiver:
        started = start(tmp_path, **{OTLP: receiver.url})
        session(started)
        assert started.shutdown(10)
    assert len(receiver.spans()) == 2


def test_what_is_delivered_is_noted(tmp_path: Path) -> None:
    """Span ids and log records that a collector took are in the run's `delivered`."""
    with http_receiver() as receiver:
        started = start(tmp_path, **{OTLP: receiver.url})
        session(started)
        assert started.shutdown(10)
    noted = (tmp_path / "delivered").read_text()
    assert all(span["spanId"] in noted for span in spans(tmp_path / "traces.jsonl"))
    assert sorted(line.split()[0] for line in noted.splitlines()) == ["logs", "traces"]


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        pytest.param({"OTEL_TRACES_EXPORTER": "nonesuch"}, "nonesuch", id="unknown exporter"),
        pytest.param(
            {OTLP: "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"},
            "carrier-pigeon",
            id="bad protocol",
        ),
        pytest.param({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, "not usable", id="bad limit"),
        pytest.param(
            {"OTEL_CONFIG_FILE": "/nonexistent/otel.yaml"}, "OTEL_CONFIG_FILE", id="config file"
        ),
    ],
)
def test_bad_settings_are_named_and_the_folder_still_works(
    tmp_path: Path, environ: dict[str, str], named: str
) -> None:
    """What cannot be used is left out, said, and costs nothing else."""
    started = start(tmp_path, **environ)
    session(started)
    started.shutdown(0.5)
    assert any(named in problem for problem in started.problems), started.problems
    assert spans(tmp_path / "traces.jsonl")[-1]["traceId"] == f"{ROOT.trace_id:032x}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ("OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT", "x"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BLRP_MAX_QUEUE_SIZE", "9" * 30),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "nan"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "x"),
    ],
)
def test_a_number_that_is_none_costs_no_exporter(tmp_path: Path, name: str, value: str) -> None:
    """It is told, its default is used, and everything arrives."""
    with http_receiver() as receiver:
        started = start(tmp_path, **{OTLP: receiver.url, name: value})
        session(started)
        assert started.shutdown(60)
    assert {signal for signal, _ in receiver.requests} == {"traces", "logs", "metrics"}
    (problem,) = started.problems
    assert problem.startswith(f"{name}: '{value}' is not usable, and left aside")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_COMPRESSION", ""),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ""),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", " "),
    ],
)
def test_what_means_nothing_special_costs_no_exporter_over_grpc_either(
    tmp_path: Path, name: str, value: str
) -> None:
    """It raises for some of these, as for what is wrong."""
    with grpc_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", name: value}
        started = start(tmp_path, **environ)
        session(started)
        assert started.shutdown(60)
    assert {signal for signal, _ in receiver.requests} == {"traces", "logs", "metrics"}
    assert started.problems == []


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"OTEL_PYTHON_METER_PROVIDER": "nonesuch"}, id="the SDK raises"),
        pytest.param({"OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}, id="no protocol"),
    ],
)
def test_metrics_that_cannot_be_sent_as_set_are_kept_and_counted(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """As spans and log records are: they wait in the run's folder."""
    started = start(tmp_path, **{OTLP: "http://127.0.0.1:9"}, **environ)
    session(started)
    assert not started.shutdown(60)
    exports = lines(tmp_path / "metrics.jsonl")
    assert len(exports) == 1
    told = "2 spans, 1 log record, 1 export of metrics did not"
    assert any(told in problem for problem in started.problems), started.problems


def test_a_limit_that_the_sdk_raises_for_as_it_is_imported_costs_nothing_else(
    tmp_path: Path,
) -> None:
    """Not even the files were kept; the environment is what it was, for whoever comes after us."""
    with http_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"}
        result = subprocess.run(
            [sys.executable, "-c", _BAD_LIMIT, str(tmp_path)],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
    told = "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: '-1' is not usable, and left aside"
    assert result.stdout.startswith(f"-1 ['{told}".replace("'", '"', 1)), result.stderr
    assert len(receiver.spans()) == len(spans(tmp_path / "traces.jsonl")) == 1


_BAD_LIMIT = """\
import os, pathlib, sys
from otel_untether.export import providers
from otel_untether.store.runs import RunIdentity

started = providers.start(RunIdentity("5f0c"), run_dir=pathlib.Path(sys.argv[1]))
started.tracer_provider.get_tracer("test").start_span("one", context=started.parent).end()
started.shutdown(60)
print(os.environ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"], started.problems)
"""


def test_http_json_falls_back_to_protobuf(tmp_path: Path) -> None:
    """The SDK cannot send it; its sibling goes to the same place."""
    with http_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
        started = start(tmp_path, **environ)
        session(started)
        assert started.shutdown(10)
    assert len(receiver.spans()) == 2
    assert any("http/json" in problem for problem in started.problems)


def test_a_bad_ambient_context_is_a_problem_told(tmp_path: Path) -> None:
    """A new trace begins, and the operator hears why."""
    started = start(tmp_path, root_context({"TRACEPARENT": "bad"}))
    started.shutdown(5)
    assert any("TRACEPARENT" in problem for problem in started.problems)


def test_a_disabled_sdk_does_nothing_at_all(tmp_path: Path) -> None:
    """OTEL_SDK_DISABLED: no spans, no files."""
    started = start(tmp_path, OTEL_SDK_DISABLED="true")
    session(started)
    assert started.shutdown(5)
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_a_collector_still_gets_everything() -> None:
    """An unwritable state directory costs the local copy only."""
    with http_receiver() as receiver:
        started = start(None, **{OTLP: receiver.url})
        session(started)
        assert started.shutdown(10)
    assert len(receiver.spans()) == 2


def test_a_folder_that_vanished_breaks_nothing(tmp_path: Path) -> None:
    """Writing fails silently; the spans go nowhere, and nobody is told by an exception."""
    started = start(tmp_path / "gone")
    session(started)
    started.shutdown(5)
    assert any("crash" in problem for problem in started.problems)


def test_a_hosts_own_providers_are_used_and_left_alone(tmp_path: Path) -> None:
    """In an instrumented host nothing is set up, and nothing of the host's is shut down."""
    host = TracerProvider()
    trace.set_tracer_provider(host)
    started = start(tmp_path)
    assert started.tracer_provider is host
    assert started.shutdown(5)
    assert host.get_tracer("host").start_span("later").is_recording()
    assert list(tmp_path.iterdir()) == []
    host.shutdown()


def test_the_console_exporter_does_not_write_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stdout is the agent's."""
    started = start(
        tmp_path,
        OTEL_TRACES_EXPORTER="console",
        OTEL_METRICS_EXPORTER="console",
        OTEL_LOGS_EXPORTER="console",
    )
    session(started)
    started.shutdown(5)
    out, err = capsys.readouterr()
    assert out == ""
    assert "invoke_agent claude" in err


CONFIG_FILE = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch: {{exporter: {{otlp_http: {{endpoint: "{url}/v1/traces"}}}}}}
    - simple: {{exporter: {{console: {{}}}}}}
"""


def test_a_configuration_file_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """OTEL_CONFIG_FILE, where what reads it is installed; where not, it is said."""
    with http_receiver() as receiver:
        path = tmp_path / "otel.yaml"
        path.write_text(CONFIG_FILE.format(url=receiver.url))
        started = start(tmp_path, OTEL_CONFIG_FILE=str(path))
        session(started)
        assert started.shutdown(10)
    assert len(spans(tmp_path / "traces.jsonl")) == 2
    assert capsys.readouterr().out == ""
    if find_spec("opentelemetry.configuration") is None:
        assert any("OTEL_CONFIG_FILE" in problem for problem in started.problems)
        return
    root = receiver.spans()[-1]
    assert int.from_bytes(root.span_id, "big") == ROOT.span_id
    assert root.span_id.hex() in (tmp_path / "delivered").read_text()


def test_our_own_files_can_be_asked_for_by_name(tmp_path: Path) -> None:
    """Beside nothing else, for all three signals, and each once."""
    names = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "untether_file"
    )
    started = start(tmp_path, **names)
    session(started)
    assert started.shutdown(5)
    assert len(spans(tmp_path / "traces.jsonl")) == 2
    assert len(lines(tmp_path / "metrics.jsonl")) == 1
    assert started.problems == []


def test_none_leaves_the_folder_its_spans(tmp_path: Path) -> None:
    """`none` is about exporting; the run's own record of itself is not that."""
    names = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"
    )
    started = start(tmp_path, **{OTLP: "http://127.0.0.1:9", **names})
    session(started)
    assert started.shutdown(5)
    assert len(spans(tmp_path / "traces.jsonl")) == 2
    assert lines(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize(
    ("environ", "exporter"),
    [({}, "KeptMetrics"), ({"OTEL_METRICS_EXPORTER": "untether_file"}, "FileMetricExporter")],
)
def test_exporters_of_metrics_can_be_shared(
    tmp_path: Path, environ: dict[str, str], exporter: str
) -> None:
    """What else collects metrics can send them the same way."""
    started = start(tmp_path, **environ)
    assert [type(each).__name__ for each in started.metric_exporters] == [exporter]
    started.shutdown(5)


SCRIPT = """
import os, pathlib, sys, time
from otel_untether.export import providers as telemetry
from otel_untether.store.runs import RunIdentity
run_dir = pathlib.Path(sys.argv[1])
started = telemetry.start(RunIdentity("r1"), run_dir=run_dir, environ=os.environ)
tracer = started.tracer_provider.get_tracer("test")
for number in range(1500):
    tracer.start_span(f"span {number}").end()
if "flush" in sys.argv:
    started.shutdown(0.5)
print("done", flush=True)
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("place", [refusing, hanging], ids=["refusing", "hanging"])
@pytest.mark.parametrize("how", ["flush", "just exit"])
def test_the_process_ends_soon_whatever_the_exporters_do(
    tmp_path: Path, place: Any, protocol: str, how: str
) -> None:
    """No atexit hook, thread or gRPC core keeps it, and nothing is printed."""
    with place() as url:
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), how],
            env={**os.environ, OTLP: url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        done = time.monotonic()
        _, err = process.communicate(timeout=30)
    assert time.monotonic() - done < 8
    assert (process.returncode, err) == (0, b"")
    assert len(spans(tmp_path / "traces.jsonl")) == 1500


def test_a_hanging_collector_that_answers_after_all_is_noted(tmp_path: Path) -> None:
    """After the deadline an answer still counts, while the process lasts."""
    with http_receiver(delay=1.0) as receiver:
        started = start(tmp_path, **{OTLP: receiver.url})
        session(started)
        assert not started.shutdown(0.2)
        assert wait_until(lambda: "traces" in (tmp_path / "delivered").read_text())
    assert isinstance(receiver, Receiver)


def test_seeded_ids_are_the_same_for_the_same_seed() -> None:
    """Replaying a file twice gives one set of ids; another file gives another."""

    def ids(seed: bytes) -> list[int]:
        generator = SeededIdGenerator(seed)
        return [generator.generate_trace_id(), *(generator.generate_span_id() for _ in range(100))]

    assert ids(b"a") == ids(b"a")
    assert len(set(ids(b"a") + ids(b"b"))) == 202
    assert all(0 < span_id < 1 << 64 for span_id in ids(b"a")[1:])


def test_only_the_first_span_is_the_root() -> None:
    """All later ids are fresh, and none claims to be random in its flags."""
    generator = RootIdGenerator(ROOT)
    assert generator.generate_trace_id() == ROOT.trace_id
    assert generator.generate_span_id() == ROOT.span_id
    assert generator.generate_span_id() != ROOT.span_id
    assert generator.generate_trace_id() != ROOT.trace_id
    assert not generator.is_trace_id_random()
