"""Sending what no collector has taken, once."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry._logs import LogRecord

from otel_untether import cli
from otel_untether.export import providers as telemetry
from otel_untether.export import resend
from otel_untether.export.otlp_client import Sender, SendError, send
from otel_untether.store import run_lock, segments
from otel_untether.store.journal import Journal
from otel_untether.store.runs import Run, RunIdentity, Store, load_run
from tests.support.otel import forget_globals, fresh_globals
from tests.support.otlp_receiver import grpc_receiver, hanging, http_receiver, refusing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["fresh_globals"]
pytestmark = pytest.mark.usefixtures("fresh_globals")

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


OPEN = {
    "at": 5,
    "kind": "start",
    "scope": {},
    "span": {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "parentSpanId": "00f067aa0ba902b7",
        "name": "open",
        "startTimeUnixNano": "5",
    },
}


def watched(state: Path, environ: Mapping[str, str], spans: int = 3) -> Run:
    """Watch a small session with that environment, and let it be over."""
    run = Store(state).create_run(RunIdentity("5f0c", "claude"), started=time.time_ns())
    # Short, so that no exporter is at it any more when this returns: the next test's receiver
    # may listen where this one's did not.
    quick = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.2", **environ}
    started = telemetry.start(RunIdentity("5f0c"), run_dir=run.path, environ=quick)
    tracer = started.tracer_provider.get_tracer("test")
    for number in range(spans):
        tracer.start_span(f"span {number}", context=started.parent).end()
    logger = started.logger_provider.get_logger("test")
    logger.emit(LogRecord(timestamp=time.time_ns(), event_name="untether.session.summary"))
    started.meter_provider.get_meter("test").create_counter("untether.stalls").add(1)
    finished = started.shutdown(30)
    run.update(ended=time.time_ns())
    run.release()
    assert started.finished
    assert finished or "OTLP" in "".join(environ)
    return run


@pytest.fixture
def unsent(tmp_path: Path) -> Run:
    """A run whose collector refused everything."""
    with refusing() as url:
        return watched(tmp_path, {OTLP: url})


def resent(run: Run, url: str, **environ: str) -> resend.Resent:
    """Send what is left of a run there."""
    where = {OTLP: url, **{key: value for key, value in environ.items() if value}}
    return resend.resend(run, lambda signal, request: send(signal, request, where))


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json", "grpc"])
def test_what_was_refused_is_sent_later(unsent: Run, protocol: str) -> None:
    """All three signals, over all three protocols."""
    serve = grpc_receiver if protocol == "grpc" else http_receiver
    with serve() as receiver:
        outcome = resent(unsent, receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert (outcome.sent, outcome.left, outcome.problems) == (5, 0, [])
    assert [span.name for span in receiver.spans()] == ["span 0", "span 1", "span 2"]
    assert [log.event_name for log in receiver.logs()] == ["untether.session.summary"]
    assert receiver.metric_names() == ["untether.stalls"]


def test_what_is_compressed_of_a_long_run_is_sent_too(unsent: Run) -> None:
    """Each span and record once, whether its file was compressed already or not."""
    for name in ("traces", "logs"):
        path = unsent.path / f"{name}.jsonl"
        first, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first)
        segments.compress(segments.set_aside(path))
        path.write_bytes(b"".join(rest))
    with http_receiver() as receiver:
        outcome = resent(unsent, receiver.url)
        again = resent(unsent, receiver.url)
    assert (outcome.sent, outcome.left, again.sent) == (5, 0, 0)
    assert [span.name for span in receiver.spans()] == ["span 0", "span 1", "span 2"]
    assert [log.event_name for log in receiver.logs()] == ["untether.session.summary"]


def test_ids_survive_the_detour(unsent: Run) -> None:
    """What arrives late is what would have arrived."""
    with http_receiver() as receiver:
        resent(unsent, receiver.url)
    line = json.loads((unsent.path / "traces.jsonl").read_text().splitlines()[0])
    span = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    first = receiver.spans()[0]
    assert (first.trace_id.hex(), first.span_id.hex()) == (span["traceId"], span["spanId"])


def test_nothing_is_sent_twice(unsent: Run) -> None:
    """What was taken is noted, and a second time sends nothing."""
    with http_receiver() as receiver:
        resent(unsent, receiver.url)
        before = len(receiver.requests)
        assert resent(unsent, receiver.url) == resend.Resent()
        assert len(receiver.requests) == before


def test_what_the_exporter_delivered_is_not_sent_again(tmp_path: Path) -> None:
    """A live collector took it all in the first place."""
    with http_receiver() as receiver:
        run = watched(tmp_path, {OTLP: receiver.url, "OTEL_EXPORTER_OTLP_TIMEOUT": "10"})
        assert len(receiver.spans()) == 3
        assert resent(run, receiver.url) == resend.Resent()


def test_only_the_rest_is_sent(unsent: Run) -> None:
    """Where the exporter delivered one span of three."""
    line = json.loads((unsent.path / "traces.jsonl").read_text().splitlines()[1])
    taken = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"]
    (unsent.path / "delivered").write_text(f"traces {taken}\n")
    with http_receiver() as receiver:
        resent(unsent, receiver.url)
    assert [span.name for span in receiver.spans()] == ["span 0", "span 2"]


@pytest.mark.parametrize("place", [refusing, hanging], ids=["refusing", "hanging"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_dead_collector_leaves_everything(unsent: Run, place: Any, protocol: str) -> None:
    """Said, counted, and still there for the next time."""
    with place() as url:
        outcome = resent(
            unsent,
            url,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_TIMEOUT="0.3",
        )
    assert (outcome.sent, outcome.left) == (0, 5)
    assert "127.0.0.1" in outcome.problems[0]
    with http_receiver() as receiver:
        assert resent(unsent, receiver.url).sent == 5


def test_a_signal_stops_at_its_first_failure(tmp_path: Path) -> None:
    """A collector that is down is asked once a signal, not once a batch."""
    with refusing() as url:
        run = watched(tmp_path, {OTLP: url}, spans=1200)
    with http_receiver(status=503) as receiver:
        outcome = resent(run, receiver.url)
    assert len(receiver.headers) == 3
    assert (outcome.sent, outcome.left) == (0, 1202)


def test_many_spans_go_in_batches(tmp_path: Path) -> None:
    """A request stays under what receivers accept."""
    with refusing() as url:
        run = watched(tmp_path, {OTLP: url}, spans=1200)
    with http_receiver() as receiver:
        resent(run, receiver.url)
    assert len([signal for signal, _ in receiver.requests if signal == "traces"]) == 3
    assert len(receiver.spans()) == 1200


@pytest.mark.parametrize("how", ["http", "grpc"])
def test_a_refusal_for_good_is_told(unsent: Run, how: str) -> None:
    """400 and INVALID_ARGUMENT: the same again is no use, and it is not called sent."""
    if how == "http":
        with http_receiver(status=400) as receiver:
            outcome = resent(unsent, receiver.url)
    else:
        with grpc_receiver(code=grpc.StatusCode.INVALID_ARGUMENT) as receiver:
            outcome = resent(unsent, receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert (outcome.sent, outcome.left) == (0, 5)
    assert any("400" in text or "INVALID_ARGUMENT" in text for text in outcome.problems)


def test_headers_and_compression_are_the_environments(unsent: Run) -> None:
    """As for the SDK's exporters."""
    with http_receiver() as receiver:
        resent(
            unsent,
            receiver.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-key=1",
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        )
    assert len(receiver.spans()) == 3
    sent = {(head["X-Key"], head["Content-Encoding"]) for head in map(_titled, receiver.headers)}
    assert sent == {("1", "gzip")}


def _titled(headers: Mapping[str, str]) -> dict[str, str]:
    return {key.title(): value for key, value in headers.items()}


def test_a_running_run_is_left_to_its_exporters(tmp_path: Path) -> None:
    """They hold the same spans."""
    run = Store(tmp_path).create_run(RunIdentity("5f0c"), started=1)
    outcome = resent(run, "http://127.0.0.1:9")
    assert outcome.sent == 0
    assert "still running" in outcome.problems[0]


def test_a_run_that_is_being_flushed_is_left_alone(unsent: Run) -> None:
    """Over, but its exporters are not done yet."""
    lock = run_lock.acquire(unsent.path)
    assert lock
    with lock, http_receiver() as receiver:
        outcome = resent(unsent, receiver.url)
        assert receiver.requests == []
    assert "being sent" in outcome.problems[0]


def test_torn_lines_are_skipped(unsent: Run) -> None:
    """What a crash cut off cannot be sent, and keeps nothing else back."""
    for name in ("traces.jsonl", "logs.jsonl"):
        path = unsent.path / name
        path.write_bytes(b'7\n[]\n{"resourceSpans": 1}\n\xff\n' + path.read_bytes() + b'{"res')
    with http_receiver() as receiver:
        outcome = resent(unsent, receiver.url)
    assert (outcome.sent, outcome.left) == (5, 0)
    assert len(receiver.spans()) == 3


def test_a_crashed_run_is_recovered_first(tmp_path: Path) -> None:
    """Its open spans are sent with the rest."""
    with refusing() as url:
        run = watched(tmp_path, {OTLP: url})
    run.update(ended=None)
    journal = Journal(run.path)
    journal._file.append(json.dumps(OPEN).encode())
    journal.close()
    with http_receiver() as receiver:
        resent(load_run(run.path), receiver.url)
    assert "open" in {span.name for span in receiver.spans()}


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({OTLP: "localhost:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({OTLP: "http://h:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke"}, "smoke"),
        ({OTLP: "http://h:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "soon"),
        ({OTLP: "https://h:1", "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent"}, "CERTIFICATE"),
        (
            {
                OTLP: "https://h:1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nonexistent",
            },
            "CERTIFICATE",
        ),
    ],
)
def test_unusable_settings_are_named(unsent: Run, environ: dict[str, str], named: str) -> None:
    """The variable, and what was expected of it; everything is left."""
    outcome = resend.resend(unsent, lambda signal, request: send(signal, request, environ))
    assert (outcome.unusable, outcome.sent, outcome.left) == (True, 0, 5)
    assert all(named in problem for problem in outcome.problems)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_scheme_may_be_in_capitals(unsent: Run, protocol: str) -> None:
    """It means the same (RFC 3986), and the SDK takes it."""
    serve = grpc_receiver if protocol == "grpc" else http_receiver
    with serve() as receiver:
        url = receiver.url.replace("http", "HTTP")
        outcome = resent(unsent, url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol)
    assert (outcome.sent, outcome.left, outcome.problems) == (5, 0, [])


def test_credentials_in_an_endpoint_are_not_repeated(unsent: Run) -> None:
    """A URL may hold a password; the message names host and port."""
    with refusing() as url:
        outcome = resent(unsent, url.replace("//", "//user:secret@"))
    assert outcome.problems
    assert "secret" not in "".join(outcome.problems)


def test_credentials_in_an_endpoint_are_used(unsent: Run) -> None:
    """As basic authentication, which is what they mean in a URL."""
    with http_receiver() as receiver:
        resent(unsent, receiver.url.replace("//", "//user:se%40cret@"))
    assert len(receiver.spans()) == 3
    assert {_titled(head)["Authorization"] for head in receiver.headers} == {
        "Basic " + base64.b64encode(b"user:se@cret").decode()
    }


def test_a_peer_that_speaks_something_else_takes_nothing(unsent: Run) -> None:
    """HTTP sent to a gRPC port: a failure like any other."""
    with grpc_receiver() as receiver:
        outcome = resent(unsent, receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf")
    assert (outcome.sent, outcome.left) == (0, 5)


def run_cli(*argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command itself."""
    return subprocess.run(
        [sys.executable, "-m", "otel_untether", "resend", *argv],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_sends_and_says_so(tmp_path: Path, unsent: Run) -> None:
    """Exit status 0, and the counts on stdout."""
    with http_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
        result = run_cli(**environ)
        again = run_cli(unsent.record.run_id[:3], **environ)
    assert (result.returncode, result.stdout) == (0, "5 sent, 0 left, in 1 run\n")
    assert (again.returncode, again.stdout) == (0, "0 sent, 0 left, in 1 run\n")


def test_the_command_fails_where_something_is_left(tmp_path: Path, unsent: Run) -> None:
    """Exit status 1, and why on stderr."""
    assert unsent.path.exists()
    with refusing() as url:
        result = run_cli(**{OTLP: url, "OTEL_UNTETHER_STATE_DIR": str(tmp_path)})
    assert (result.returncode, result.stdout) == (1, "0 sent, 5 left, in 1 run\n")
    assert "Connection refused" in result.stderr


def test_the_command_needs_an_endpoint(tmp_path: Path, unsent: Run) -> None:
    """Exit status 2, naming the variable."""
    assert unsent.path.exists()
    result = run_cli(OTEL_UNTETHER_STATE_DIR=str(tmp_path))
    assert result.returncode == 2
    assert OTLP in result.stderr


TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
NO_LOGS = {"OTEL_LOGS_EXPORTER": "none"}


def test_only_the_signal_that_has_an_endpoint_is_sent_of_all_runs(tmp_path: Path) -> None:
    """Nothing else of them was meant for a collector, so nothing is left."""
    with refusing() as nobody:
        for _ in range(2):
            forget_globals()
            watched(tmp_path, {TRACES: f"{nobody}/v1/traces"})
    with http_receiver() as receiver:
        result = run_cli(
            **{TRACES: f"{receiver.url}/v1/traces", "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
        )
    assert (result.returncode, result.stdout) == (0, "6 sent, 0 left, in 2 runs\n")
    assert result.stderr == ""
    assert {signal for signal, _ in receiver.requests} == {"traces"}


def test_what_was_meant_for_a_collector_and_has_nowhere_to_go_is_told_once(tmp_path: Path) -> None:
    """The rest goes; the exit status is that of something left."""
    with refusing() as nobody:
        for _ in range(2):
            forget_globals()
            run = watched(tmp_path, {OTLP: nobody})
    with http_receiver() as receiver:
        where = {TRACES: f"{receiver.url}/v1/traces", "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
        result = run_cli(**where)
        unwanted = run_cli(**where, **NO_LOGS)
    assert (result.returncode, result.stdout) == (1, "6 sent, 4 left, in 2 runs\n")
    assert result.stderr == (
        "otel-untether resend: nowhere to send 2 log records, 2 exports of metrics: "
        "set OTEL_EXPORTER_OTLP_LOGS_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT\n"
    )
    assert (unwanted.returncode, unwanted.stdout) == (1, "0 sent, 2 left, in 2 runs\n")
    assert (run.path / "undelivered").exists()


def test_a_signal_that_nobody_wants_is_not_sent_and_not_left(tmp_path: Path) -> None:
    """But kept, where it was wanted when the run was."""
    with refusing() as nobody:
        never = watched(tmp_path, {OTLP: nobody, **NO_LOGS})
        forget_globals()
        before = watched(tmp_path, {OTLP: nobody})
    with http_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_UNTETHER_STATE_DIR": str(tmp_path), **NO_LOGS}
        result = run_cli(**environ)
        assert receiver.logs() == []
    assert (result.returncode, result.stdout) == (0, "8 sent, 0 left, in 2 runs\n")
    assert not (never.path / "undelivered").exists()
    assert (before.path / "undelivered").exists()


def test_what_is_wrong_with_one_signals_settings_is_told_beside_what_was_sent(
    tmp_path: Path, unsent: Run
) -> None:
    """Exit status 2, as for any mistake."""
    assert unsent.path.exists()
    with http_receiver() as receiver:
        environ = {OTLP: receiver.url, "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "smoke"}
        result = run_cli(**environ, OTEL_UNTETHER_STATE_DIR=str(tmp_path))
    assert (result.returncode, result.stdout) == (2, "4 sent, 1 left, in 1 run\n")
    assert "'smoke' is not a protocol" in result.stderr


def test_of_a_run_from_before_that_was_noted_everything_was_meant(unsent: Run) -> None:
    """What it left says nothing else."""
    (unsent.path / "undelivered").write_bytes(b"")
    with http_receiver() as receiver:
        outcome = resend.resend(
            unsent, Sender({OTLP: receiver.url}, 60), {"logs": "nowhere", "metrics": "unwanted"}
        )
    assert (outcome.sent, outcome.left, dict(outcome.held_back)) == (
        3,
        1,
        {"logs": 1, "metrics": 1},
    )


def test_runs_recorded_without_an_endpoint_are_sent_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were not meant for a collector; by name, or with --all, they may go to one."""
    watched(tmp_path, {})
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    with http_receiver() as receiver:
        monkeypatch.setenv(OTLP, receiver.url)
        assert cli.main(["resend"]) == 0
        assert receiver.requests == []
        assert cli.main(["resend", "--all"]) == 0
    assert len(receiver.spans()) == 3
    assert capsys.readouterr().out.splitlines() == [
        "0 sent, 0 left, in 0 runs",
        "5 sent, 0 left, in 1 run",
    ]


def test_an_unknown_run_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The prefix and the place are named."""
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    assert cli.main(["resend", "nonesuch"]) == 2
    assert "nonesuch" in capsys.readouterr().err


def test_a_send_error_is_retryable_unless_it_says_otherwise() -> None:
    """What is not known to be hopeless is tried again."""
    assert not SendError("x").refused
