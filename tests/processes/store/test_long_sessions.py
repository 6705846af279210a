"""A session of many calls leaves a bounded folder, and every span once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.export.journal_processor import JournalProcessor
from otel_untether.export.keeping import SpanKeeper, SpanKeeping
from otel_untether.export.ledger import Ledger
from otel_untether.export.otlp_json import Lines
from otel_untether.export.sdk_processors import span_processor
from otel_untether.report.run import read
from otel_untether.store import retention, run_folder, segments
from otel_untether.store.journal import Journal
from otel_untether.store.recovery import recover
from otel_untether.store.runs import Run, RunIdentity, Store, load_run

if TYPE_CHECKING:
    from pathlib import Path

CALLS = 1_500
PART = 64 << 10


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LARGEST", PART)


def session(state: Path, *, crash: bool = False) -> Run:
    """Watch a session of many calls; with `crash` the watcher dies before it ends."""
    run = Store(state).create_run(RunIdentity("5f0c", "claude"), started=1000)
    journal = Journal(run.path)
    provider = TracerProvider(shutdown_on_exit=False)
    journal.resource(provider.resource)
    lines = Lines("traces", run.path / run_folder.TRACES, journal.compact)
    keeper = SpanKeeper(lines, journal, Ledger(kept=True))
    for told in (SpanKeeping(keeper), JournalProcessor(journal)):
        provider.add_span_processor(span_processor(told))
    tracer = provider.get_tracer("test")
    root = tracer.start_span("invoke_agent claude", attributes={"untether.engine": "claude"})
    below = trace.set_span_in_context(root)
    for number in range(CALLS):
        call = tracer.start_span("execute_tool Bash", below, attributes={"number": number})
        journal.progress({"gen_ai.usage.input_tokens": number})
        call.end()
    tracer.start_span("execute_tool Read", below)
    if not crash:
        root.end()
        run.update(ended=2000, outcome="completed")
    lines.close()
    journal.close()
    run.release()
    return run


def numbers(run: Run) -> list[Any]:
    """Return the numbers of the calls as `report` reads them."""
    root = read(run.path, 3000).root
    assert root is not None
    found = [node.attributes.get("number") for node in root.walk()]
    return [number for number in found if number is not None]


def test_all_of_it_is_read_back_and_little_of_it_is_left_as_it_was(tmp_path: Path) -> None:
    run = session(tmp_path)
    assert sorted(numbers(run)) == list(range(CALLS))
    # What waits to be compressed, or for the journal to be written anew, is a part or two.
    newest = sum((run.path / name).stat().st_size for name in ("traces.jsonl", "journal.jsonl"))
    whole = sum(len(line) for line in segments.lines(run.path / run_folder.TRACES))
    assert whole > 10 * PART
    assert newest < whole
    packed = sum(path.stat().st_size for path in run.path.glob("*.gz"))
    assert 0 < packed < whole / 5


def test_a_crash_loses_and_doubles_nothing(tmp_path: Path) -> None:
    run = session(tmp_path, crash=True)
    assert recover(run.path) == 2
    assert recover(run.path) == 0
    assert sorted(numbers(run)) == list(range(CALLS))
    root = read(run.path, 3000).root
    assert root is not None
    counts = Counter((node.name, node.attributes.get("error.type")) for node in root.walk())
    assert counts["invoke_agent claude", "orphaned"] == 1
    assert counts["execute_tool Read", "orphaned"] == 1
    assert root.attributes["gen_ai.usage.input_tokens"] == CALLS - 1
    assert not list(run.path.glob("traces-*.jsonl"))


def test_a_run_that_is_in_order_is_left_alone(tmp_path: Path) -> None:
    run = session(tmp_path)
    recover(run.path)  # the call that was still open
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    assert recover(run.path) == 0
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
    assert load_run(run.path).record.outcome == "completed"


def test_what_a_watcher_had_begun_at_the_very_last_is_finished(tmp_path: Path) -> None:
    """Its run is over, and all of it is there: a part of it not compressed, and half a file."""
    run = session(tmp_path)
    (run.path / run_folder.METRICS).write_bytes(b"{}\n")
    part = segments.set_aside(run.path / run_folder.METRICS)
    half = run.path / f".{part.name}.gz.0123456789ab"
    half.write_bytes(b"\x1f\x8b")
    recover(run.path)
    assert not part.exists()
    assert not half.exists()
    assert list(segments.lines(run.path / run_folder.METRICS)) == [b"{}\n"]


def test_spans_in_compressed_files_count_as_undelivered(tmp_path: Path) -> None:
    """They are what would be lost with the folder."""
    run = session(tmp_path)
    assert retention.undelivered_spans(run.path) == CALLS + 1


def test_a_folder_of_many_parts_goes_as_a_whole(tmp_path: Path) -> None:
    run = session(tmp_path)
    assert run_folder.remove(run.path)
    assert not run.path.exists()
