"""A file of lines and the parts that were set aside of it, whatever stopped us in the middle."""

from __future__ import annotations

import gzip
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.store import files, run_folder, segments
from otel_untether.store.segments import SegmentedFile

if TYPE_CHECKING:
    from pathlib import Path

LINES = [json.dumps({"n": number, "x": "x" * 40}).encode() for number in range(60)]
# What each step of setting aside and compressing goes through.
STEPS = ("rename", "replace", "unlink", "fsync", "open")


class Crash(BaseException):
    """Power cut, SIGKILL: nothing of ours is run after it."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part is full after some lines."""
    monkeypatch.setattr(segments, "LARGEST", 300)


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return tmp_path / run_folder.TRACES


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread is to be had."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


def written(path: Path, lines: list[bytes]) -> SegmentedFile:
    """Append the lines, and close the file."""
    file = SegmentedFile(path)
    for line in lines:
        file.append(line)
    file.close()
    return file


def read(path: Path) -> list[bytes]:
    return [line.rstrip(b"\n") for line in segments.lines(path)]


def test_lines_are_read_in_the_order_in_which_they_were_written(traces: Path) -> None:
    written(traces, LINES)
    assert read(traces) == LINES


def test_blocks_hold_the_lines_of_all_parts(traces: Path) -> None:
    written(traces, LINES)
    assert b"".join(segments.blocks(traces)).splitlines() == LINES
    assert len(list(segments.blocks(traces))) == len(segments.parts(traces))


def test_what_is_set_aside_while_it_is_read_is_read_too(traces: Path) -> None:
    """As by a report on a session that goes on, quicker than it can be read."""
    written(traces, LINES[:20])
    reading = segments.lines(traces)
    first = next(reading)
    written(traces, LINES[20:])
    assert [first, *reading] == [line + b"\n" for line in LINES]


@pytest.mark.usefixtures("at_once")
def test_what_is_set_aside_is_compressed_and_the_newest_lines_stay_plain(traces: Path) -> None:
    written(traces, LINES)
    names = sorted(path.name for path in traces.parent.iterdir())
    assert names[:2] == ["traces-0001.jsonl.gz", "traces-0002.jsonl.gz"]
    assert "traces.jsonl" in names
    assert {run_folder.is_ours(name) for name in names} == {True}
    assert traces.stat().st_size < 400


@pytest.mark.usefixtures("at_once")
def test_a_compressed_part_is_what_the_plain_one_was(traces: Path) -> None:
    """A collector that has read the plain one knows it again, and goes on where it was."""
    written(traces, LINES)
    packed = b"".join(gzip.decompress(part.read_bytes()) for part in segments.parts(traces)[:-1])
    assert packed + traces.read_bytes() == b"".join(line + b"\n" for line in LINES)


def test_appending_goes_on_where_another_process_left_off(traces: Path) -> None:
    written(traces, LINES[:25])
    written(traces, LINES[25:])
    assert read(traces) == LINES


def test_more_parts_than_four_digits_are_read_in_order(traces: Path) -> None:
    for number in (9_999, 10_000, 2):
        part = traces.with_name(run_folder.part_name(traces.name, number))
        part.write_bytes(b"%d\n" % number)
    traces.write_bytes(b"newest\n")
    assert read(traces) == [b"2", b"9999", b"10000", b"newest"]


@pytest.mark.usefixtures("at_once")
def test_a_part_that_is_there_twice_is_read_once(traces: Path) -> None:
    written(traces, LINES)
    packed = segments.parts(traces)[0]
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    assert read(traces) == LINES


@pytest.mark.usefixtures("at_once")
def test_a_damaged_part_costs_itself_and_is_named(traces: Path) -> None:
    written(traces, LINES)
    first, second, *_ = segments.parts(traces)
    in_second = len(gzip.decompress(second.read_bytes()).splitlines())
    second.write_bytes(second.read_bytes()[:30])
    found: list[bytes] = []
    with pytest.raises(OSError, match=r"damaged"):
        found.extend(segments.lines(traces))
    assert found[0].rstrip() == LINES[0]
    assert found[-1].rstrip() == LINES[-1]
    assert len(LINES) - in_second <= len(found) < len(LINES)
    assert first.exists()


def test_what_is_no_gzip_at_all_costs_itself(traces: Path) -> None:
    traces.with_name("traces-0001.jsonl.gz").write_bytes(b"not compressed\n")
    traces.write_bytes(b"newest\n")
    found = segments.lines(traces)
    assert next(found) == b"newest\n"
    with pytest.raises(OSError, match="gzip"):
        next(found)


@pytest.mark.usefixtures("at_once")
def test_no_more_is_read_than_was_asked_for(traces: Path) -> None:
    """A few compressed bytes may be any number of lines."""
    traces.with_name("traces-0001.jsonl.gz").write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(OSError, match="bytes were read"):
        list(segments.lines(traces, most=1 << 20))


def test_a_link_in_the_place_of_a_part_is_not_followed(traces: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret\n")
    traces.with_name("traces-0001.jsonl").symlink_to(secret)
    with pytest.raises(OSError, match=r"\w"):
        list(segments.lines(traces))


def test_without_a_file_there_is_nothing_to_read(traces: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(segments.lines(traces))


@pytest.mark.usefixtures("at_once")
def test_who_asked_is_told_once_a_part_is_safe(traces: Path) -> None:
    """All that was set aside is compressed by then."""
    seen = []

    def look() -> None:
        seen.append([segments._is_packed(part) for part in segments.parts(traces)[:-1]])

    file = SegmentedFile(traces, look)
    for line in LINES:
        file.append(line)
    assert seen
    assert all(all(packed) for packed in seen)


def test_what_a_dead_process_had_set_aside_is_compressed_later(traces: Path) -> None:
    traces.write_bytes(b"1\n")
    segments.set_aside(traces)
    traces.write_bytes(b"2\n")
    leftover = traces.with_name(".traces-0001.jsonl.gz.0a1b2c3d4e5f")
    leftover.write_bytes(b"half")
    foreign = traces.with_name(".swp")
    foreign.write_bytes(b"somebody's")
    segments.tidy(traces.parent)
    assert sorted(path.name for path in traces.parent.iterdir()) == [
        ".swp",
        "traces-0001.jsonl.gz",
        "traces.jsonl",
    ]
    assert read(traces) == [b"1", b"2"]


def crash_at(monkeypatch: pytest.MonkeyPatch, step: str, at: int) -> None:
    """Have the `at`-th call of a step crash before or after it is done, and all that follow."""
    real, calls = getattr(os, step), 0

    def crash(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < at:
            return real(*args, **kwargs)
        if at % 2 and calls == at:
            real(*args, **kwargs)
        raise Crash

    monkeypatch.setattr(os, step, crash)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("at", range(1, 13))
@pytest.mark.parametrize("step", STEPS)
def test_whatever_step_is_the_last_every_written_line_is_read_once(
    traces: Path, monkeypatch: pytest.MonkeyPatch, step: str, at: int
) -> None:
    """Of each kind of step the first ones are cut off before they are done, and after."""
    file, done = SegmentedFile(traces), 0
    with monkeypatch.context() as patched:
        crash_at(patched, step, at)
        try:
            for line in LINES:
                file.append(line)
                done += 1
        except Crash:
            pass
    found = read(traces)
    # The line itself may have been written by the step that was the last.
    assert found in (LINES[:done], LINES[: done + 1])
    segments.tidy(traces.parent)
    assert read(traces) == found
    written(traces, LINES[len(found) :])
    assert read(traces) == LINES


@pytest.mark.usefixtures("at_once")
def test_a_disk_that_takes_no_new_file_costs_nothing_but_room(
    traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(files, "replace", full)
        written(traces, LINES)
        assert not any(map(segments._is_packed, segments.parts(traces)))
    assert read(traces) == LINES


def test_threads_that_write_at_once_lose_nothing(traces: Path) -> None:
    file = SegmentedFile(traces)

    def write(own: int) -> None:
        for number in range(50):
            file.append(b"%d %d" % (own, number))

    threads = [threading.Thread(target=write, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    assert sorted(read(traces)) == sorted(
        b"%d %d" % (own, number) for own in range(4) for number in range(50)
    )


@pytest.mark.parametrize(
    "name",
    ["traces-1.jsonl", "traces-00001.jsonl", "journal-0001.jsonl", "traces-0001.json",
     "-0001.jsonl", "traces-0001.jsonl.gz.gz", "traces-\u0661\u0661\u0661\u0661.jsonl",
     "run-0001.jsonl"],
)  # fmt: skip
def test_what_is_called_otherwise_is_no_part(name: str) -> None:
    assert run_folder.part_number(name) is None
    assert not run_folder.is_ours(name)
