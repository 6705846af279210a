"""The verdict: how it ended, why, what next, and what that rests on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_untether.diagnosis.advice import ADVICE
from otel_untether.report import markdown, run
from otel_untether.report.endings import ENDINGS
from otel_untether.report.html import document as html
from otel_untether.report.terminal import page
from otel_untether.report.terminal.style import Style
from otel_untether.report.verdict import Verdict, verdict
from otel_untether.store import run_lock
from tests.unit.report.report_sessions import START, Session, at, healthy, long, stalled
from tests.unit.report.test_dumps import DOCUMENT

SHOWN = 10


def judge(session: Session, folder: Path, **record: Any) -> Verdict:
    """Judge a session made by hand."""
    session.write(folder, record)
    return verdict(run.read(folder, at(1e6)))


def test_where_all_is_well_there_is_nothing_to_do(tmp_path: Path) -> None:
    judged = judge(healthy(), tmp_path)
    assert (judged.how, judged.mood) == ("completed", "good")
    assert (judged.why, judged.next, judged.evidence) == (None, None, ())


@pytest.mark.parametrize("cause", ADVICE)
def test_each_cause_says_what_to_do(cause: str, tmp_path: Path) -> None:
    """The words of the one table, also where a run is older than its attribute."""
    session = Session()
    session.chat(0, 700, error="killed")
    session.stall(10, 310, cause)
    session.root(700, error="SIGTERM", untether__session__outcome="terminated")
    judged = judge(session, tmp_path)
    assert judged.cause == cause
    assert judged.next is not None
    assert ADVICE[cause].action.replace(" PID", "") in judged.next.replace(" PID", "")


def test_a_freeze_is_told_in_the_first_lines(tmp_path: Path) -> None:
    """However much there is below."""
    session = long()
    session.stall(5000, 5400, "model_silent")
    session.write(tmp_path)
    top = "\n".join(list(page.render(run.read(tmp_path, at(1e6)), Style()))[:SHOWN])
    assert "silent for" in top
    assert ADVICE["model_silent"].action.partition(";")[0] in " ".join(top.split())


def test_the_dump_of_the_silence_is_its_evidence(tmp_path: Path) -> None:
    """The process with its state, wait channel and age; the socket with its remote and age."""
    session = Session()
    session.chat(0, None)  # type: ignore[arg-type]
    session.tool("Bash", 5, None)
    session.span(
        "untether.stall",
        10,
        40,
        error="model_silent",
        untether__stall__cause="model_silent",
        untether__stall__process__pid=4711,
        untether__stall__tree__cpu=0.002,
    )
    session.root(None)
    (tmp_path / f"stall-{at(40)}.json").write_text(json.dumps(DOCUMENT))
    session.write(tmp_path, {"ended": None})
    lock = run_lock.acquire(tmp_path)
    assert lock
    with lock:
        judged = verdict(run.read(tmp_path, at(60)))
    assert judged.how == "stalled (model_silent), still running"
    assert judged.evidence == (
        "open: Bash for 55 s",
        "process 4711 (claude), sleeping, in ep_poll, 1 min old, 12 threads, its tree at 0.2 % CPU",
        "connection to 10.0.0.7:443 ESTABLISHED, last byte received 4 min 58 s ago",
    )
    assert judged.stderr == ("warning: slow",)


def test_connections_that_are_gone_are_told_with_their_moment(tmp_path: Path) -> None:
    """Three sockets, then none: what was reported first from production."""
    counts = [(1, 3), (8, 3), (11, 0), (60, 0)]
    lines = [json.dumps({"t": at(second), "tcp": tcp}) for second, tcp in counts]
    (tmp_path / "samples.jsonl").write_text("\n".join(lines))
    session = Session()
    session.stall(10, 310, "spinning")
    session.root(700, error="spinning", untether__session__outcome="killed")
    judged = judge(session, tmp_path)
    said = "it had 3 connections until 2 s before the last sign of life, none since"
    assert said in judged.evidence


def test_no_number_is_invented_where_connections_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(json.dumps({"t": at(60), "tcp": None}))
    judged = judge(stalled(), tmp_path)
    assert not [said for said in judged.evidence if "connection until" in said]


def test_what_it_resumed_is_named_with_its_run(tmp_path: Path) -> None:
    """By the link of its root; the earlier run is on this machine."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    before = tmp_path / "runs" / "20261122T205630.123456Z-aaaaaaaaaaaaaaaa"
    record = {"run_id": "aaaaaaaaaaaaaaaa", "trace_id": trace, "ended": at(1)}
    stalled().write(before, record)
    journaled = {"at": START, "kind": "untether.stall.warning", "untether.stall.cause": "wedged"}
    (before / "journal.jsonl").write_text(json.dumps(journaled, separators=(",", ":")) + "\n")
    session = stalled()
    link = {"traceId": trace, "spanId": "b7ad6b7169203331", "attributes": []}
    outcome = {"key": "untether.session.outcome", "value": {"stringValue": "stalled"}}
    session.spans[-1]["links"] = [{**link, "attributes": [outcome]}]
    judged = judge(session, tmp_path / "runs" / "20261122T215630.123456Z-bbbbbbbbbbbbbbbb")
    assert judged.evidence[0] == (
        "it resumes a session that froze before (wedged) in run aaaaaaaaaaaaaaaa, "
        "which ended stalled"
    )
    assert judged.next is not None
    assert judged.next.startswith("begin a new session instead of resuming this one again")


def test_a_session_whose_watcher_died_is_not_said_to_have_frozen(tmp_path: Path) -> None:
    session = stalled()
    link = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
    outcome = {"key": "untether.session.outcome", "value": {"stringValue": "orphaned"}}
    session.spans[-1]["links"] = [{**link, "attributes": [outcome]}]
    judged = judge(session, tmp_path)
    said = "it resumes a session that was cut off before, which ended orphaned"
    assert judged.evidence[0] == said


def test_a_silence_was_last_looked_at_when_it_was_warned_of_last(tmp_path: Path) -> None:
    """However short the time since the warning before that was."""
    session = Session()
    session.chat(0, 300)
    session.stall(10, 190, "model_silent")
    session.stall(190, 299, "model_silent", 2)
    session.root(300, untether__session__outcome="killed")
    why = judge(session, tmp_path).why
    assert why is not None
    assert "last looked at" not in why


def test_a_silence_that_ended_by_itself_asks_for_nothing(tmp_path: Path) -> None:
    session = Session()
    session.chat(0, 300)
    session.stall(10, 50, "model_silent")
    session.event("untether.stall.recovered", 60)
    session.root(300, untether__session__outcome="completed")
    judged = judge(session, tmp_path)
    assert (judged.how, judged.mood, judged.next) == ("completed", "good", None)
    assert judged.why == (
        "silent for 50 s (last looked at after 40 s): "
        "one silent connection, last byte 4 min ago; then it went on"
    )


@pytest.mark.parametrize("error", [*ENDINGS, "3", "something_new"])
def test_each_end_that_is_no_stall_has_its_words(error: str, tmp_path: Path) -> None:
    session = Session()
    session.root(9, error=error, untether__session__outcome="failed")
    judged = judge(session, tmp_path)
    assert judged.mood == "bad"
    assert judged.why
    assert judged.next


def test_a_failed_agents_last_lines_are_shown_to_this_machine(tmp_path: Path) -> None:
    """In the terminal and in JSON; what is given away does not have them."""
    session = Session()
    session.root(9, error="1", untether__session__outcome="failed")
    (tmp_path / "stderr.txt").write_text("one\n\nTypeError: no such model\n")
    assert judge(session, tmp_path).stderr == ("one", "TypeError: no such model")
    recorded = run.read(tmp_path, at(1e6))
    assert "TypeError" in "\n".join(page.render(recorded, Style()))
    assert "TypeError" not in markdown.document(recorded) + html.document(recorded)
