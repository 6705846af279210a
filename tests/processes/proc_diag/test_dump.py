"""The one-off detailed look, which may read what a sample may not."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from otel_untether import proc_diag
from otel_untether.proc_diag import details
from otel_untether.proc_diag.redaction import option_names
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_dump_names_every_thread_and_what_it_waits_in() -> None:
    source = """
        import threading, time
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source) as process:
        dump = proc_diag.dump(proc_diag.Tree(process.pid))
    (leader,) = dump.processes
    assert dump.complete
    assert len(leader.threads) == 2
    assert {thread.state for thread in leader.threads} <= {"S", "R"}
    assert leader.threads[0].tid == process.pid


def test_dump_says_where_each_thread_stands_and_what_it_has_used() -> None:
    """What users paste into issues: per-thread CPU, stacks, what is read from, remote ends."""
    source = """
        import os, socket, threading, time
        reading, writing = os.pipe()
        ours = socket.create_server(("127.0.0.1", 0))
        held = socket.create_connection(ours.getsockname())
        threading.Thread(target=os.read, args=(reading, 1), daemon=True).start()
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source) as process:
        tree = proc_diag.Tree(process.pid)
        processes.eventually(lambda: len(_blocked(proc_diag.dump(tree))) == 1)
        dump = proc_diag.dump(tree)
    (thread,) = _blocked(dump)
    assert (thread.waits_on or "").startswith("pipe:[")
    assert thread.cpu is not None
    assert thread.stack is None or thread.stack[0].endswith("pipe_read")
    (leader,) = dump.processes
    assert dump.agent == leader.process.identity
    assert {d.number for d in leader.descriptors or ()} >= {0, 1, 2}
    assert leader.stdin is not None
    assert leader.stdin.kind == "null"
    remotes = [s.remote for s in dump.sockets or () if s.remote]
    assert all(remote.startswith("127.0.0.1:") for remote in remotes)
    assert len(remotes) == 1


def _blocked(dump: proc_diag.Dump) -> list[proc_diag.ThreadDump]:
    return [
        thread
        for process in dump.processes
        for thread in process.threads
        if thread.wchan in ("anon_pipe_read", "pipe_read", "pipe_wait_readable")
    ]


def test_dump_hides_secrets_in_the_names_of_files(tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2" * 9
    source = """
        import sys, time
        held = open(sys.argv[1], "w")
        print("ready", flush=True)
        time.sleep(600)
    """
    with processes.running(source, str(tmp_path / secret)) as process:
        dump = proc_diag.dump(proc_diag.Tree(process.pid))
    targets = [d.target for d in dump.processes[0].descriptors or ()]
    assert any(str(tmp_path) in target for target in targets)
    assert secret not in str(dump)


def test_dump_hides_what_a_command_line_says() -> None:
    """A prompt or a password may stand there."""
    source = "import time; print('ready', flush=True); time.sleep(600)"
    with processes.running(source, "--token=secret", "a prompt", "--verbose") as process:
        dump = proc_diag.dump(proc_diag.Tree(process.pid))
    command = dump.processes[0].command
    assert command is not None
    assert command[0].startswith("python")
    assert command[1:] == ("-c", "…", "--token=…", "…", "--verbose")


def test_dump_passes_command_lines_through_the_given_hook() -> None:
    def last_word(argv: Sequence[str]) -> Sequence[str]:
        return argv[-1:]

    source = "import time; print('ready', flush=True); time.sleep(600)"
    with processes.running(source, "word") as process:
        dump = proc_diag.dump(proc_diag.Tree(process.pid), redact=last_word)
    assert dump.processes[0].command == ("word",)


def test_dump_does_not_wait_for_a_command_line_that_never_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, left = threading.Event(), threading.Event()

    def hang(pid: int) -> list[str]:
        release.wait()
        left.set()
        return [str(pid)]

    monkeypatch.setattr(details, "_argv", hang)
    with processes.sleeper() as pid:
        began = time.monotonic()
        dump = proc_diag.dump(proc_diag.Tree(pid), timeout=0.2)
        took = time.monotonic() - began
    release.set()
    assert left.wait(60)
    assert took < 20
    assert not dump.complete
    assert dump.processes[0].command is None
    assert dump.processes[0].threads


def test_only_so_many_reads_are_ever_left_hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    hanging: list[int] = []

    def hang(pid: int) -> list[str]:
        hanging.append(pid)
        release.wait()
        return []

    monkeypatch.setattr(details, "_argv", hang)
    before = set(threading.enumerate())
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        dumps = [proc_diag.dump(tree, timeout=0.05) for _ in range(6)]
    ours = set(threading.enumerate()) - before
    release.set()
    for thread in ours:
        thread.join(60)
    assert len(hanging) == 4
    assert not any(dump.complete for dump in dumps)
    assert dumps[-1].diag.alive is True


def test_dump_of_a_dead_tree_is_empty() -> None:
    dump = proc_diag.dump(proc_diag.Tree(2**22 + 1))
    assert dump.complete
    assert dump.processes == ()
    assert dump.diag.alive is False


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        ([], ()),
        ([""], ("…",)),
        (["/usr/bin/git", "push"], ("git", "…")),
        (["mysql", "-psecret", "-p", "x"], ("mysql", "…", "-p", "…")),
        (["curl", "--header=Authorization: Bearer x"], ("curl", "--header=…")),
        (["sh", "-c", "TOKEN=x run"], ("sh", "-c", "…")),
        (["nginx: worker process of /srv/secret"], ("nginx:",)),
        (["x", "--"], ("x", "…")),
        (["x", "--" + "a" * 60], ("x", "…")),
        (["x", "--secret word"], ("x", "…")),
    ],
)
def test_redaction_keeps_program_and_option_names(argv: list[str], kept: tuple[str, ...]) -> None:
    assert option_names(argv) == kept
