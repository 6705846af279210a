"""Recordings: what kind of file, whose, and when each line arrived."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.engines.parsing.timestamps import SECOND, own_time
from otel_untether.sources import recordings
from otel_untether.sources.recordings import STEP, Arrival, RecordingError

RECORDINGS = Path(__file__).parents[2] / "conformance/recordings"
MODIFIED = 1_795_000_000 * SECOND
INIT = {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2"}


def encode(*lines: Any) -> list[bytes]:
    """Encode lines as a file has them."""
    return [json.dumps(line).encode() + b"\n" for line in lines]


def moments(lines: list[bytes]) -> list[int]:
    """Return when each line arrived, in ns after the first."""
    found = list(recordings.arrivals(lines, recordings.scan(lines), MODIFIED))
    return [arrival.at - found[0].at for arrival in found]


def test_a_raw_line_arrives_when_it_says() -> None:
    """One that does not say came with the one before it."""
    stamps = ("2026-11-22T05:51:00.500Z", None, "2026-11-22T05:51:02Z")
    lines = encode(*({"type": "x", "timestamp": stamp} for stamp in stamps))
    assert moments(lines) == [0, 0, 1_500_000_000]


def test_lines_before_the_first_time_arrive_with_it() -> None:
    """Claude's init carries no time."""
    lines = encode(INIT, {"timestamp": "2026-11-22T05:51:00Z"}, {"timestamp": 1795326661000})
    assert moments(lines) == [0, 0, SECOND]


def test_times_never_run_backwards() -> None:
    """Some clocks do."""
    lines = encode({"timestamp": 1795326661000}, {"timestamp": 1795326660000})
    assert moments(lines) == [0, 0]


def test_lines_of_which_none_says_come_in_steps_and_are_over_when_the_file_was_written() -> None:
    """Codex prints no times at all."""
    lines = encode({"type": "thread.started", "thread_id": "t"}, {"type": "turn.started"}, {})
    found = list(recordings.arrivals(lines, recordings.scan(lines), MODIFIED))
    assert [at for at, _ in found] == [MODIFIED - 2 * STEP, MODIFIED - STEP, MODIFIED]


def test_a_timed_recording_with_times_since_the_epoch() -> None:
    """They are taken as they are."""
    lines = encode({"t": 1795326660.5, "line": '{"a": 1}'}, {"t": 1795326661.5, "line": "b"})
    found = list(recordings.arrivals(lines, recordings.scan(lines), MODIFIED))
    assert found[0] == Arrival(1_795_326_660_500_000_000, b'{"a": 1}')
    assert found[1] == Arrival(1_795_326_661_500_000_000, b"b")


def test_a_timed_recording_since_its_start_is_dated_by_its_lines() -> None:
    """The first line with a time of its own says when t was zero."""
    stamped = json.dumps({"timestamp": "2026-11-22T05:51:00Z"})
    lines = encode({"t": 1.0, "line": "{}"}, {"t": 3.0, "line": stamped}, {"t": 9, "exit": 143})
    scan = recordings.scan(lines)
    zero = 1_795_326_657 * SECOND
    assert recordings.started(scan, MODIFIED) == zero
    assert [at for at, _ in recordings.arrivals(lines, scan, MODIFIED)] == [
        zero + SECOND,
        zero + 3 * SECOND,
    ]
    assert recordings.ended(scan, MODIFIED) == (zero + 9 * SECOND, 143)


def test_a_timed_recording_that_nothing_dates_was_over_when_it_was_written() -> None:
    """As good a guess as there is."""
    lines = encode({"t": 1.0, "line": "{}"}, {"t": 4.0, "exit": None})
    scan = recordings.scan(lines)
    assert recordings.started(scan, MODIFIED) == MODIFIED - 4 * SECOND
    assert recordings.ended(scan, MODIFIED) == (MODIFIED, None)


def test_a_torn_timed_line_arrives_as_it_is() -> None:
    """It is a sign of life that nobody can read, not a failure."""
    lines = [*encode({"t": 1.0, "line": "{}"}), b'{"t": 2.0, "li']
    found = list(recordings.arrivals(lines, recordings.scan(lines), MODIFIED))
    assert found[1].line == b'{"t": 2.0, "li'


def test_the_digest_is_of_the_content() -> None:
    """Same bytes, same digest, wherever the file is."""
    one, two = encode({"a": 1}), encode({"a": 2})
    assert recordings.scan(one).digest == recordings.scan(list(one)).digest
    assert recordings.scan(one).digest != recordings.scan(two).digest


@pytest.mark.parametrize(
    ("line", "nanoseconds"),
    [
        (b'{"timestamp": "2026-11-22T05:51:00.469Z"}', 1_795_326_660_469_000_000),
        (b'{"timestamp": "2026-11-22T06:51:00+01:00"}', 1_795_326_660_000_000_000),
        (b'{"timestamp": "2026-11-22T05:51:00"}', 1_795_326_660_000_000_000),
        (b'{"timestamp": 1795326660469}', 1_795_326_660_469_000_000),
        (b'{"timestamp": 1795326660}', 1_795_326_660_000_000_000),
        (b'{"message": {"timestamp": 1795326660469}}', 1_795_326_660_469_000_000),
        (b'{"timestamp": "yesterday"}', None),
        (b'{"timestamp": 12}', None),
        (b'{"timestamp": 1e300}', None),
        (b'{"timestamp": "0001-01-01T00:00:00Z"}', None),
        (b'{"timestamp": null, "message": "hello"}', None),
        (b"not json", None),
    ],
)
def test_a_lines_own_time(line: bytes, nanoseconds: int | None) -> None:
    """In each of the CLIs' ways to say it."""
    assert own_time(line) == nanoseconds


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_no_bytes_break_it(lines: list[bytes]) -> None:
    """Every line that is not blank arrives once, in order, unless it is the timed format."""
    ended = [line.replace(b"\n", b"") + b"\n" for line in lines]
    scan = recordings.scan(ended)
    found = list(recordings.arrivals(ended, scan, MODIFIED))
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    if scan.kind != "timed":
        assert [line for _, line in found] == [line[:-1] for line in ended if line.strip()]


TIMED = re.compile(r"\.(timed|both)\.")


@pytest.mark.parametrize("path", sorted(RECORDINGS.rglob("*.jsonl")), ids=lambda path: path.name)
def test_real_recordings_are_recognised(path: Path) -> None:
    """Engine and kind, from the file alone."""
    recording = recordings.inspect(path)
    kind = "transcript" if "disk" in path.parts else "timed" if TIMED.search(path.name) else "raw"
    assert recording.scan.engine == path.relative_to(RECORDINGS).parts[0]
    assert recording.scan.kind == kind


def test_the_raw_and_the_timed_recording_of_a_session_have_the_same_lines() -> None:
    """And nearly the same times: Claude's own are a few ms before the arrival."""
    raw = recordings.inspect(RECORDINGS / "claude/claude_ok.jsonl")
    timed = recordings.inspect(RECORDINGS / "claude/claude_ok.timed.jsonl")
    pairs = list(zip(raw.arrivals(), timed.arrivals(), strict=True))
    assert [one.line for one, _ in pairs] == [other.line for _, other in pairs]
    assert max(abs(one.at - other.at) for one, other in pairs) < SECOND // 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "empty"),
        (b"\n\n  \n", "empty"),
        (b"\x00\x01\x02\xff" * 100, "binary"),
        (b"hello\nworld\n", "not JSON lines"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    """With what was expected."""
    path = tmp_path / "thing.jsonl"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=rf"thing\.jsonl: {problem}; expected"):
        recordings.inspect(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(RecordingError, match=r"gone\.jsonl: No such file"):
        recordings.inspect(tmp_path / "gone.jsonl")


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's reason. (Root may read everything, so the refusal is made up.)"""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(RecordingError, match=r"secret\.jsonl: Permission denied"):
        recordings.inspect(tmp_path / "secret.jsonl")


def test_a_folder_gives_its_recordings(tmp_path: Path) -> None:
    """The timed one of two, and no subagent's file on its own."""
    for name in ("a.jsonl", "a.timed.jsonl", "b.jsonl", "b/subagents/agent-1.jsonl", "c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in recordings.find(tmp_path)] == ["a.timed.jsonl", "b.jsonl"]


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    """Nothing was replayed, and nobody should think so."""
    with pytest.raises(RecordingError, match="a directory without recordings"):
        list(recordings.find(tmp_path))


def test_a_transcripts_digest_covers_its_subagents(tmp_path: Path) -> None:
    """They are replayed together."""
    path = tmp_path / "s.jsonl"
    source = next((RECORDINGS / "claude/disk").rglob("*-*-*-*-*.jsonl"))
    path.write_bytes(source.read_bytes())
    before = recordings.inspect(path).scan.digest
    agent = tmp_path / "s/subagents/agent-1.jsonl"
    agent.parent.mkdir(parents=True)
    agent.write_text("{}\n")
    assert recordings.inspect(path).scan.digest != before


def test_what_the_agent_was_given_is_told_from_what_it_printed() -> None:
    """In a recording of both directions; whose it is shows in the agent's own lines."""
    both = [
        {"t": 1.0, "dir": "in", "line": {"type": "system", "subtype": "init"}},
        {"t": 2.0, "dir": "out", "line": {"type": "thread.started", "thread_id": "t"}},
        {"t": 3.0, "line": '{"type": "turn.started"}'},
    ]
    lines = [json.dumps(entry).encode() + b"\n" for entry in both]
    scan = recordings.scan(lines)
    assert (scan.kind, scan.engine) == ("timed", "codex")
    found = list(recordings.arrivals(lines, scan, MODIFIED))
    assert [isinstance(arrival, recordings.Given) for arrival in found] == [True, False, False]
    assert json.loads(found[1].line) == both[1]["line"]
