"""Torn files: what one of them has lost is in the others, and is put together again.

A power cut leaves a file short, or with zeros where its end should be. Two runs, one that ended
and one whose processes were all killed, are torn in each of their files at many places.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from otel_untether.store import run_folder, run_lock
from otel_untether.store.recovery import recover
from otel_untether.store.runs import Store, load_run

RECORDING = Path(__file__).parents[2] / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"
FILES = (run_folder.RECORD, run_folder.TRACES, run_folder.JOURNAL)
TEARS = 42  # of each file of each run: 252 in all


def start(state: Path, *argv: str) -> subprocess.Popen[bytes]:
    """Run an agent under our command."""
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(state)}
    words = ("run", "--engine", "claude", "--", *argv)
    return subprocess.Popen(
        [sys.executable, "-m", "otel_untether", *words],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition: Any) -> None:
    """Wait until something holds."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_over(run: Path) -> bool:
    """Whether a run has ended and nobody works for it any more."""
    return load_run(run).record.ended is not None and run_lock.is_held(run) is False


def has(state: Path, name: str, text: bytes) -> bool:
    """Whether a text is in that file of the run."""
    return any(text in path.read_bytes() for path in state.glob(f"runs/*/{name}"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that went well."""
    state = tmp_path_factory.mktemp("ended")
    start(state, "cat", str(RECORDING)).wait()
    (run,) = state.glob("runs/*")
    wait_for(lambda: is_over(run))
    return run


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of which everybody was killed in the middle of a tool call."""
    state = tmp_path_factory.mktemp("crashed")
    relay = start(state, "sh", "-c", f"head -13 {RECORDING}; exec sleep 600")
    wait_for(
        lambda: any(b"execute_tool" in it.read_bytes() for it in state.glob("runs/*/journal*"))
    )
    wait_for(lambda: any(b"spanId" in it.read_bytes() for it in state.glob("runs/*/traces*")))
    everybody = [psutil.Process(relay.pid), *psutil.Process(relay.pid).children(recursive=True)]
    for process in everybody:
        process.kill()
    relay.wait()
    psutil.wait_procs(everybody)
    (run,) = state.glob("runs/*")
    wait_for(lambda: not load_run(run).running)
    return run


def spans(run: Path) -> dict[str, dict[str, Any]]:
    """Return the spans on disk by id, each of which is there once."""
    found: dict[str, dict[str, Any]] = {}
    for line in (run / run_folder.TRACES).read_bytes().splitlines():
        try:
            request = json.loads(line.strip(b"\0"))
        except ValueError:
            continue
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    assert span["spanId"] not in found, "twice"
                    found[span["spanId"]] = span
    return found


def started(run: Path) -> set[str]:
    """Return the ids of the spans that the journal knows."""
    known = set()
    for line in (run / run_folder.JOURNAL).read_bytes().splitlines():
        try:
            entry = json.loads(line.strip(b"\0"))
        except ValueError:
            continue
        if entry["kind"] == "start":
            known.add(entry["span"]["spanId"])
    return known


def tear(path: Path, chance: random.Random) -> None:
    """Cut a file off somewhere, or write zeros over its end, as file systems do."""
    content = path.read_bytes()
    at = chance.randrange(len(content))
    rest = b"" if chance.random() < 0.5 else b"\0" * (len(content) - at)
    path.write_bytes(content[:at] + rest)


def torn(run: Path, to: Path, name: str, chance: random.Random) -> Path:
    """Copy a run and tear one of its files."""
    copy = to / "runs" / run.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy, dirs_exist_ok=True)
    tear(copy / name, chance)
    return copy


def facts(span: dict[str, Any]) -> dict[str, Any]:
    """Return a span's attributes."""
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


@pytest.mark.parametrize("name", FILES)
def test_a_torn_file_of_a_run_that_ended_loses_nothing(
    ended: Path, tmp_path: Path, name: str
) -> None:
    """All spans are there with their true times, and the record with how it went."""
    whole, record = spans(ended), load_run(ended).record
    chance = random.Random(name)
    for number in range(TEARS):
        copy = torn(ended, tmp_path, name, chance)
        recover(copy)
        found = spans(copy)
        assert found.keys() == whole.keys(), (name, number)
        for key, span in found.items():
            for time_of in ("startTimeUnixNano", "endTimeUnixNano"):
                assert span[time_of] == whole[key][time_of]
            assert span.get("status", {}).get("code") == whole[key].get("status", {}).get("code")
        now = load_run(copy).record
        for known in ("run_id", "engine", "session_id", "model", "outcome", "ended", "trace_id"):
            assert getattr(now, known) == getattr(record, known), (name, number, known)
        assert recover(copy) == 0


@pytest.mark.parametrize("name", FILES)
def test_a_torn_file_of_a_crashed_run_loses_only_what_it_alone_knew(
    crashed: Path, tmp_path: Path, name: str
) -> None:
    """One root, and every span of which any file has a whole line; none twice."""
    told = load_run(crashed).record
    (first, *_) = (crashed / run_folder.JOURNAL).read_text().splitlines()
    root = json.loads(first)["span"]["spanId"]
    chance = random.Random(name)
    for number in range(TEARS):
        copy = torn(crashed, tmp_path, name, chance)
        known = started(copy) | spans(copy).keys()
        recover(copy)
        found = spans(copy)
        assert found.keys() == known | {root}, (name, number)
        roots = [span for span in found.values() if not span.get("parentSpanId")]
        assert [span["spanId"] for span in roots] == [root]
        assert facts(roots[0])["error.type"] == "orphaned"
        now = load_run(copy).record
        assert (now.outcome, now.engine) == ("orphaned", "claude")
        assert now.run_id == told.run_id
        assert now.ended is not None
        assert recover(copy) == 0


def test_a_recovered_root_knows_what_its_session_was(crashed: Path, tmp_path: Path) -> None:
    """Engine, conversation, model, usage, outcome, process; and its session is remembered."""
    copy = tmp_path / "runs" / crashed.name
    shutil.copytree(crashed, copy)
    assert recover(copy) > 0
    (root,) = (span for span in spans(copy).values() if not span.get("parentSpanId"))
    known = facts(root)
    assert root["name"] == "invoke_agent claude"
    assert known["untether.session.outcome"] == "orphaned"
    record = load_run(copy).record
    assert known["gen_ai.conversation.id"] == record.session_id
    assert known["gen_ai.request.model"] == record.model is not None
    assert int(known["gen_ai.usage.input_tokens"]) > 0
    assert int(known["process.pid"]) > 0
    assert record.session_id is not None
    before = Store(tmp_path).last_outcome("claude", record.session_id)
    assert before is not None
    assert (before.outcome, before.span_id) == ("orphaned", root["spanId"])


def test_who_resumes_a_crashed_session_knows_it_at_once(crashed: Path, tmp_path: Path) -> None:
    """However short the run: its predecessor is ended first, and its root points there."""
    before = tmp_path / "runs" / crashed.name
    shutil.copytree(crashed, before)
    start(tmp_path, "cat", str(RECORDING)).wait()
    (after,) = (path for path in tmp_path.glob("runs/*") if path != before)
    wait_for(lambda: is_over(after))
    (root,) = (span for span in spans(after).values() if span["name"] == "invoke_agent claude")
    known = facts(root)
    assert known["untether.session.resumed"] is True
    assert known["untether.session.tainted"] is True
    (crashed_root,) = (it for it in spans(before).values() if not it.get("parentSpanId"))
    assert [link["spanId"] for link in root["links"]] == [crashed_root["spanId"]]
