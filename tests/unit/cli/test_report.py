"""`otel-untether report`: which run, and how it is printed."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING

import pytest

from otel_untether.cli import build_parser, report
from otel_untether.store.runs import RunIdentity, Store

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
START = 1_795_000_000 * SECOND


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the state directory that the command looks into."""
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path)


def add(store: Store, run_id: str, started: int = START) -> Path:
    """Add a run that has ended, with its one span."""
    run = store.create_run(RunIdentity(run_id, "claude"), started=started)
    run.update(ended=started + 2 * SECOND, outcome="completed", cost_usd=0.5)
    span = {
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": run_id[:16],
        "name": "invoke_agent claude",
        "startTimeUnixNano": str(started),
        "endTimeUnixNano": str(started + 2 * SECOND),
        "attributes": [{"key": "untether.run.id", "value": {"stringValue": run_id}}],
    }
    export = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    (run.path / "traces.jsonl").write_text(json.dumps(export) + "\n")
    return run.path


def arguments(*words: str) -> argparse.Namespace:
    """Parse a command line."""
    return build_parser(["report"]).parse_args(["report", *words])


def test_the_newest_run_is_shown(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """By when it was recorded, so that what was just replayed is shown."""
    older = add(store, "aaaa000000000000", START + SECOND) / "run.json"
    os.utime(older, (1, 1))
    add(store, "bbbb000000000000")
    assert report.main(arguments()) == 0
    assert "run bbbb000000000000" in capsys.readouterr().out


@pytest.mark.parametrize("by", ["id", "folder"])
def test_a_run_is_found(by: str, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """By the start of its id, or by its folder."""
    add(store, "aaaa000000000000", START + SECOND)
    path = add(store, "bbbb000000000000")
    assert report.main(arguments("bbbb" if by == "id" else str(path))) == 0
    assert "run bbbb000000000000" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ffff", "/nowhere/at/all"])
def test_an_unknown_run_is_an_error(
    name: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """That names it; nothing is printed on stdout."""
    add(store, "aaaa000000000000")
    assert report.main(arguments(name)) == 2
    printed = capsys.readouterr()
    assert name in printed.err
    assert not printed.out


def test_a_folder_that_is_no_runs_is_an_error(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than an empty report."""
    store.root.joinpath("other").mkdir()
    assert report.main(arguments("./other")) == 2
    assert "not the folder of a run" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_without_runs_it_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    """To someone who has just installed it."""
    assert report.main(arguments()) == 2
    assert "otel-untether demo" in capsys.readouterr().err


def test_json_is_one_object(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs."""
    add(store, "aaaa000000000000")
    assert report.main(arguments("--json")) == 0
    assert json.loads(capsys.readouterr().out)["session"]["duration_s"] == 2.0


def test_the_list_has_a_line_for_each_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, and names what it cannot read."""
    add(store, "aaaa000000000000", START + SECOND)
    add(store, "bbbb000000000000")
    store.runs_dir.joinpath("20260101T000000.000000Z-cccc").mkdir()
    assert report.main(arguments("--list")) == 0
    printed = capsys.readouterr()
    assert [line.split()[2] for line in printed.out.splitlines()] == [
        "aaaa000000000000",
        "bbbb000000000000",
    ]
    assert "20260101T000000.000000Z-cccc" in printed.err


def test_colour_is_only_for_terminals(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless it is asked for."""
    add(store, "aaaa000000000000")
    report.main(arguments())
    assert "\x1b" not in capsys.readouterr().out
    report.main(arguments("--color", "always"))
    assert "\x1b" in capsys.readouterr().out


def test_a_page_is_written_to_a_file(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said on stderr, so that stdout stays what was asked for."""
    add(store, "aaaa000000000000")
    file = tmp_path / "report.html"
    assert report.main(arguments("--html", str(file))) == 0
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    printed = capsys.readouterr()
    assert not printed.out
    assert str(file) in printed.err


def test_a_page_that_cannot_be_written_is_an_error(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named with what the system said."""
    add(store, "aaaa000000000000")
    assert report.main(arguments("--html", str(tmp_path / "no" / "report.html"))) == 2
    assert "report.html: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "start"), [(["--html", "-"], "<!doctype html>"), (["--markdown"], "## ")]
)
def test_a_form_can_be_piped(
    words: list[str], start: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "aaaa000000000000")
    assert report.main(arguments(*words)) == 0
    assert capsys.readouterr().out.startswith(start)


@pytest.mark.parametrize("form", [(), ("--json",), ("--markdown",), ("--list",)])
def test_a_reader_that_has_enough_is_nobodys_mistake(
    store: Store, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """`report | head -1`: it ends as by the signal, and says nothing."""
    add(store, "aaaa000000000000")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", buffering=1) as left:  # noqa: PTH123  a descriptor
        monkeypatch.setattr("sys.stdout", left)
        with pytest.raises(BrokenPipeError):
            report.main(arguments(*form))
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_the_summary_of_a_job_is_appended_to(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other steps write there, too; without being asked nothing is written."""
    add(store, "aaaa000000000000")
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    assert report.main(arguments()) == 0
    assert file.read_text() == "before\n"
    assert report.main(arguments("--step-summary")) == 0
    assert file.read_text(encoding="utf-8").startswith("before\n## ")


def test_without_a_job_there_is_no_summary(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "aaaa000000000000")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert report.main(arguments("--step-summary")) == 2
    assert "GITHUB_STEP_SUMMARY is not set" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_a_store_that_cannot_be_read_is_not_an_empty_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody is told to try the demo who may not look into a folder."""
    tmp_path.joinpath("runs").write_text("")
    assert report.main(arguments()) == 2
    assert "try: otel-untether demo" not in capsys.readouterr().err


def test_a_run_that_is_over_is_followed_once(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to wait for."""
    add(store, "aaaa000000000000")
    assert report.main(arguments("--follow")) == 0
    assert capsys.readouterr().out.count("run aaaa000000000000") == 1
