"""What a look reads: as much as the tree needs, whoever else is on the host."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

from otel_untether import proc_diag
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import sock_diag
from otel_untether.proc_diag.linux.backend import LinuxBackend
from tests.support import processes

if TYPE_CHECKING:
    import pytest


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which every path read from now on is added."""
    found: list[str] = []
    read = files.read_or_raise

    def read_and_note(path: str) -> bytes:
        found.append(path)
        return read(path)

    monkeypatch.setattr(files, "read_or_raise", read_and_note)
    return found


def test_strangers_on_the_host_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with processes.setsid_child() as pid, ExitStack() as stack:
        strangers = set()
        for _ in range(30):
            stranger = stack.enter_context(subprocess.Popen(["sleep", "600"]))
            stack.callback(stranger.kill)
            strangers.add(str(stranger.pid))
        tree = proc_diag.Tree(pid)
        found = reads(monkeypatch)
        for _ in range(3):
            proc_diag.sample([tree])
    pids = {part for path in found for part in path.split("/")[2:3] if part.isdigit()}
    assert str(pid) in pids
    assert not pids & strangers


def test_process_that_has_not_run_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        for _ in range(3):
            proc_diag.sample([tree])
        found = reads(monkeypatch)
        first, second = (proc_diag.sample([tree])[0] for _ in range(2))
    assert first.leader is second.leader
    assert not [path for path in found if path.startswith(f"/proc/{pid}/")]


def test_process_that_has_run_is_read_again() -> None:
    source = """
        import sys
        print("ready", flush=True)
        kept = []
        for line in sys.stdin:
            kept.append(open("/dev/null"))
            print("opened", flush=True)
    """
    with processes.running(source, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = proc_diag.Tree(process.pid)
        counts = []
        for _ in range(3):
            for _ in range(3):
                (diag,) = proc_diag.sample([tree])
            counts.append(diag.fds or 0)
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
    assert [count - counts[0] for count in counts] == [0, 1, 2]


def test_kernel_that_does_not_count_time_slices_is_read_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A count that stands at 0 would make a running process look asleep."""
    read = files.KeptFile.read

    def uncounted(kept: files.KeptFile) -> bytes:
        return b"0 0 0\n" if kept._path.endswith("schedstat") else read(kept)

    monkeypatch.setattr(files.KeptFile, "read", uncounted)
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        for _ in range(3):
            proc_diag.sample([tree])
        found = reads(monkeypatch)
        proc_diag.sample([tree])
    assert f"/proc/{pid}/status" in found


def test_one_dump_of_sockets_serves_all_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    dumps: list[object] = []
    dump = sock_diag.dump

    def dump_and_note(wanted: set[int]) -> object:
        dumps.append(wanted)
        return dump(wanted)

    monkeypatch.setattr(sock_diag, "dump", dump_and_note)
    source = """
        import socket, time
        held = socket.create_server(("127.0.0.1", 0))
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source) as one, processes.running(source) as other:
        backend = LinuxBackend()
        trees = [proc_diag.Tree(each.pid, backend=backend) for each in (one, other)]
        diags = proc_diag.sample(trees)
    assert [len(diag.sockets or ()) for diag in diags] == [1, 1]
    assert len(dumps) == 1
