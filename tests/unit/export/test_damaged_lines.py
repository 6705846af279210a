"""Lines in a run's files that cannot be read, and what another file still knows of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.cli import main
from otel_untether.export import otlp_client, resend
from otel_untether.export.answers import Answer
from otel_untether.store.record import load_run
from otel_untether.store.remains import is_in_order
from otel_untether.store.run_folder import UNDELIVERED
from tests.support.runs_on_disk import end, line, run_on_disk, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

A, B, C = "00000000000000a0", "00000000000000b0", "00000000000000c0"
LINES = [line(A), line(B, A), line(C, A)]
JOURNAL = [start(A), start(B, A), end(B), start(C, A), end(C), end(A)]
FOREIGN = b'{"resource": "none of ours"}'


def lose(text: bytes) -> Callable[[bytes], bytes]:
    """Return what puts zeros in the place of a text."""
    return lambda content: content.replace(text, b"\0" * len(text), 1)


DAMAGE = {
    "a NUL": lose(b'"' + B.encode()),
    "a key": lambda content: content.replace(b'"resourceSpans"', b'"resourceSpanz"', 1),
    "a newline": lambda content: content.replace(b"\n", b"", 1),
    "a newline, zeroed": lose(b"\n"),
    "a newline, changed": lambda content: content.replace(b"\n", b"\x0b", 1),
    "what is no text": lambda content: content.replace(b'"attributes"', b'"attribut\xe5s"', 1),
    "no line": lambda _content: b"",
    "all but the last": lambda content: b"\0" * content.index(LINES[2]) + LINES[2] + b"\n",
}


def resent(folder: Path) -> tuple[resend.Resent, list[str]]:
    """Resend a run to a collector that takes all; return the outcome, and the ids it was sent."""
    ids: list[str] = []

    def send(_signal: str, request: Any) -> Answer:
        for resource in getattr(request, "resource_spans", ()):
            ids.extend(it.span_id.hex() for scope in resource.scope_spans for it in scope.spans)
        return Answer()

    return resend.resend(load_run(folder), send), ids


@pytest.mark.parametrize("how", DAMAGE)
def test_what_the_journal_knows_is_sent(tmp_path: Path, how: str) -> None:
    """Each span once, whatever happened to the lines, and nothing is lost."""
    folder = run_on_disk(tmp_path, traces=LINES, journal=JOURNAL)
    traces = folder / "traces.jsonl"
    traces.write_bytes(DAMAGE[how](traces.read_bytes()))
    outcome, ids = resent(folder)
    assert sorted(ids) == [A, B, C]
    assert (outcome.sent, outcome.left, outcome.lost, outcome.problems) == (3, 0, 0, [])
    assert resent(folder) == (resend.Resent(), [])


def test_lines_that_were_joined_are_whole(tmp_path: Path) -> None:
    """They say more than the journal does, and are read without one."""
    folder = run_on_disk(tmp_path, traces=[LINES[0] + LINES[1], LINES[2]], journal=[])
    outcome, ids = resent(folder)
    assert (sorted(ids), outcome.problems) == ([A, B, C], [])


@pytest.mark.parametrize("journal", [[], [start(A), b"{"]])
def test_what_nothing_knows_is_said_once(tmp_path: Path, journal: list[bytes]) -> None:
    """With its file and line; it keeps the run from nothing afterwards."""
    folder = run_on_disk(tmp_path, traces=[*LINES[:2], FOREIGN, b"\0" * 8], journal=journal)
    outcome, ids = resent(folder)
    assert (len(ids), outcome.sent, outcome.left, outcome.lost) == (2, 2, 0, 2)
    assert outcome.problems == [
        f"{folder}/traces.jsonl:{number}: cannot be read, and what was in it is lost"
        for number in (3, 4)
    ]
    assert not (folder / UNDELIVERED).exists()
    assert resent(folder) == (resend.Resent(lost=2), [])


def test_a_line_whose_spans_are_elsewhere_is_no_loss(tmp_path: Path) -> None:
    """A journal that is torn itself need not vouch for them."""
    torn = LINES[1].replace(b'"name"', b'"na\0e"')
    folder = run_on_disk(tmp_path, traces=[LINES[0], torn, *LINES[1:]], journal=[])
    outcome, ids = resent(folder)
    assert (sorted(ids), outcome.problems) == ([A, B, C], [])


def test_what_a_collector_had_at_the_end_is_no_loss(tmp_path: Path) -> None:
    """It was taken as a whole before a byte of it was damaged."""
    folder = run_on_disk(tmp_path, traces=[FOREIGN], journal=[])
    (folder / UNDELIVERED).unlink()
    assert resent(folder) == (resend.Resent(), [])


@pytest.mark.parametrize("name", ["logs.jsonl", "metrics.jsonl"])
def test_other_files_have_no_journal(tmp_path: Path, name: str) -> None:
    """So what cannot be read there is lost."""
    folder = run_on_disk(tmp_path, traces=LINES, journal=JOURNAL)
    (folder / name).write_bytes(b'{"resource\n')
    outcome, _ = resent(folder)
    assert (outcome.sent, outcome.lost, len(outcome.problems)) == (3, 1, 1)


@pytest.mark.parametrize("newline", [b"", b"\0", b"J", b" "])
@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_lines_that_were_joined_are_read_there_too(
    tmp_path: Path, signal: str, newline: bytes
) -> None:
    """A newline that is lost, or damaged, also the file's last, takes nothing with it."""
    folder = run_on_disk(tmp_path, traces=LINES, journal=JOURNAL)
    text = {
        "logs": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"%d"}]}]}]}',
        "metrics": b'{"resourceMetrics":[{"schemaUrl":"%d"}]}',
    }[signal]
    content = text % 5 + newline + text % 6 + b"\n" + text % 7 + newline
    (folder / f"{signal}.jsonl").write_bytes(content)
    outcome, _ = resent(folder)
    assert (outcome.sent, outcome.left, outcome.problems) == (3 + 3, 0, [])
    assert resent(folder) == (resend.Resent(), [])


def test_of_lines_that_were_joined_one_is_lost(tmp_path: Path) -> None:
    """It is the line that is told, once, and the other is sent."""
    folder = run_on_disk(tmp_path, traces=LINES, journal=JOURNAL)
    (folder / "metrics.jsonl").write_bytes(b'{"resourceMetrics":[]}{"resource\0Metrics":[]}\n')
    outcome, _ = resent(folder)
    assert (outcome.sent, outcome.lost, len(outcome.problems)) == (3 + 1, 1, 1)
    assert resent(folder) == (resend.Resent(lost=1), [])


@pytest.mark.parametrize("journal", [JOURNAL, []])
def test_a_span_without_an_id_is_not_sent(tmp_path: Path, journal: list[bytes]) -> None:
    """The journal has another with it, or it is lost: no collector could tell it from others."""
    damaged = LINES[1].replace(b'"spanId"', b'"spanIe"')
    folder = run_on_disk(tmp_path, traces=[LINES[0], damaged, LINES[2]], journal=journal)
    outcome, ids = resent(folder)
    assert sorted(ids) == ([A, B, C] if journal else [A, C])
    assert (outcome.refused, outcome.newly_lost) == (0, 1)
    assert resent(folder) == (resend.Resent(lost=1), [])


def test_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, and 0 from then on."""
    run_on_disk(tmp_path, traces=[FOREIGN], journal=[])
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(otlp_client, "Sender", lambda *_: lambda *_: Answer())
    assert main(["resend"]) == 1
    out, err = capsys.readouterr()
    assert out == "0 sent, 0 left, 1 line unreadable, in 1 run\n"
    assert "traces.jsonl:1: cannot be read" in err
    assert main(["resend"]) == 0
    assert capsys.readouterr() == ("0 sent, 0 left, 1 line unreadable, in 1 run\n", "")


def test_a_line_that_is_there_twice_is_sent_once(tmp_path: Path) -> None:
    """In one request or in two; of log records, those that are alike in everything."""
    logs = [
        {"timeUnixNano": "5", "body": {"stringValue": text}} for text in ("one", "another", "one")
    ]
    folder = run_on_disk(tmp_path, traces=[*LINES, LINES[1]], journal=JOURNAL)
    (folder / "logs.jsonl").write_bytes(
        b"".join(
            json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}).encode() + b"\n"
            for log in logs
        )
    )
    (folder / "metrics.jsonl").write_bytes(b'{"resourceMetrics":[]}\n' * 2)
    requests: list[Any] = []

    def send(_signal: str, request: Any) -> Answer:
        requests.append(request)
        return Answer()

    outcome = resend.resend(load_run(folder), send)
    assert (outcome.sent, outcome.left) == (3 + 2 + 1, 0)
    traces, records, _ = requests
    assert sum(len(it.scope_spans[0].spans) for it in traces.resource_spans) == 3
    assert sum(len(it.scope_logs[0].log_records) for it in records.resource_logs) == 2


def test_what_is_json_and_no_span_is_lost_too(tmp_path: Path) -> None:
    """A byte that has changed within an id: no collector was asked, so none has refused it."""
    damaged = LINES[1].replace(b'"traceId":"0', b'"traceId":"x')
    folder = run_on_disk(tmp_path, traces=[LINES[0], damaged, LINES[2]], journal=JOURNAL)
    outcome, ids = resent(folder)
    assert (ids, outcome.refused, outcome.lost, outcome.newly_lost) == ([A, C], 0, 1, 1)
    (problem,) = outcome.problems
    assert "traces.jsonl: not an OTLP JSON traces request" in problem
    assert resent(folder) == (resend.Resent(lost=1), [])


@pytest.mark.parametrize("key", [b'"name"', b'"attributes"', b'"key"'])
def test_what_a_journal_lacks_keeps_nothing_back(tmp_path: Path, key: bytes) -> None:
    """A watcher that was killed, and a byte of the root's start that is another: all is sent."""
    begun = start(A).replace(b'"attributes":[]', b'"attributes":[{"key":"a","value":{}}]')
    damaged = begun.replace(key, key.replace(b"e", b"u"), 1)
    folder = run_on_disk(tmp_path, traces=LINES[1:], journal=[damaged])
    outcome, ids = resent(folder)
    assert (sorted(ids), outcome.left, outcome.problems) == ([A, B, C], 0, [])


def test_a_root_that_began_twice_is_one_span(tmp_path: Path) -> None:
    """It is noted before the agent is spawned, and again: such a folder is in order."""
    folder = run_on_disk(tmp_path, traces=LINES, journal=[start(A), *JOURNAL])
    assert is_in_order(folder)
    assert not is_in_order(run_on_disk(tmp_path / "b", traces=LINES[:2], journal=JOURNAL))
