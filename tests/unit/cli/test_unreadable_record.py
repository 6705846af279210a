"""A run's record that cannot be read, as seen by the commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from otel_untether.cli import main
from otel_untether.store.housekeeping import mend
from otel_untether.store.record import StoreError, has_ended, load_run
from otel_untether.store.runs import Store
from tests.support.runs_on_disk import end, line, run_on_disk, start

if TYPE_CHECKING:
    from pathlib import Path

ROOT = "00000000000000a0"
DAMAGED = {
    "a byte too many": lambda text: "{" + text,
    "a byte changed": lambda text: text.replace("started", "startec"),
    "a time beyond 64 bits": lambda text: text.replace('"started":1', f'"started":{2**64}'),
    "text after it": lambda text: text + "}",
}


@pytest.fixture(params=DAMAGED)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run that is over, with a record that no more can be read."""
    folder = run_on_disk(tmp_path, traces=[line(ROOT)], journal=[start(ROOT), end(ROOT)])
    record = folder / "run.json"
    record.write_text(DAMAGED[request.param](record.read_text()))
    return folder


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands look there, and somebody listen for what is sent."""
    monkeypatch.setenv("OTEL_UNTETHER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")


def test_it_is_made_anew(damaged: Path) -> None:
    """Though what is left of it reads as if the run had ended: it says nothing."""
    with pytest.raises(StoreError):
        load_run(damaged)
    assert not has_ended(damaged)
    mend(Store(damaged.parents[1]))
    record = load_run(damaged).record
    assert (record.run_id, record.ended, record.started > 10**18) == ("5f0c", 7, True)


@pytest.mark.parametrize("name", [(), ("5f0c",), ("20261122T2056",)])
def test_its_spans_are_reported(
    damaged: Path,
    name: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With what is wrong with the record, where it cannot be written anew."""
    older = run_on_disk(damaged.parents[1] / "older", traces=[line(ROOT)], journal=[])
    older = older.rename(damaged.with_name("20251122T205630.123456Z-5f0d"))
    record = older / "run.json"
    record.write_text(record.read_text().replace("5f0c", "5f0d"))
    os.utime(record, (1, 1))
    monkeypatch.setattr("otel_untether.store.recovery.recover", lambda _: 0)
    assert main(["report", *name]) == 0
    out, err = capsys.readouterr()
    assert f"span {ROOT}" in out
    assert "not a RunRecord" in out + err


def test_who_is_not_looked_at_may_have_something_left(
    damaged: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 for a record that cannot be made anew, too."""
    monkeypatch.setattr("otel_untether.store.housekeeping.recover", lambda _: 0)
    assert main(["resend"]) == 1
    out, err = capsys.readouterr()
    assert out == "0 sent, 0 left, in 0 runs\n"
    assert f"{damaged}/run.json: not a RunRecord" in err
