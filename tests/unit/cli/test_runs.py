"""`otel-untether runs`: list, filter, look up, compare, prune."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest

from otel_untether.cli import build_parser, runs
from otel_untether.store.runs import RunIdentity, Store
from tests.unit.report.report_sessions import healthy, stalled

SECOND = 1_000_000_000
START = 1_795_000_000 * SECOND


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the state directory that the command looks into."""
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path)


def add(store: Store, run_id: str, engine: str = "claude", **facts: Any) -> Path:
    """Add a run that has ended."""
    started = facts.pop("started", START)
    run = store.create_run(RunIdentity(run_id, engine), started=started, command="sh")
    ended = {"ended": started + 2 * SECOND, "outcome": "completed"}
    run.update(**(ended | facts))
    run.release()
    return run.path


def call(*words: str) -> int:
    """Run the command."""
    arguments: argparse.Namespace = build_parser(["runs"]).parse_args(["runs", *words])
    return runs.main(arguments)


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the ids of the runs that are listed."""
    assert call(*words, "--json") == 0
    return [run["run_id"] for run in json.loads(capsys.readouterr().out)]


def test_a_run_is_a_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """When, which, how it ended, how long, its stalls, its cost, where its telemetry is."""
    add(store, "a" * 16, outcome="killed", exit_code=143, stalls=3, cause="wedged", cost_usd=0.5)
    assert call() == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == list(runs._HEAD)
    assert line.split("  ") == [part for part in line.split("  ") if part]
    assert "killed (exit 143)" in line
    assert "3 wedged" in line
    assert "$0.5000" in line
    assert line.endswith("here")


def test_what_nobody_decodes_is_listed_by_its_command(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "a" * 16, engine="unknown")
    call()
    assert "  sh  " in capsys.readouterr().out.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--engine", "codex"], ["bbbb"]),
        (["--outcome", "failed"], ["bbbb"]),
        (["--stalled"], ["cccc"]),
        (["--since", "2020-01-01"], ["cccc", "bbbb", "aaaa"]),
        (["--since", "1d"], []),
        (["--id", "SESSION-9"], ["cccc"]),
        (["--id", "AAAA"], ["aaaa"]),
    ],
)
def test_filters(
    words: list[str], expected: list[str], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Newest first; ids by their start, upper case or lower."""
    add(store, "aaaa", started=START)
    add(store, "bbbb", "codex", started=START + SECOND, outcome="failed")
    add(store, "cccc", started=START + 2 * SECOND, stalls=1, session_id="session-9")
    assert listed(capsys, *words) == expected


def test_a_run_that_goes_on_is_running(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """And one whose watcher is gone is orphaned."""
    run = store.create_run(RunIdentity("aaaa", "claude"), started=START)
    assert listed(capsys, "--outcome", "running") == ["aaaa"]
    run.release()
    assert listed(capsys, "--outcome", "running") == []


def test_only_the_newest_are_listed_unless_asked(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(25):
        add(store, f"{number:016}", started=START + number * SECOND)
    call()
    assert capsys.readouterr().out.splitlines()[-1] == "and 5 older runs; --all lists them"
    call("--all")
    assert len(capsys.readouterr().out.splitlines()) == 26


def test_hostile_names_cannot_steer_the_terminal(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "aaaa", engine="\x1b[2Jevil" * 20)
    call()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 200


@pytest.mark.parametrize("text", ["", "yesterday", "-1d", "9999-99-99"])
def test_a_time_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("--since", text)
    assert "expected" in capsys.readouterr().err


def test_two_runs_are_compared(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What both did, and by how much they differ."""
    healthy().write(add(store, "aaaa"), {"run_id": "aaaa"})
    stalled().write(add(store, "bbbb", started=START + SECOND), {"run_id": "bbbb"})
    assert call("compare", "aaaa", "bbbb") == 0
    rows = {line[:14].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert "completed" in rows["how it ended"]
    assert "killed (wedged)" in rows["how it ended"]
    assert "+11m30s" in rows["silent"]
    assert "unknown" in rows["turns"]


def test_a_comparison_needs_two_runs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    healthy().write(add(store, "aaaa"), {"run_id": "aaaa"})
    assert call("compare", "aaaa", "ffff") == 2
    assert "'ffff'" in capsys.readouterr().err


def test_a_session_that_was_resumed_is_found_by_its_newest_run(store: Store) -> None:
    add(store, "aaaa", started=START, session_id="session-9")
    add(store, "bbbb", started=START + SECOND, session_id="session-9")
    assert store.find("session-9").record.run_id == "bbbb"


def test_pruning_keeps_what_is_watched(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """First only said, then done."""
    for number in range(4):
        os.utime(add(store, f"{number:016}", started=START + number * SECOND))
    watched = store.create_run(RunIdentity("watched", "claude"), started=START - SECOND)
    assert call("prune", "--keep-runs", "1", "--dry-run") == 0
    assert "3 runs would be deleted" in capsys.readouterr().err
    assert len(store.folders()) == 5
    assert call("prune", "--keep-runs", "1") == 0
    assert [path.name[-7:] for path in store.folders()] == ["0000003", "watched"]
    watched.release()
