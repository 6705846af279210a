"""What is lost is said and counted; what can be kept somewhere is not lost.

The disks here are real: small file systems in a mount namespace of the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.trace import set_span_in_context

from otel_untether.export import providers, resend
from otel_untether.export.otlp_client import Sender
from otel_untether.store.runs import RunIdentity, Store
from tests.processes.reliability.test_tears import spans
from tests.support import faults
from tests.support.faults import HTTP_FAULTS
from tests.support.otel import fresh_globals
from tests.support.otlp_receiver import http_receiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.export.providers import Telemetry
    from otel_untether.store.runs import Run

__all__ = ["fresh_globals"]
pytestmark = pytest.mark.usefixtures("fresh_globals")

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
METRICS = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
QUICK = {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
LOST = "untether.telemetry.lost"


def begin(run: Run | None, environ: Mapping[str, str]) -> tuple[Telemetry, dict[str, int]]:
    """Start telemetry; return it and what is counted as lost, by signal."""
    counted = {"traces": 0, "logs": 0, "metrics": 0}
    telemetry = providers.start(
        RunIdentity("5f0c", "claude"), run_dir=run.path if run else None, environ=environ
    )

    def lost(signal: Any, count: int) -> None:
        counted[signal] += count

    telemetry.ledger.listen(lost)
    return telemetry, counted


def work(telemetry: Telemetry, number: int) -> None:
    """Make so many spans, and a log record."""
    tracer = telemetry.tracer_provider.get_tracer("test")
    for each in range(number):
        tracer.start_span(f"span {each}", context=telemetry.parent).end()
    record = LogRecord(timestamp=time.time_ns(), event_name="untether.session.summary")
    telemetry.logger_provider.get_logger("test").emit(record)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that is watched by this process."""
    return Store(tmp_path).create_run(RunIdentity("5f0c", "claude"), started=time.time_ns())


def test_a_queue_that_overflows_is_told_and_loses_nothing_with_a_folder(run: Run) -> None:
    """The SDK drops what its queue cannot hold without a word to its exporter."""
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64"}
    with http_receiver(delay=0.5) as slow:
        telemetry, lost = begin(run, {OTLP: slow.url, **small})
        work(telemetry, 1000)
        assert not telemetry.shutdown(60)
        received = len(slow.spans())
    assert 0 < received < 1000
    assert len(spans(run.path)) == 1000
    assert lost == {"traces": 0, "logs": 0, "metrics": 0}
    assert f"{1000 - received} spans did not" in telemetry.problems[-1]
    run.update(ended=time.time_ns())
    run.release()
    with http_receiver() as good:
        assert resend.resend(run, Sender({OTLP: good.url}, 60)).sent == 1000 - received
    assert received + len(good.spans()) == 1000


def test_a_queue_that_overflows_without_a_folder_is_a_loss() -> None:
    """Made = received + lost, exactly, and the counter says so."""
    small = {"OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "64"}
    with http_receiver(delay=0.5) as slow:
        telemetry, lost = begin(None, {OTLP: slow.url, **small})
        work(telemetry, 1000)
        assert not telemetry.shutdown(60)
        assert len(slow.spans()) + lost["traces"] == 1000
    assert any(f"lost: {lost['traces']:,} spans" in problem for problem in telemetry.problems)


def test_without_a_folder_what_no_collector_takes_is_lost() -> None:
    """All of it, and metrics still tell where they are taken."""
    with faults.refusing() as nobody:
        telemetry, lost = begin(None, {OTLP: nobody.url, **QUICK})
        work(telemetry, 20)
        telemetry.shutdown(30)
    assert (lost["traces"], lost["logs"]) == (20, 1)


def test_what_a_collector_is_sent_is_on_disk_before(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who is killed then leaves a span that is ended, and sent, a second time."""
    on_disk: list[list[str]] = []
    with http_receiver() as good:
        take = good.take

        def look_and_take(signal: str, request: Any, headers: dict[str, str]) -> None:
            if signal == "traces":
                on_disk.append([span["name"] for span in spans(run.path).values()])
            take(signal, request, headers)

        monkeypatch.setattr(good, "take", look_and_take)
        telemetry, _ = begin(run, {OTLP: good.url})
        provider: Any = telemetry.tracer_provider
        tracer = provider.get_tracer("test")
        root = tracer.start_span("root")
        with telemetry.together():
            tracer.start_span("call", set_span_in_context(root)).end()
            provider.force_flush()
        root.end()
        assert telemetry.shutdown(30)
    assert on_disk == [["call"], ["call", "root"]]


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_collector_that_asks_for_patience_has_answered(run: Run, status: str) -> None:
    """The exporter waits, as it is told to; that there is no answer yet is not true."""
    with faults.http_fault(HTTP_FAULTS[status]) as busy:
        telemetry, _ = begin(run, {OTLP: busy.url})
        work(telemetry, 1)
        telemetry.shutdown(2)
    (problem,) = telemetry.problems
    assert f"answered {status}, to be asked again in 30 s)" in problem


def test_a_collector_that_takes_everything_loses_nothing(run: Run) -> None:
    """And nothing is said."""
    with http_receiver() as good:
        telemetry, lost = begin(run, {OTLP: good.url})
        work(telemetry, 20)
        assert telemetry.shutdown(30)
    assert (telemetry.problems, set(lost.values())) == ([], {0})


def test_a_folder_deleted_meanwhile_is_made_again(run: Run) -> None:
    """What was in it is gone by somebody's wish, what comes later is kept."""
    telemetry, lost = begin(run, {})
    work(telemetry, 5)
    shutil.rmtree(run.path)
    work(telemetry, 7)
    assert telemetry.shutdown(30)
    assert len(spans(run.path)) == 7
    assert set(lost.values()) == {0}


SCRIPT = """
import json, os, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
folder = Path({folder!r})
subprocess.run(["mount", "-t", "tmpfs", "-o", {options!r}, "none", folder], check=True)
from otel_untether.export import providers
from otel_untether.store.recovery import recover
from otel_untether.store.runs import RunIdentity, Store, load_run
run = Store(folder / "state").create_run(RunIdentity("5f0c", "claude"), started=time.time_ns())
environ = json.loads({environ!r})
telemetry = providers.start(RunIdentity("5f0c", "claude"), run_dir=run.path, environ=environ)
lost = dict.fromkeys(("traces", "logs", "metrics"), 0)
telemetry.ledger.listen(lambda signal, count: lost.update({{signal: lost[signal] + count}}))
{fill}
tracer = telemetry.tracer_provider.get_tracer("test")
ids = []
for number in range(40):
    span = tracer.start_span(f"span {{number}}", context=telemetry.parent)
    span.set_attribute("text", "x" * 1000)
    ids.append(f"{{span.get_span_context().span_id:016x}}")
    span.end()
telemetry.shutdown(30)
{free}
run.update(ended=time.time_ns())
run.release()
def mend():
    try:
        return recover(run.path)
    except OSError as error:
        return error.strerror
recovered, again = mend(), mend()
def whole(name, kept):
    path = run.path / name
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            if kept(json.loads(line)):
                yield line
        except ValueError:
            continue
traces = "".join(whole("traces.jsonl", lambda line: True))
# What the journal keeps instead is not there twice, but waits for room.
journal = "".join(whole("journal.jsonl", lambda line: line["kind"] == "span"))
text = traces or journal if recovered != "No space left on device" else traces + journal
print(json.dumps({{
    "made": len(ids),
    "kept": sum(text.count(f'"spanId":"{{key}}"') for key in ids),
    "once": all(text.count(f'"spanId":"{{key}}"') <= 1 for key in ids),
    "lost": lost, "problems": telemetry.problems, "recovered": recovered, "again": again,
}}))
"""


def on_a_disk(
    folder: Path, options: str, fill: str = "", free: str = "", **environ: str
) -> dict[str, Any]:
    """Watch a session of 40 spans with its folder on a file system like that."""
    script = SCRIPT.format(
        root=str(Path(__file__).parents[3]),
        folder=str(folder),
        options=options,
        environ=json.dumps(environ),
        fill=fill,
        free=free,
    )
    result = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", script],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_disk_that_fills_up_loses_what_it_says(tmp_path: Path) -> None:
    """Made = kept + lost, exactly."""
    found = on_a_disk(tmp_path, "size=64k")
    assert found["once"]
    assert found["recovered"] == "No space left on device"
    assert 0 < found["kept"] < found["made"]
    assert found["kept"] + found["lost"]["traces"] == found["made"]
    (problem,) = (it for it in found["problems"] if it.startswith("lost: "))
    assert f"lost: {found['lost']['traces']} spans" in problem
    assert "No space left on device" in problem


def test_a_full_disk_loses_nothing_that_a_collector_takes(tmp_path: Path) -> None:
    """It is with the collector, which is as good."""
    with faults.http_fault(HTTP_FAULTS["taken"]) as good:
        found = on_a_disk(tmp_path, "size=64k", **{OTLP: good.url})
        assert len(good.spans) == 40
    assert found["lost"]["traces"] == 0


def test_what_a_full_disk_had_no_room_to_note_is_not_sent_again(tmp_path: Path) -> None:
    """Neither as it was nor ended by a recovery; and the run is not orphaned, either."""
    free = (
        "from otel_untether.export.otlp_client import Sender\n"
        "from otel_untether.export.resend import resend\n"
        "run.update(ended=time.time_ns(), outcome='completed')\n"
        "run.release()\n"
        "subprocess.run(['mount', '-o', 'remount,size=8m', folder], check=True)\n"
        "outcome = resend(load_run(run.path), Sender(environ, 60))\n"
        "telemetry.problems = [outcome.sent, outcome.left, load_run(run.path).record.outcome]"
    )
    with faults.http_fault(HTTP_FAULTS["taken"]) as good:
        found = on_a_disk(tmp_path, "size=64k", free=free, **{OTLP: good.url})
        assert len(good.spans) == 40
    assert found["problems"] == [0, 0, "completed"]


def test_without_inodes_the_journal_keeps_whole_spans(tmp_path: Path) -> None:
    """No file can be made any more, but those that are open can grow."""
    fill = (
        "number = 0\n"
        "try:\n"
        "    while True:\n"
        "        (folder / f'filler{number}').touch()\n"
        "        number += 1\n"
        "except OSError:\n"
        "    pass"
    )
    free = "[path.unlink() for path in folder.glob('filler*')]"
    found = on_a_disk(tmp_path, "size=4m,nr_inodes=64", fill, free)
    assert found["lost"]["traces"] == 0
    assert (found["kept"], found["once"]) == (40, True)
    assert (found["recovered"], found["again"]) == (40, 0)
    assert not any("lost: " in it and "span" in it for it in found["problems"])
