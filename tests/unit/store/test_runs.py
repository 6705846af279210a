"""The runs on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.config.settings import TelemetryConfig
from otel_untether.store import housekeeping, retention, run_folder, runs
from otel_untether.store.beginning import state_path
from otel_untether.store.housekeeping import told
from otel_untether.store.process_identity import ProcessIdentity, identify, is_running
from otel_untether.store.record import RunRecord, has_ended
from otel_untether.store.runs import (
    Run,
    RunIdentity,
    SessionOutcome,
    Store,
    StoreError,
    load_run,
    new_run_id,
    state_dir,
)

SECOND = 10**9
NOW = 1_795_381_598 * SECOND
GONE = ProcessIdentity(pid=1, started="never", boot="another", namespace="none")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty state directory that does not exist yet."""
    return Store(tmp_path / "state")


def ended_run(store: Store, started: int = NOW, **changes: object) -> Run:
    """Make a run that is over."""
    run = store.create_run(RunIdentity(new_run_id(), "claude"), started=started)
    assert run.update(**{"ended": started + SECOND, "watcher": GONE, **changes})
    run.release()
    return run


def age(run: Run, when: int) -> None:
    """Make everything in a run's folder as old as that."""
    for path in (*run.path.iterdir(), run.path):
        os.utime(path, (when / 1e9, when / 1e9))


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_UNTETHER_STATE_DIR": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/otel-untether"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/otel-untether"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/otel-untether"),
        ({"HOME": "~"}, "/.local/state/otel-untether"),
    ],
)
def test_the_state_directory_is_where_xdg_says(environ: dict[str, str], expected: str) -> None:
    """Our own variable first, then XDG's, then its default."""
    assert state_dir(environ) == Path(expected)
    assert state_path(None, environ) == expected


def test_a_run_is_kept_and_read_back(store: Store) -> None:
    """What is known at the start is in run.json, and what is learned later too."""
    run = store.create_run(
        RunIdentity("5f0c", "claude"), started=NOW, command="/usr/bin/claude", trace_id=0xABC
    )
    assert run.path.name == "20261122T210638.000000Z-5f0c"
    assert run.update(session_id="s1", exit_code=0)
    read = load_run(run.path).record
    assert read == run.record
    assert (read.command, read.trace_id, read.session_id) == ("claude", f"{0xABC:032x}", "s1")


def test_everything_is_for_its_user_only(store: Store) -> None:
    """Folders 0700, files 0600, whatever the umask."""
    before = os.umask(0)
    try:
        run = store.create_run(RunIdentity("5f0c"), started=NOW)
    finally:
        os.umask(before)
    for folder in (store.root, store.runs_dir, run.path):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (run.path / "run.json").stat().st_mode & 0o777 == 0o600


def test_runs_are_listed_newest_first(store: Store) -> None:
    """By when they started, not by when they were made."""
    for offset in (1, 3, 2):
        store.create_run(RunIdentity(f"run{offset}"), started=NOW + offset * SECOND)
    listed = [run.record.run_id for run in store.list_runs().runs]
    assert listed == ["run3", "run2", "run1"]


def test_the_newest_is_the_one_recorded_last(store: Store) -> None:
    """A replay of last week's session is what its user wants to see now."""
    today = store.create_run(RunIdentity("today"), started=NOW)
    os.utime(today.path / ".lock", (1, 1))
    store.create_run(RunIdentity("replayed"), started=NOW - 7 * 86_400 * SECOND)
    today.update(ended=NOW + SECOND)  # by whoever came later and found that its watcher had died
    newest = store.newest()
    assert newest is not None
    assert newest.name.endswith("-replayed")


def test_an_empty_store_has_no_runs(store: Store) -> None:
    """No directory is not an error, and is not made by looking."""
    assert store.list_runs() == store.list_runs()
    assert (store.list_runs().runs, store.newest()) == ((), None)
    assert not store.root.exists()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"run_id": 1}', b"\xff\x00"])
def test_a_bad_folder_is_skipped_and_named(store: Store, content: bytes | None) -> None:
    """One unreadable run hides no other."""
    good = store.create_run(RunIdentity("good"), started=NOW)
    bad = store.runs_dir / "20991231T000000.000000Z-bad"
    bad.mkdir()
    if content is not None:
        (bad / "run.json").write_bytes(content)
    listing = store.list_runs()
    assert [run.path for run in listing.runs] == [good.path]
    assert len(listing.problems) == 1
    assert str(bad) in listing.problems[0]
    assert store.newest() == good.path


def test_what_is_no_run_folder_is_not_looked_at(store: Store) -> None:
    """Files, links and other people's folders."""
    store.create_run(RunIdentity("good"), started=NOW)
    (store.runs_dir / "notes.txt").write_text("")
    (store.runs_dir / "other").mkdir()
    (store.runs_dir / "20991231T000000.000000Z-link").symlink_to(store.root)
    assert store.list_runs().problems == ()
    assert len(store.list_runs().runs) == 1


def test_a_run_is_found_by_the_start_of_an_id(store: Store) -> None:
    """Run id, trace id or folder name."""
    run = store.create_run(RunIdentity("5f0c11"), started=NOW, trace_id=0xABC << 116)
    for prefix in ("5f0", "5f0c11", "abc", "20261122T21"):
        assert store.find(prefix).path == run.path


def test_none_and_several_are_told_apart(store: Store) -> None:
    """The message names the prefix and, where there are several, some of them."""
    for name in ("5f0c11", "5f0c22"):
        store.create_run(RunIdentity(name), started=NOW)
    with pytest.raises(StoreError, match=r"5f0c11, 5f0c22|5f0c22, 5f0c11"):
        store.find("5f0c")
    with pytest.raises(StoreError, match=r"no run .* 'zz'"):
        store.find("zz")


@pytest.mark.parametrize("place", ["{tmp}/file", "{tmp}/file/below", "/dev/null/x", "/proc/x"])
def test_an_unwritable_place_is_a_clear_error(tmp_path: Path, place: str) -> None:
    """It names the folder; these four are closed to root, too."""
    (tmp_path / "file").write_text("")
    root = Path(place.format(tmp=tmp_path))
    with pytest.raises(StoreError, match=str(root)):
        Store(root).create_run(RunIdentity("5f0c"), started=NOW)


def test_a_record_that_cannot_be_written_is_still_known(store: Store) -> None:
    """The folder is gone, the watch goes on."""
    run = store.create_run(RunIdentity("5f0c"), started=NOW)
    shutil.rmtree(run.path)
    assert not run.update(session_id="s1")
    assert run.record.session_id == "s1"


def test_names_that_are_not_unicode_break_nothing(store: Store) -> None:
    """A file name is bytes; what Python makes of odd ones cannot be written as JSON."""
    run = store.create_run(RunIdentity("5f0c"), started=NOW, command="/bin/ag\udcffent")
    assert load_run(run.path).record.command == "ag?ent"
    assert not run.update(session_id="\udcff")
    odd = SessionOutcome(engine="c", session_id="\udcff", outcome="killed", at=NOW)
    assert not store.remember_outcome(odd)


def test_readers_see_the_old_record_or_the_new_one(store: Store) -> None:
    """A replacement leaves no other file behind."""
    run = store.create_run(RunIdentity("5f0c"), started=NOW)
    for code in range(20):
        run.update(exit_code=code)
    assert {path.name for path in run.path.iterdir()} == {".lock", "run.json"}


def test_old_runs_are_deleted(store: Store) -> None:
    """By the last change of anything in them."""
    old, new = ended_run(store), ended_run(store, NOW + SECOND)
    age(old, NOW - 100 * SECOND)
    age(new, NOW)
    assert store.prune(NOW, max_age=50).folders == [old.path]
    assert new.path.exists()


def test_too_many_runs_lose_the_oldest(store: Store) -> None:
    """The newest `max_count` stay."""
    runs = [ended_run(store, NOW + number * SECOND) for number in range(5)]
    deleted = store.prune(time.time_ns(), max_count=2).folders
    assert sorted(deleted) == [run.path for run in runs[:3]]


def test_which_runs_may_go_is_looked_at_once_a_minute_unless_somebody_chose(store: Store) -> None:
    now = time.time_ns()

    def after(seconds: int, keep_runs: int = 200) -> int:
        """Tidy up with an old run there; return how many are left."""
        age(ended_run(store), now - 30 * 86_400 * SECOND)
        kept = TelemetryConfig(keep_runs=keep_runs)
        housekeeping.tidy(store, kept, now + seconds * SECOND)
        return len(store.folders())

    assert after(0) == 0
    assert after(59) == 1
    assert after(59, keep_runs=100) == 0
    assert after(59) == 1
    assert after(61) == 0


def test_a_clock_that_was_set_back_keeps_nobody_from_looking(store: Store) -> None:
    ended_run(store)
    assert store.is_prune_due(NOW)
    assert store.is_prune_due(NOW - SECOND)
    assert not store.is_prune_due(NOW)


def test_where_it_cannot_be_noted_that_somebody_looked_he_looks(store: Store) -> None:
    assert store.is_prune_due(NOW)
    assert store.is_prune_due(NOW)
    assert not store.root.exists()


def test_nothing_is_noted_where_somebody_else_could_change_what_is_there(store: Store) -> None:
    ended_run(store)
    store.runs_dir.chmod(0o777)
    assert store.is_prune_due(NOW)
    assert {path.name for path in store.root.iterdir()} == {"runs"}


def test_what_is_over_is_looked_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    over, open_ = ended_run(store), ended_run(store, NOW + SECOND, ended=None)
    looked: list[Path] = []

    def look(path: Path) -> bool:
        looked.append(path)
        return path == over.path

    monkeypatch.setattr(runs, "has_ended", look)
    assert store.open_folders() == store.open_folders() == [open_.path]
    assert looked == [open_.path, over.path, open_.path]


@pytest.mark.parametrize(("chosen", "left"), [(200, 205), (199, 199)])
def test_many_runs_of_the_last_hour_are_there_when_somebody_looks(
    store: Store, chosen: int, left: int
) -> None:
    """Unless somebody said how many there may be."""
    now = time.time_ns()
    for number in range(210):
        run = ended_run(store, NOW + number * SECOND)
        if number < 5:
            age(run, now - 3700 * SECOND)
    housekeeping.tidy(store, TelemetryConfig(keep_runs=chosen), now)
    assert len(store.folders()) == left


def test_so_many_runs_that_each_would_be_held_up_are_not_kept_for_being_fresh(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_MOST_FRESH", 3)
    runs = [ended_run(store, NOW + number * SECOND) for number in range(5)]
    deleted = store.prune(time.time_ns(), max_count=2, fresh=3600).folders
    assert sorted(deleted) == [run.path for run in runs[:2]]


def test_too_many_bytes_lose_the_oldest(store: Store) -> None:
    """Sizes are summed from the newest on."""
    runs = [ended_run(store, NOW + number * SECOND) for number in range(3)]
    for run in runs:
        (run.path / "traces.jsonl").write_bytes(b"x" * 10_000)
    assert store.prune(time.time_ns(), max_bytes=25_000).folders == [runs[0].path]


def test_a_running_run_is_never_deleted(store: Store) -> None:
    """However old, however many."""
    run = store.create_run(RunIdentity("5f0c"), started=NOW)
    age(run, NOW - 10**6 * SECOND)
    assert store.prune(NOW, max_age=0, max_count=0, max_bytes=0).folders == []
    assert run.running


def test_a_run_that_is_just_being_made_is_not_deleted(store: Store) -> None:
    """A fresh folder without a record may be about to get one."""
    store.create_run(RunIdentity("5f0c"), started=NOW)
    fresh = store.runs_dir / "20200101T000000.000000Z-fresh"
    fresh.mkdir()
    assert store.prune(time.time_ns(), max_count=0).folders == []
    assert fresh.exists()


def test_old_session_outcomes_are_forgotten(store: Store) -> None:
    """With the runs they belong to."""
    store.remember_outcome(
        SessionOutcome(engine="claude", session_id="s", outcome="killed", at=NOW)
    )
    store.prune(time.time_ns() + 100 * SECOND, max_age=50)
    assert store.last_outcome("claude", "s") is None


def test_how_a_session_last_ended_is_remembered(store: Store) -> None:
    """The last one counts; another engine's session of that id is another."""
    for outcome in ("killed", "completed"):
        assert store.remember_outcome(
            SessionOutcome(
                engine="claude", session_id="s/../1", outcome=outcome, at=NOW, cost_usd=0.5
            )
        )
    found = store.last_outcome("claude", "s/../1")
    assert found is not None
    assert (found.outcome, found.cost_usd) == ("completed", 0.5)
    assert store.last_outcome("codex", "s/../1") is None


@given(st.text(max_size=300))
def test_any_session_id_is_a_key(session_id: str) -> None:
    """An id comes out of the agent's stream and never becomes a path."""
    path = Store(Path("/s"))._sessions._path("claude", session_id)
    assert path.parent == Path("/s/sessions")
    assert len(path.name) == 37


def test_a_spoiled_outcome_is_unknown(store: Store) -> None:
    """Not an error: the run goes on as if nothing were known."""
    store.remember_outcome(SessionOutcome(engine="c", session_id="s", outcome="killed", at=NOW))
    next((store.root / "sessions").iterdir()).write_bytes(b"{")
    assert store.last_outcome("c", "s") is None


def test_unknown_fields_of_a_newer_version_are_skipped(store: Store) -> None:
    """Two versions may share a state directory."""
    run = store.create_run(RunIdentity("5f0c"), started=NOW)
    record = msgspec.json.decode((run.path / "run.json").read_bytes())
    (run.path / "run.json").write_bytes(msgspec.json.encode(record | {"later": [1]}))
    assert load_run(run.path).record == run.record


def test_this_process_is_recognised() -> None:
    """By pid and start time; a changed start time is another process."""
    me = identify(os.getpid())
    assert me is not None
    assert is_running(me)
    assert not is_running(msgspec.structs.replace(me, started="0"))


def test_a_process_of_an_earlier_boot_is_gone() -> None:
    """Whatever has its pid now."""
    me = identify(os.getpid())
    assert me is not None
    assert is_running(msgspec.structs.replace(me, boot="another")) is False


@pytest.mark.skipif(sys.platform != "linux", reason="pid namespaces are Linux's")
def test_a_process_of_another_pid_namespace_is_unknown() -> None:
    """Its pid says nothing here."""
    me = identify(os.getpid())
    assert me is not None
    other = msgspec.structs.replace(me, namespace="pid:[1]")
    assert is_running(other) is None


def test_a_process_that_ended_is_gone_before_it_is_waited_for() -> None:
    """A zombie watches nothing."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = identify(process.pid)
    assert identity is not None
    assert is_running(identity)
    process.kill()
    until = time.monotonic() + 5
    while is_running(identity) and time.monotonic() < until:
        time.sleep(0.01)
    assert is_running(identity) is False
    process.communicate()
    assert is_running(identity) is False
    assert identify(process.pid) is None


def test_runs_that_no_collector_has_had_go_last(store: Store) -> None:
    """A newer run that was delivered goes before an older one that was not."""
    runs = [ended_run(store, NOW + number * SECOND) for number in range(14)]
    for waiting in runs[:2]:
        (waiting.path / run_folder.UNDELIVERED).touch()
    pruned = store.prune(time.time_ns(), max_count=12)
    assert set(pruned.folders) == {runs[2].path, runs[3].path}
    assert pruned.undelivered == 0


def test_what_goes_undelivered_is_counted(store: Store) -> None:
    """In runs, and in the spans that are nowhere then."""
    runs = [ended_run(store, NOW + number * SECOND) for number in range(3)]
    (runs[0].path / run_folder.UNDELIVERED).touch()
    span = (
        '{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"%s","endTimeUnixNano":"1"}]}]}]}\n'
    )
    (runs[0].path / run_folder.TRACES).write_text(span % "a" + span % "b" + span % "c")
    (runs[0].path / run_folder.DELIVERED).write_text("traces a\nlogs 1.2.a\n")
    pruned = store.prune(time.time_ns(), max_count=2)
    assert (pruned.folders, pruned.undelivered, pruned.spans) == ([runs[0].path], 1, 2)
    kept = TelemetryConfig()
    assert "1 run is deleted" in (told(pruned, kept) or "")
    assert told(store.prune(time.time_ns(), max_count=1), kept) is None


def test_where_nobody_can_be_told_what_goes_undelivered_stays(store: Store) -> None:
    runs = [ended_run(store, NOW + number * SECOND) for number in range(3)]
    (runs[0].path / run_folder.UNDELIVERED).touch()
    pruned = store.prune(time.time_ns(), max_count=1, may_forget=lambda: False)
    assert pruned.folders == [runs[1].path]


def test_what_stays_as_nobody_can_be_told_is_noted_for_who_can(store: Store) -> None:
    """A run that is shorter than a look at all others cannot; the next one takes its time."""
    runs = [ended_run(store, NOW + number * SECOND) for number in range(3)]
    for run in runs:
        (run.path / run_folder.UNDELIVERED).touch()
    kept = TelemetryConfig(keep_runs=1)
    assert not store.is_overdue()
    assert housekeeping.tidy(store, kept, time.time_ns(), lambda: False).held_back == 2
    assert store.is_overdue()
    assert len(housekeeping.tidy(store, kept, time.time_ns()).folders) == 2
    assert not store.is_overdue()


@given(
    ended=st.none() | st.integers(0, 2**62),
    command=st.none() | st.sampled_from(['"ended":', '"ended":1}', "ended", "claude"]),
    torn=st.booleans(),
)
def test_whether_a_run_has_ended_is_told_at_a_glance(
    ended: int | None,
    command: str | None,
    torn: bool,  # noqa: FBT001
) -> None:
    """What is torn may not have ended: whoever looks closer finds out."""
    record = RunRecord(run_id="5f0c", started=NOW, ended=ended, command=command, outcome="x")
    with TemporaryDirectory() as folder:
        text = msgspec.json.encode(record)
        Path(folder, run_folder.RECORD).write_bytes(text[:-1] if torn else text)
        assert has_ended(Path(folder)) == (ended is not None and not torn)


@pytest.mark.parametrize("made", ["nothing", "folder", "link", "fifo", "null"])
def test_what_is_no_record_says_of_no_run_that_it_has_ended(tmp_path: Path, made: str) -> None:
    place = tmp_path / run_folder.RECORD
    if made == "folder":
        place.mkdir()
    elif made == "link":
        (tmp_path / "other").write_bytes(b'{"run_id":"5f0c","started":1,"ended":2}')
        place.symlink_to("other")
    elif made == "fifo":
        os.mkfifo(place)
    elif made == "null":
        place.write_bytes(b'{"run_id":"5f0c","started":1,"ended":null}')
    assert not has_ended(tmp_path)


def test_of_a_session_only_what_others_left_open_is_mended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the run that asks is its own, and not waited for."""
    mended: list[str] = []
    monkeypatch.setattr(
        housekeeping, "recover", lambda path: mended.append(load_run(path).record.run_id)
    )
    for run_id, session, ended in (
        ("a", "s", None),
        ("b", "s", NOW),
        ("c", "t", None),
        ("d", "s", None),
    ):
        run = store.create_run(RunIdentity(run_id, "claude"), started=NOW)
        run.update(session_id=session, ended=ended)
        run.release()
    housekeeping.mend_session(store, "s", "d")
    assert mended == ["a"]


def test_whoever_tidies_waits_for_nobody_who_watches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two hundred runs at once each would wait for all the others, himself included."""
    watched, left = (
        store.create_run(RunIdentity(run_id, "claude"), started=NOW) for run_id in ("a", "b")
    )
    left.release()
    mended: list[Path] = []
    monkeypatch.setattr(housekeeping, "recover", mended.append)
    housekeeping.mend(store)
    assert mended == [left.path]
    watched.release()
