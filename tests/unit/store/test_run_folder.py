"""The folder of one run: names, the first record, and its going."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_untether
from otel_untether.export.propagation import RootContext
from otel_untether.store import run_folder
from otel_untether.store.beginning import begin
from otel_untether.store.files import LineFile
from otel_untether.store.record import RunRecord, load_run
from otel_untether.store.run_folder import create, folder_name, is_folder_name, remove

SECOND = 10**9
STARTED = 1_795_381_598_123_456_789


def test_folder_names_sort_by_time() -> None:
    names = [folder_name(STARTED + offset, "ffff") for offset in (0, 1000, SECOND, 400 * SECOND)]
    assert names[0] == "20261122T210638.123456Z-ffff"
    assert names == sorted(names)


@given(st.integers(0, 2**63 - 1))
def test_every_moment_makes_a_folder_name_that_is_recognised(started: int) -> None:
    assert is_folder_name(folder_name(started, "5f0c"))


@pytest.mark.parametrize(
    "name",
    ["", "notes", "20261122T210638.123456Z-", "20261122T210638.123456Z-../x", "2026-5f0c",
     "20261122T210638.123456Z-5F0C", "²0261122T210638.123456Z-5f0c"],
)  # fmt: skip
def test_other_folders_are_not_taken_for_runs(name: str) -> None:
    assert not is_folder_name(name)


@given(st.text(max_size=40) | st.sampled_from(['a"b\\c', "\x00\x1f\x7f", "\ud800", "😀é\u202e"]))
def test_the_first_record_is_what_a_reader_expects_whatever_the_command_is_called(
    command: str,
) -> None:
    text = run_folder._object({"run_id": "5f0c", "started": STARTED, "command": command})
    record = msgspec.json.decode(text.encode(), type=RunRecord)
    assert record.command == command.encode("utf-8", "replace").decode()
    assert json.loads(text)["command"] == record.command


def test_a_run_s_folder_is_made_with_all_that_is_known_at_the_start(tmp_path: Path) -> None:
    path, _ = create(
        tmp_path / "new" / "state",
        run_id="5f0c",
        started=STARTED,
        engine="claude",
        command="claude",
        trace_id=0xABC,
        watcher={"pid": 7, "started": "123", "boot": "b", "namespace": "pid:[1]"},
    )
    record = load_run(Path(path)).record
    assert (record.run_id, record.engine, record.command) == ("5f0c", "claude", "claude")
    assert record.trace_id == "0" * 29 + "abc"
    assert record.watcher is not None
    assert (record.watcher.pid, record.watcher.namespace) == (7, "pid:[1]")


def test_only_files_of_ours_go_and_the_record_stays_with_what_is_left(tmp_path: Path) -> None:
    path = Path(create(tmp_path, run_id="5f0c", started=STARTED)[0])
    for name in (run_folder.TRACES, run_folder.stall_dump(5), ".run.json.0a1b2c", "thesis.tex"):
        (path / name).write_text("x")
    (path / "sub").mkdir()
    assert not remove(path)
    assert sorted(entry.name for entry in path.iterdir()) == ["sub", "thesis.tex"]
    (path / "sub").rmdir()
    (path / "thesis.tex").unlink()
    assert remove(path)
    assert not path.exists()


def test_a_link_in_a_run_s_folder_goes_and_what_it_points_to_stays(tmp_path: Path) -> None:
    path = Path(create(tmp_path / "state", run_id="5f0c", started=STARTED)[0])
    precious = tmp_path / "precious"
    precious.write_text("x")
    (path / run_folder.TRACES).symlink_to(precious)
    assert remove(path)
    assert precious.read_text() == "x"


def test_a_link_to_a_folder_is_not_a_run(tmp_path: Path) -> None:
    path = Path(create(tmp_path / "state", run_id="5f0c", started=STARTED)[0])
    link = tmp_path / "link"
    link.symlink_to(path)
    assert not remove(link)
    assert (path / run_folder.RECORD).exists()


def test_every_file_name_of_a_run_is_spelled_in_one_place() -> None:
    """In code; a docstring may name them."""
    names = "|".join(re.escape(name) for name in run_folder.NAMES - {".lock"})
    spelled = re.compile(rf"""(?<!`)["']({names}|stall-)["']""")
    package = Path(otel_untether.__file__).parent
    found = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if spelled.search(path.read_text("utf-8"))
    }
    assert found == {"store/run_folder.py"}


def test_making_the_folder_imports_nothing_slow() -> None:
    """It is made before the agent is spawned."""
    code = (
        "import sys; before = set(sys.modules);"
        "from otel_untether.store import process_stat, run_folder;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = [name for name in done.stdout.split() if not name.startswith("otel_untether")]
    assert set(others) <= {"__future__", "errno", "time", "stat", "_stat"}


def test_a_folder_that_takes_no_record_is_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `ulimit -f 0`: it would be a run that nobody can read, and nobody's to delete."""

    def full(path: str, _content: bytes) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)

    monkeypatch.setattr(run_folder, "replace", full)
    with pytest.raises(OSError, match="too large"):
        create(tmp_path, run_id="5f0c", started=STARTED)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_run_whose_root_could_not_be_noted_is_gone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: LineFile, _line: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LineFile, "append", full)
    root = RootContext(trace_id=1, span_id=2)
    with pytest.raises(OSError, match="No space"):
        begin(str(tmp_path), started=STARTED, command="claude", engine="claude", root=root)
    assert list((tmp_path / "runs").iterdir()) == []
