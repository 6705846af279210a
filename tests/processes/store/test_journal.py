"""What is open, on disk, so that a crash loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider, sampling

from otel_untether.clock import Clock
from otel_untether.export import otlp_json, otlp_protobuf
from otel_untether.export.journal_processor import JournalProcessor
from otel_untether.export.keeping import SpanKeeper, SpanKeeping
from otel_untether.export.ledger import Ledger
from otel_untether.export.sdk_processors import span_processor
from otel_untether.store import run_lock
from otel_untether.store.files import LineFile
from otel_untether.store.journal import Journal
from otel_untether.store.recovery import recover
from otel_untether.store.runs import Run, RunIdentity, Store, StoreError, load_run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose watcher died."""
    made = Store(tmp_path).create_run(RunIdentity("5f0c", "claude"), started=1000)
    made.release()
    return made


@pytest.fixture
def clock() -> Clock:
    """The clock of the session. The wall clock, the SDK's own, may be set back in between."""
    return Clock()


@pytest.fixture
def journal(run: Run, clock: Clock) -> Journal:
    """The journal of the run."""
    return Journal(run.path, clock.now)


@pytest.fixture
def provider(run: Run, journal: Journal) -> Iterator[TracerProvider]:
    """A provider whose spans are journaled."""
    made = TracerProvider(shutdown_on_exit=False)
    journal.resource(made.resource)
    for told in (SpanKeeping(keeper(run, journal)), JournalProcessor(journal)):
        made.add_span_processor(span_processor(told))
    yield made
    made.shutdown()


def keeper(run: Run, journal: Journal) -> SpanKeeper:
    """Make what keeps a run's spans."""
    lines = otlp_json.Lines("traces", run.path / "traces.jsonl")
    return SpanKeeper(lines, journal, Ledger(kept=True))


def entries(run: Run) -> list[Any]:
    """Read the journal."""
    return [json.loads(line) for line in (run.path / "journal.jsonl").read_text().splitlines()]


def traces(run: Run) -> list[Any]:
    """Return the spans of the run's traces.jsonl, each line checked against the schema."""
    path = run.path / "traces.jsonl"
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().splitlines():
        otlp_protobuf.parse("traces", line)
        for resource in json.loads(line)["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                found += scope["spans"]
    return found


def test_starts_and_ends_are_journaled(run: Run, provider: TracerProvider) -> None:
    """With ids, parent, name, start and start attributes."""
    tracer = provider.get_tracer("test", "1.0")
    root = tracer.start_span("invoke_agent claude")
    child = tracer.start_span(
        "execute_tool Bash",
        trace.set_span_in_context(root),
        attributes={"gen_ai.tool.name": "Bash", "n": 1},
    )
    child.end()
    _, started, below, ended = entries(run)
    assert started["span"]["name"] == "invoke_agent claude"
    assert below["span"]["parentSpanId"] == started["span"]["spanId"]
    assert {item["key"] for item in below["span"]["attributes"]} == {"gen_ai.tool.name", "n"}
    assert (ended["kind"], ended["span"]["spanId"]) == ("end", below["span"]["spanId"])


def test_open_spans_are_ended_as_orphans(run: Run, provider: TracerProvider) -> None:
    """Same ids, ERROR, error.type orphaned, ended at the last sign in the journal."""
    tracer = provider.get_tracer("test")
    root = tracer.start_span("root", attributes={"untether.engine": "claude"})
    tracer.start_span("ended", trace.set_span_in_context(root)).end()
    tracer.start_span("open", trace.set_span_in_context(root))
    last = entries(run)[-1]["at"]
    assert recover(run.path) == 2
    by_name = {span["name"]: span for span in traces(run)}
    assert set(by_name) == {"root", "open", "ended"}
    assert by_name.pop("ended")["status"] == {}
    for span in by_name.values():
        assert span["status"]["code"] == 2
        assert {"key": "error.type", "value": {"stringValue": "orphaned"}} in span["attributes"]
        assert int(span["endTimeUnixNano"]) >= last
        assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"])
    context = root.get_span_context()
    assert by_name["root"]["spanId"] == f"{context.span_id:016x}"
    assert by_name["open"]["parentSpanId"] == f"{context.span_id:016x}"


def test_recovered_spans_have_the_runs_resource(run: Run, provider: TracerProvider) -> None:
    """A backend must not take them for another service's."""
    provider.get_tracer("test").start_span("root")
    recover(run.path)
    line = json.loads((run.path / "traces.jsonl").read_text())
    attributes = line["resourceSpans"][0]["resource"]["attributes"]
    assert {item["key"] for item in attributes} == set(provider.resource.attributes)


def test_recovering_twice_adds_nothing(run: Run, provider: TracerProvider) -> None:
    """Also where the first time was cut off before the record said so."""
    provider.get_tracer("test").start_span("root")
    assert recover(run.path) == 1
    assert recover(run.path) == 0
    load_run(run.path).update(ended=None, outcome=None)
    assert recover(run.path) == 0
    assert len(traces(run)) == 1


def test_a_recovered_run_is_over(run: Run, provider: TracerProvider) -> None:
    """Its record says how and when."""
    provider.get_tracer("test").start_span("root")
    recover(run.path)
    record = load_run(run.path).record
    assert (record.outcome, record.ended) == ("orphaned", entries(run)[-1]["at"])


def test_a_watched_run_is_left_alone(tmp_path: Path) -> None:
    """Its watcher is this very process."""
    run = Store(tmp_path).create_run(RunIdentity("5f0c"), started=1000)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(span_processor(JournalProcessor(Journal(run.path))))
    provider.get_tracer("test").start_span("root")
    assert recover(run.path) == 0
    assert traces(run) == []
    provider.shutdown()


def test_a_run_somebody_else_recovers_is_left_to_them(run: Run, provider: TracerProvider) -> None:
    """The lock is the folder's."""
    provider.get_tracer("test").start_span("root")
    lock = run_lock.acquire(run.path)
    assert lock
    with lock:
        assert recover(run.path) == 0
    assert recover(run.path) == 1


def test_torn_and_foreign_lines_are_skipped(run: Run, provider: TracerProvider) -> None:
    """A journal is read for what it says."""
    provider.get_tracer("test").start_span("root")
    journal = run.path / "journal.jsonl"
    noise = b'7\n[]\n{"at": "x", "kind": "end"}\n\xff\xff\n{"at": 1, "kind": "start"}\n'
    journal.write_bytes(noise + journal.read_bytes() + b'{"at": 5, "kind": "st')
    (run.path / "traces.jsonl").write_bytes(b'{"resourceSpans": [{"sc')
    assert recover(run.path) == 1
    torn, whole = (run.path / "traces.jsonl").read_bytes().splitlines()
    assert torn == b'{"resourceSpans": [{"sc'
    assert otlp_protobuf.parse("traces", whole)


def test_a_run_without_a_journal_is_just_over(run: Run) -> None:
    """It died before it began: since then."""
    assert recover(run.path) == 0
    assert load_run(run.path).record.ended == 1000


def test_no_run_at_all_is_a_clear_error(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(StoreError, match=r"run\.json"):
        recover(tmp_path)


def test_unsampled_spans_are_not_journaled(run: Run) -> None:
    """They would never have left, so nothing is lost."""
    provider = TracerProvider(sampler=sampling.ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(span_processor(JournalProcessor(Journal(run.path))))
    provider.get_tracer("test").start_span("root").end()
    assert entries(run) == []
    provider.shutdown()


def test_what_a_root_learns_is_journaled(
    run: Run, journal: Journal, provider: TracerProvider, clock: Clock
) -> None:
    """A crash keeps its new name, its attributes, its events, and what was decided last."""
    tracer = provider.get_tracer("test")
    root = tracer.start_span("invoke_agent unknown", attributes={"untether.engine": "unknown"})
    root.update_name("invoke_agent claude")
    root.set_attributes({"untether.engine": "claude", "n": 2})
    root.add_event("untether.stall.warning", {"untether.stall.number": 1}, clock.now())
    tracer.start_span("open", trace.set_span_in_context(root))
    root.add_event("untether.stall.warning", {"untether.stall.number": 2}, clock.now())
    assert journal.record("untether.kill.decided", cause="wedged")
    journal.progress({"gen_ai.usage.input_tokens": 7})
    recover(run.path)
    (found,) = (span for span in traces(run) if "parentSpanId" not in span)
    known = {item["key"]: item["value"] for item in found["attributes"]}
    assert found["name"] == "invoke_agent claude"
    assert known["untether.engine"] == {"stringValue": "claude"}
    assert known["n"] == {"intValue": "2"}
    assert known["gen_ai.usage.input_tokens"] == {"intValue": "7"}
    events = [event["name"] for event in found["events"]]
    assert events == ["untether.stall.warning"] * 2 + ["untether.kill.decided"]


def test_a_wall_clock_that_steps_moves_no_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets it an hour forward between two entries, and three back."""
    journal = Journal(run.path)
    journal.record("untether.kill.decided")
    real = time.time_ns
    for step in (3600, -3 * 3600):
        monkeypatch.setattr(time, "time_ns", lambda step=step: real() + step * 10**9)
        journal.record("untether.kill.signalled")
    times = [entry["at"] for entry in entries(run)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60 * 10**9


def test_decisions_are_on_disk_when_record_returns(run: Run) -> None:
    """With what they rest on."""
    journal = Journal(run.path)
    assert journal.record("kill.decided", cause="wedged", pids=[1, 2], idle=601.5)
    (entry,) = entries(run)
    assert entry.pop("at") > 0
    assert entry == {"kind": "kill.decided", "cause": "wedged", "pids": [1, 2], "idle": 601.5}
    journal.close()


def test_a_journal_that_cannot_be_written_says_so(run: Run) -> None:
    """And raises nothing: a kill that cannot be recorded is the caller's decision."""
    journal = Journal(run.path)
    journal.close()
    assert not journal.record("kill.decided")


def test_what_is_not_json_is_written_as_text(run: Run) -> None:
    """Evidence may hold anything."""
    journal = Journal(run.path)
    assert journal.record("kill.decided", evidence={1, 2}, odd=object())
    journal.close()


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
def test_a_full_disk_raises_in_the_file_and_not_in_the_journal() -> None:
    """/dev/full takes nothing."""
    file = LineFile(Path("/dev/full"))
    with pytest.raises(OSError, match="No space"):
        file.append(b"line")
    file.close()
    file.close()


def test_a_line_cut_off_by_a_full_disk_spoils_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there is room again the next line begins on its own."""
    file = LineFile(tmp_path / "lines")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with pytest.raises(OSError, match="3 of 7 bytes"):
        file.append(b"first!")
    monkeypatch.undo()
    file.append(b"second")
    file.close()
    assert (tmp_path / "lines").read_bytes() == b"fir\nsecond\n"


SCRIPT = """
import os, pathlib, signal, sys, time
from opentelemetry import trace
from otel_untether.export import providers as telemetry
from otel_untether.export.propagation import root_context
from otel_untether.store.runs import RunIdentity, Store
root = root_context({})
identity = RunIdentity("5f0c", "claude")
run = Store(pathlib.Path(sys.argv[1])).create_run(identity, started=time.time_ns())
started = telemetry.start(identity, root=root, run_dir=run.path, environ={})
tracer = started.tracer_provider.get_tracer("test")
span = tracer.start_span("invoke_agent claude", context=started.parent)
context = trace.set_span_in_context(span)
tracer.start_span("execute_tool Read", context).end()
tracer.start_span("execute_tool Bash", context, attributes={"gen_ai.tool.name": "Bash"})
print(root.traceparent, flush=True)
time.sleep(60)
"""


def test_a_watcher_killed_mid_span_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL: the ended span is there, and the open ones come back with the same ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    traceparent = process.stdout.readline().strip()
    (run,) = Store(tmp_path).list_runs().runs
    assert recover(run.path) == 0
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert recover(run.path) == 2
    spans = {span["name"]: span for span in traces(run)}
    assert set(spans) == {"execute_tool Read", "execute_tool Bash", "invoke_agent claude"}
    root = spans["invoke_agent claude"]
    assert f"00-{root['traceId']}-{root['spanId']}-01" == traceparent
    assert spans["execute_tool Bash"]["parentSpanId"] == root["spanId"]
    assert spans["execute_tool Read"]["status"] == {}
