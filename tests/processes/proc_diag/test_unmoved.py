"""Who has not run since the last deep look is not looked at again; who has, is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from otel_untether.proc_diag import DeepLook, ProcessLook, Tree, look_deeper
from otel_untether.proc_diag.gather import look_at_agent
from otel_untether.proc_diag.linux import kernel_files as files
from otel_untether.proc_diag.linux import threads
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Does what it is told, by a signal, and sleeps on in its loop; its input is a pipe.
OBEDIENT = """
import os, select, signal, threading
held = []
signal.signal(signal.SIGUSR1, lambda *_: held.append(open("/dev/zero")))
signal.signal(signal.SIGUSR2, lambda *_: threading.Event().wait())
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("ready", flush=True)
while True:
    select.epoll().poll()
"""


@pytest.fixture
def agent() -> Iterator[subprocess.Popen[bytes]]:
    with processes.running(OBEDIENT, stdin=subprocess.PIPE) as process:
        processes.asleep_in(process.pid, "do_epoll_wait", "ep_poll")
        yield process


def one(look: DeepLook) -> ProcessLook:
    (process,) = look.processes
    return process


def becomes(tree: Tree, holds: Callable[[ProcessLook], object]) -> ProcessLook:
    """Look until something holds."""
    looks: list[ProcessLook] = []

    def look() -> object:
        looks.append(one(look_deeper(tree)))
        return holds(looks[-1])

    processes.eventually(look)
    return looks[-1]


def test_a_second_look_reads_no_thread_again(
    agent: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(agent.pid)
    before = one(look_deeper(tree))
    read: list[object] = []
    monkeypatch.setattr(threads, "_look", lambda *args: read.append(args))
    after = one(look_deeper(tree))
    assert read == []
    assert (after.threads, after.descriptors) == (before.threads, before.descriptors)
    assert after.at > before.at


def test_a_descriptor_opened_since_is_seen(agent: subprocess.Popen[bytes]) -> None:
    tree = Tree(agent.pid)
    look_deeper(tree)
    agent.send_signal(signal.SIGUSR1)
    becomes(tree, lambda look: "/dev/zero" in [d.target for d in look.descriptors or ()])


def test_a_thread_that_went_elsewhere_is_seen_there(agent: subprocess.Popen[bytes]) -> None:
    tree = Tree(agent.pid)
    assert (one(look_deeper(tree)).threads or ())[0].wchan != "futex_do_wait"
    agent.send_signal(signal.SIGUSR2)
    becomes(tree, lambda look: all("futex" in (t.wchan or "") for t in look.threads or ()))


def test_one_that_was_stopped_in_its_sleep_is_seen_stopped(agent: subprocess.Popen[bytes]) -> None:
    tree = Tree(agent.pid)
    look_deeper(tree)
    agent.send_signal(signal.SIGSTOP)
    becomes(tree, lambda look: {t.state for t in look.threads or ()} == {"T"})
    agent.send_signal(signal.SIGCONT)
    becomes(tree, lambda look: {t.state for t in look.threads or ()} == {"S"})


def test_input_that_lies_unread_is_seen_though_it_sleeps_on(
    agent: subprocess.Popen[bytes],
) -> None:
    tree = Tree(agent.pid)
    assert one(look_deeper(tree)).stdin.unread == 0
    assert agent.stdin is not None
    os.write(agent.stdin.fileno(), b"hello")
    assert one(look_deeper(tree)).stdin.unread == 5


def test_a_glance_at_the_agent_sees_of_it_what_a_look_does(
    agent: subprocess.Popen[bytes],
) -> None:
    tree = Tree(agent.pid)
    seen, look = look_at_agent(tree), one(look_deeper(tree))
    assert seen is not None
    assert (seen.identity, seen.threads, seen.stdin) == (look.identity, look.threads, look.stdin)


def test_a_glance_sees_unread_input_of_one_that_sleeps_on(agent: subprocess.Popen[bytes]) -> None:
    tree = Tree(agent.pid)
    before = look_at_agent(tree)
    assert agent.stdin is not None
    os.write(agent.stdin.fileno(), b"hello")
    after = look_at_agent(tree)
    assert before is not None
    assert after is not None
    assert (before.stdin.unread, after.stdin.unread) == (0, 5)


def test_a_glance_at_who_has_ended_sees_nothing(agent: subprocess.Popen[bytes]) -> None:
    tree = Tree(agent.pid)
    agent.kill()
    agent.wait()
    assert look_at_agent(tree) is None


def test_where_the_kernel_counts_no_turns_all_is_read_again(
    agent: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = files.read

    def uncounted(path: str) -> bytes | None:
        return b"0 0 0\n" if path.endswith("schedstat") else read(path)

    monkeypatch.setattr(files, "read", uncounted)
    tree = Tree(agent.pid)
    before = one(look_deeper(tree))
    monkeypatch.setattr(threads, "_look", lambda *_args: None)
    assert one(look_deeper(tree)).threads == ()
    assert len(before.threads or ()) == 2
