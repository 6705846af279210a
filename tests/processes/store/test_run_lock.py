"""The lock of a run's folder, held by real processes that really die."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_untether.store import run_lock
from otel_untether.store.runs import RunIdentity, Store, load_run
from tests.support import processes

HOLDER = """
import sys, time
from otel_untether.store import run_lock
lock = run_lock.acquire(sys.argv[1])
print("held" if lock else "taken", flush=True)
{then}
"""
ASKER = """
import sys
from otel_untether.store import run_lock
print(flush=True)
while True:
    run_lock.is_held(sys.argv[1])
"""
WAIT = "time.sleep(60)"
# What is forked shares the open file; the parent is gone at once.
FORK = "import os\nif os.fork() == 0: time.sleep(60)\nelse: os._exit(0)"
# What is executed does not.
EXEC = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True)"


def holder(folder: Path, then: str = WAIT, *prefix: str) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a folder; return when it does."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLDER.format(then=then), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    """End a process without a chance to tidy up."""
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def test_a_lock_is_held_while_its_process_lives_and_free_once_it_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no trace but the kernel's."""
    process = holder(tmp_path)
    assert run_lock.is_held(tmp_path) is True
    assert run_lock.acquire(tmp_path) is None
    kill(process)
    assert run_lock.is_held(tmp_path) is False


def test_nobody_holds_what_was_never_locked(tmp_path: Path) -> None:
    """And asking makes no file."""
    assert run_lock.is_held(tmp_path) is False
    assert list(tmp_path.iterdir()) == []


def test_a_fork_holds_it_on(tmp_path: Path) -> None:
    """Of a relay and its observer either may die."""
    parent = holder(tmp_path, FORK)
    parent.wait()
    assert run_lock.is_held(tmp_path) is True
    assert parent.stdout
    # The child that sleeps is the only one left with that pipe.
    (child,) = children_in(tmp_path)
    os.kill(child, signal.SIGKILL)
    parent.communicate()
    assert run_lock.is_held(tmp_path) is False


def children_in(folder: Path) -> list[int]:
    """Return the processes whose command line names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.fsencode(folder) in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def test_an_agent_does_not_hold_it(tmp_path: Path) -> None:
    """What a watcher executed outlives it, but not its lock."""
    watcher = holder(tmp_path, EXEC)
    assert watcher.stdout
    agent = int(watcher.stdout.readline())
    watcher.wait()
    watcher.stdout.close()
    assert run_lock.is_held(tmp_path) is False
    os.kill(agent, signal.SIGKILL)


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is util-linux's")
def test_a_watcher_in_another_pid_namespace_is_told_from_a_dead_one(tmp_path: Path) -> None:
    """A container's run, seen from the host: running while it runs, dead when it is killed."""
    run = Store(tmp_path).create_run(RunIdentity("5f0c"), started=1)
    run.release()
    inside = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL")
    process = holder(run.path, WAIT, *inside)
    assert load_run(run.path).running
    kill(process)
    # Who is being killed has no command line any more, but still its files.
    processes.eventually(lambda: not children_in(run.path) and not load_run(run.path).running)


def test_a_watcher_of_another_boot_is_alive_while_it_holds_its_lock(tmp_path: Path) -> None:
    """Two machines may share a state directory."""
    run = Store(tmp_path).create_run(RunIdentity("5f0c"), started=1)
    assert run.record.watcher is not None
    elsewhere = {**{key: getattr(run.record.watcher, key) for key in ("pid", "started")}}
    run.update(watcher=type(run.record.watcher)(**elsewhere, boot="another machine's"))
    assert load_run(run.path).running
    run.release()
    assert not load_run(run.path).running


def test_asking_takes_the_lock_from_nobody(tmp_path: Path) -> None:
    """Who asks and who takes it at the same moment both get their answer."""
    asking = subprocess.Popen(
        [
            sys.executable,
            "-c",
            ASKER,
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout
    asking.stdout.readline()
    for _ in range(200):
        lock = run_lock.acquire(tmp_path)
        assert lock is not None
        lock.release()
    kill(asking)


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """It would make a file elsewhere."""
    (tmp_path / run_lock.LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"\.lock"):
        run_lock.acquire(tmp_path)
    assert run_lock.is_held(tmp_path) is None
    assert not (tmp_path / "elsewhere").exists()
