"""What a collector took while the disk had no room to say so."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from otel_untether.export import delivered, resend, unsent
from otel_untether.export.answers import Answer
from otel_untether.store import files
from otel_untether.store.record import RunRecord, load_run
from otel_untether.store.recovery import recover
from otel_untether.store.run_folder import UNDELIVERED, unnoted
from tests.support.runs_on_disk import line, run_on_disk, start

if TYPE_CHECKING:
    from pathlib import Path

ROOT, CHILD = "00000000000000a0", "00000000000000b0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that is over, with a root whose end could not be written."""
    return run_on_disk(tmp_path, traces=[line(CHILD, parent=ROOT)], journal=[start(ROOT)])


def to_send(folder: Path) -> list[str]:
    """Return the spans that a resend would send."""
    settled = delivered.read_delivered(folder).settled["traces"]
    return [key for batch in unsent.batches(folder, "traces", settled) for key in batch.keys]


def full(*_arguments: Any, **_keywords: Any) -> None:
    """Write nothing, as there is no room."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_it_is_noted_with_the_next_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then a file that takes no room says that something is missing."""
    answers = delivered.Notes(folder, "traces")
    with monkeypatch.context() as disk:
        disk.setattr(delivered, "append_line", full)
        answers.note(["a"], Answer())
        answers.note(["b"], Answer(None, 1))
    assert (folder / unnoted("traces")).exists()
    answers.note(["c"], Answer())
    assert (folder / "delivered").read_text() == "traces a\ntraces:refused b\ntraces c\n"
    assert not (folder / unnoted("traces")).exists()


def test_what_waits_for_room_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was forgotten is missing for good, and so the file stays."""
    answers = delivered.Notes(folder, "traces")
    with monkeypatch.context() as disk:
        disk.setattr(delivered, "append_line", full)
        for number in range(1000):
            answers.note([str(number)], Answer())
    answers.note()
    assert (folder / "delivered").read_text().count("\n") < 1000
    assert (folder / unnoted("traces")).exists()


def test_an_end_that_is_made_up_is_not_sent(folder: Path) -> None:
    """A collector that may have the true one must not get a second; what is whole is sent."""
    (folder / unnoted("traces")).touch()
    assert recover(folder) == 1
    assert to_send(folder) == [CHILD]
    outcome = resend.resend(load_run(folder), lambda _signal, _request: Answer())
    assert (outcome.sent, outcome.left) == (1, 0)
    (problem,) = outcome.problems
    assert "not sent, as a collector may have them: 1 span whose end" in problem


@pytest.mark.parametrize("mark", [True, False])
def test_of_a_run_that_was_taken_as_a_whole_no_end_is_sent(folder: Path, mark: bool) -> None:  # noqa: FBT001
    """Its `undelivered` is gone, which takes no room; with the mark what is whole stays, too."""
    (folder / UNDELIVERED).unlink()
    if mark:
        (folder / unnoted("traces")).touch()
    recover(folder)
    assert to_send(folder) == ([] if mark else [CHILD])


def test_without_a_doubt_it_is_sent(folder: Path) -> None:
    """No collector had anything: better an end that is made up than a trace without a root."""
    recover(folder)
    assert to_send(folder) == [CHILD, ROOT]


def test_a_span_whose_run_went_well_has_not_failed(folder: Path) -> None:
    """That its end could not be written is no error of its own."""
    recover(folder)
    *_, root = (folder / "traces.jsonl").read_text().splitlines()
    assert '"status":{"message":"the end of this span could not be written"}' in root
    assert "orphaned" not in root
    assert "completed" in root


def test_a_record_takes_the_room_of_the_one_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its end on the disk the run was a crashed one for whoever came next."""
    monkeypatch.setattr(files, "replace", full)
    run = load_run(folder)
    assert run.update(outcome="failed", model="of a longer name")
    assert run.update(model=None)
    assert load_run(folder).record == run.record
    assert not run.update(model="x" * 100_000)
    assert load_run(folder).record.model is None
    assert (folder / "run.json").read_bytes() == msgspec.json.encode(
        RunRecord(run_id="5f0c", started=1, ended=9, outcome="failed")
    )


def test_nothing_is_sent_that_could_not_be_noted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk each resend sent the same again."""
    recover(folder)
    before, sent = (folder / "delivered").read_bytes(), list[str]()
    write = os.write

    def torn(descriptor: int, data: bytes) -> int:
        return write(descriptor, data[:1])

    def send(signal: str, _request: Any) -> Answer:
        sent.append(signal)
        return Answer()

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", torn)
        outcome = resend.resend(load_run(folder), send)
    assert (outcome.sent, outcome.left, sent) == (0, 2, [])
    (problem,) = outcome.problems
    assert "not sent, as it could not be noted" in problem
    assert (folder / "delivered").read_bytes() == before
    assert resend.resend(load_run(folder), send).sent == 2
