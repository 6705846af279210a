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
    assert left.wait(5)
    assert took < 2
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
        thread.join(5)
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
