"""`otel-untether replay`, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import eventually

RECORDINGS = Path(__file__).parents[2] / "conformance/recordings"
OK = RECORDINGS / "claude/claude_ok.timed.jsonl"
CODEX = RECORDINGS / "codex/codex_ok.jsonl"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a state directory of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return kept | {"OTEL_UNTETHER_STATE_DIR": str(tmp_path / "state")}


def replay(environ: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [sys.executable, "-m", "otel_untether", "replay", *map(str, arguments)]
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, check=False, timeout=60
    )


def spans(environ: dict[str, str], *, torn: bool = False) -> list[dict[str, Any]]:
    """Return all spans of all runs; `torn` where a line may have been written in part."""
    files = Path(environ["OTEL_UNTETHER_STATE_DIR"]).glob("runs/*/traces.jsonl")
    return [
        span
        for file in files
        for line in file.read_text().splitlines()
        if not torn or is_json(line)
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_it_keeps_the_original_times(environ: dict[str, str]) -> None:
    """The session is as long, and as long ago, as it was."""
    done = replay(environ, OK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "claude completed, in 2.6 s" in done.stdout
    (root,) = [span for span in spans(environ) if span["name"] == "invoke_agent claude"]
    assert root["startTimeUnixNano"].startswith("1795326660405")


def test_replayed_again_it_is_the_same_trace(environ: dict[str, str]) -> None:
    """Every span, with its ids and times, and no second folder."""
    replay(environ, OK)
    first = sorted(json.dumps(span) for span in spans(environ))
    replay(environ, OK)
    assert sorted(json.dumps(span) for span in spans(environ)) == first
    assert len({span["spanId"] for span in spans(environ)}) == len(first) > 10


def test_one_that_is_killed_has_a_root_all_the_same_and_is_whole_when_replayed_again(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Its journal has its root; of all else the recording is there to be read again."""
    long = tmp_path / "long.jsonl"
    long.write_bytes((RECORDINGS / "claude/claude_ok.jsonl").read_bytes() * 400)
    command = [sys.executable, "-m", "otel_untether", "replay", str(long)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: len(spans(environ, torn=True)) > 20)
        process.kill()
    (run,) = Path(environ["OTEL_UNTETHER_STATE_DIR"]).glob("runs/*")
    assert (run / "journal.jsonl").read_text().count('"kind":"start"') == 1
    told = [sys.executable, "-m", "otel_untether", "report"]
    report = subprocess.run(told, env=environ, capture_output=True, text=True, check=False)
    assert report.returncode == 0, report.stderr
    (root,) = [span for span in spans(environ, torn=True) if span["name"] == "invoke_agent claude"]
    replay(environ, long)
    whole = spans(environ, torn=True)
    (again,) = [span for span in whole if span["name"] == "invoke_agent claude"]
    assert again["traceId"] == root["traceId"]
    assert int(again["endTimeUnixNano"]) > int(root["startTimeUnixNano"])
    assert {span.get("parentSpanId") for span in whole} - {None} <= {s["spanId"] for s in whole}


def test_content_stays_where_it_is_unless_asked_for(environ: dict[str, str]) -> None:
    """Neither arguments nor results are in the trace; with OpenTelemetry's switch they are."""
    replay(environ, OK)
    assert "hello.py" not in json.dumps(spans(environ))
    replay(environ | {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true"}, OK)
    assert "hello.py" in json.dumps(spans(environ))


def test_times_that_are_made_up_are_said_to_be(environ: dict[str, str]) -> None:
    """Of what Codex prints no line says when; of a timed recording each does."""
    assert "no line says when it came" in replay(environ, CODEX).stdout
    assert "no line says when it came" not in replay(environ, OK).stdout


def test_two_recordings_are_two_traces(environ: dict[str, str]) -> None:
    """Each with the resource and the folder of its own run."""
    done = replay(environ, OK, CODEX)
    assert (done.returncode, done.stderr) == (0, "")
    assert len({span["traceId"] for span in spans(environ)}) == 2
    assert len(list(Path(environ["OTEL_UNTETHER_STATE_DIR"]).glob("runs/*"))) == 2


def test_a_transcript_is_replayed_with_its_subagents(environ: dict[str, str]) -> None:
    """From the folder they are in."""
    done = replay(environ, RECORDINGS / "claude/disk")
    assert done.returncode == 0, done.stderr
    names = [span["name"] for span in spans(environ)]
    assert names.count("invoke_agent claude") == 1
    assert "invoke_agent general-purpose" in names


def test_what_cannot_be_replayed_is_named_and_the_rest_is_replayed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Status 1."""
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    done = replay(environ, empty, tmp_path / "gone.jsonl", OK)
    assert done.returncode == 1
    assert f"{empty}: empty; expected" in done.stderr
    assert f"{tmp_path / 'gone.jsonl'}: No such file or directory" in done.stderr
    assert "claude completed" in done.stdout


def test_if_nothing_could_be_replayed_the_status_is_2(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """Here a directory without recordings."""
    done = replay(environ, tmp_path)
    assert done.returncode == 2
    assert "a directory without recordings" in done.stderr


def test_an_unknown_engine_is_refused_with_the_known_ones(environ: dict[str, str]) -> None:
    """Before anything is replayed."""
    done = replay(environ, "--engine", "clyde", OK)
    assert done.returncode == 2
    assert "clyde" in done.stderr
    assert "claude, codex" in done.stderr


def test_lines_of_an_unknown_agent_need_an_engine(environ: dict[str, str], tmp_path: Path) -> None:
    """A guess would make a wrong trace."""
    path = tmp_path / "other.jsonl"
    path.write_text('{"hello": 1}\n{"hello": 2}\n')
    done = replay(environ, path)
    assert done.returncode == 2
    assert "name it with --engine" in done.stderr
    assert replay(environ, "--engine", "generic", path).returncode == 0


def test_on_a_terminal_it_shows_its_progress(environ: dict[str, str]) -> None:
    """And takes it away at the end; stdout has the summary alone."""
    reader, writer = pty.openpty()
    command = [sys.executable, "-m", "otel_untether", "replay", str(OK)]
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=writer, check=True, timeout=60
    )
    os.close(writer)
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    assert "100%" in shown
    assert shown.endswith("\r\x1b[K")
    assert done.stdout.count(b"\n") == 1
