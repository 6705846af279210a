"""Where descriptors, memory or processes are short, what is left is the agent's."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes.proc_diag.test_deep_look import hung_mount

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PIDS = Path("/sys/fs/cgroup/pids")
AGENT = 'sh -c "echo out; exit 7"'


def happen(
    script: str, folder: Path, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a bash script in which `$X` is the command under test."""
    return subprocess.run(
        [*prefix, "bash", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "X": f"{sys.executable} -m otel_untether run -q --",
            "OTEL_UNTETHER_STATE_DIR": str(folder / "state"),
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def assert_as_bare(ended: subprocess.CompletedProcess[str]) -> None:
    """The agent's bytes and status, and of ours a line or a few at most."""
    assert (ended.stdout, ended.returncode) == ("out\n", 7), ended.stderr
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("sh: 0: getcwd")]
    assert all(line.startswith("otel-untether: ") for line in lines), ended.stderr
    assert len(lines) <= 3


@pytest.mark.parametrize("limit", [6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 20])
def test_few_descriptors(limit: int, tmp_path: Path) -> None:
    assert_as_bare(happen(f"ulimit -n {limit}; $X {AGENT}", tmp_path))


@pytest.mark.parametrize("limit", [5, 6, 7, 8])
def test_few_descriptors_for_the_installed_command(limit: int, tmp_path: Path) -> None:
    """It has imported less than `python -m` has by the time that there is nothing left to open."""
    code = "import sys; from otel_untether.cli import main; sys.exit(main())"
    command = shlex.join([sys.executable, "-c", code, "run", "-q", "--"])
    ended = happen(f"ulimit -n {limit}; {command} {AGENT}", tmp_path)
    assert_as_bare(ended)
    assert len(ended.stderr.splitlines()) <= 1


@pytest.mark.parametrize("megabytes", [36, 48, 60, 70, 80, 100, 120, 150, 200, 250, 300, 400])
def test_little_memory(megabytes: int, tmp_path: Path) -> None:
    assert_as_bare(happen(f"ulimit -v {megabytes * 1024}; $X {AGENT}", tmp_path))


@contextlib.contextmanager
def pids_at_most(limit: int) -> Iterator[Path]:
    """Make a control group in which no more processes and threads can be."""
    group = PIDS / f"untether-test-{os.getpid()}-{limit}"
    group.mkdir()
    try:
        (group / "pids.max").write_text(str(limit))
        yield group / "cgroup.procs"
    finally:
        deadline = time.monotonic() + 90  # an observer may still be finishing
        while (group / "cgroup.procs").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        group.rmdir()


@pytest.mark.skipif(not os.access(PIDS, os.W_OK), reason="needs a cgroup of its own")
@pytest.mark.parametrize("limit", [2, 3, 4, 5, 6, 7, 8, 10, 12, 16])
def test_few_processes(limit: int, tmp_path: Path) -> None:
    """The shell is the first of them; bare, the agent is the second and last."""
    with pids_at_most(limit) as procs:
        assert_as_bare(happen(f"echo $$ > {procs}; $X {AGENT}; exit $?", tmp_path))


def test_no_proc(tmp_path: Path) -> None:
    unshare = ("unshare", "-m")
    assert_as_bare(happen(f"mount -t tmpfs none /proc; $X {AGENT}", tmp_path, unshare))


def test_no_home_and_nowhere_to_keep_a_run(tmp_path: Path) -> None:
    script = f"unset HOME OTEL_UNTETHER_STATE_DIR; XDG_STATE_HOME=/proc/nowhere $X {AGENT}"
    assert_as_bare(happen(script, tmp_path))


def test_the_directory_is_gone(tmp_path: Path) -> None:
    assert_as_bare(happen(f"mkdir d; cd d; rmdir ../d; $X {AGENT}", tmp_path))


@pytest.mark.skipif(
    os.getuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="needs to mount"
)
def test_a_frozen_disk_holds_nothing_up(tmp_path: Path) -> None:
    """A file system that never answers, where runs are kept: a line, and the end in time."""
    mount = tmp_path / "state"
    mount.mkdir()
    began = time.monotonic()
    with hung_mount(mount):
        assert_as_bare(happen(f"$X {AGENT}", tmp_path))
        assert time.monotonic() - began < 20  # the kernel would wait for ever
