"""Every command looks for runs where the settings keep them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_untether.store import run_folder, run_lock
from otel_untether.store.runs import RunIdentity, Store
from tests.support.processes import eventually

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "otel_untether"]


@pytest.fixture(params=["user's file", "named file", "variable"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[dict[str, str], list[str]]:
    """A place that says where runs are kept: environment and options."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
    text = f'[telemetry]\nstate_dir = "{tmp_path}/kept"\n'
    match request.param:
        case "variable":
            return environ | {"OTEL_UNTETHER_STATE_DIR": str(tmp_path / "kept")}, []
        case "named file":
            (tmp_path / "named.toml").write_text(text)
            return environ, ["--config", str(tmp_path / "named.toml")]
        case _:
            folder = tmp_path / "home" / ".config" / "otel-untether"
            folder.mkdir(parents=True)
            (folder / "otel-untether.toml").write_text(text)
            return environ, []


def test_what_run_kept_is_found_by_report_and_resend(
    tmp_path: Path, place: tuple[dict[str, str], list[str]]
) -> None:
    """Resend used to look elsewhere, and said that nothing was left."""
    environ, options = place
    environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
    environ["OTEL_UNTETHER_FINISH_TIMEOUT"] = "1"

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, arguments[0], *options, *arguments[1:]]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert start("run", "--exit-timeout", "1", "--", "true").returncode == 0
    (run,) = (tmp_path / "kept" / "runs").iterdir()
    assert run.name.rpartition("-")[2] in start("report", "--list").stdout
    # Its observer may still be at it, and have told nobody yet that something is left.
    eventually(lambda: ", in 1 run" in start("resend").stdout, timeout=90)


def test_where_all_runs_are_short_the_oldest_go_all_the_same(tmp_path: Path) -> None:
    """A run that is over before its predecessors are looked through goes on for so long."""
    store = Store(tmp_path)
    for number in range(250):
        old = store.create_run(RunIdentity(f"{number:016x}", "claude"), started=number + 1)
        old.update(ended=number + 2)
        old.release()
        for path in (*old.path.iterdir(), old.path):
            os.utime(path, (number, number))
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
    subprocess.run([*COMMAND, "run", "-q", "--", "true"], env=environ, check=True)
    eventually(lambda: len(store.folders()) == 1, timeout=90)


def test_a_short_run_deletes_nothing_without_a_word_that_no_collector_has_had(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    for number in range(40):
        old = store.create_run(RunIdentity(f"{number:016x}", "claude"), started=number + 1)
        old.update(ended=number + 2)
        (old.path / run_folder.UNDELIVERED).touch()
        old.release()
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(tmp_path)}
    environ["OTEL_UNTETHER_KEEP_RUNS"] = "40"
    command = [*COMMAND, "run", "-q", "--", "true"]
    gone = 0
    for _ in range(4):
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        gone += sum(map(int, re.findall(r"(\d+) runs? (?:is|are) deleted", done.stderr)))
        eventually(lambda: not any(map(run_lock.is_held, store.folders())), timeout=90)
    assert 40 + 4 - gone == len(store.folders())
