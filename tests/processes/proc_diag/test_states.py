"""What a snapshot says of real processes in known states, of single members and of sums."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import pytest

from otel_untether import proc_diag
from otel_untether.proc_diag.snapshot import Identity, TreeSnapshot
from tests.support import processes


def look(pid: int) -> TreeSnapshot:
    """Look at a tree once."""
    (diag,) = proc_diag.sample([proc_diag.Tree(pid)])
    return diag


def look_twice(pid: int, apart: float = 0.4) -> TreeSnapshot:
    """Look at a tree twice and return the second snapshot, which has rates."""
    tree = proc_diag.Tree(pid)
    proc_diag.sample([tree])
    time.sleep(apart)
    (diag,) = proc_diag.sample([tree])
    return diag


def test_sleeper_is_alive_asleep_and_idle() -> None:
    with processes.sleeper() as pid:
        diag = look_twice(pid)
    assert diag.alive is True
    assert diag.leader is not None
    assert diag.leader.state == "S"
    assert diag.leader.wchan is not None
    assert "nanosleep" in diag.leader.wchan
    assert diag.cpu_rate == 0
    assert diag.sockets == ()
    assert diag.problems == ()


def test_every_fact_of_an_own_process_is_known() -> None:
    with processes.sleeper() as pid:
        diag = look_twice(pid)
    assert diag.leader is not None
    unknown = [name for name in diag.leader.__struct_fields__ if getattr(diag.leader, name) is None]
    assert unknown == []
    sums = ("cpu_time", "cpu_rate", "leader_cpu_rate", "rss", "threads", "fds", "io_read")
    assert [name for name in sums if getattr(diag, name) is None] == []


def test_busy_loop_burns_a_core() -> None:
    with processes.busy() as pid:
        diag = look_twice(pid, apart=1.0)
    assert diag.cpu_rate is not None
    assert diag.leader_cpu_rate is not None
    assert 0.01 < diag.leader_cpu_rate <= diag.cpu_rate < 1.2


def test_burning_child_counts_for_the_tree_and_not_for_the_leader() -> None:
    with processes.burning_child() as pid:
        diag = look_twice(pid, apart=1.0)
    assert diag.cpu_rate is not None
    assert diag.cpu_rate > 0.05
    assert diag.leader_cpu_rate == 0
    assert len(diag.children) == 1


def test_short_children_between_two_looks_are_not_lost() -> None:
    """A build starts and ends compilers that no sample ever meets."""
    source = """
        import subprocess, sys
        burn = "import time\\nwhile time.process_time() < 0.4: pass"
        print("ready", flush=True)
        sys.stdin.readline()
        subprocess.run([sys.executable, "-c", burn])
        print("done", flush=True)
        sys.stdin.readline()
    """
    with processes.running(source, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = proc_diag.Tree(process.pid)
        (before,) = proc_diag.sample([tree])
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        (after,) = proc_diag.sample([tree])
    assert before.cpu_time is not None
    assert after.cpu_time is not None
    assert after.cpu_time - before.cpu_time >= 0.39
    assert after.children == ()


def test_zombie_child_is_counted_as_one_and_not_as_living() -> None:
    with processes.zombie() as pid:
        diag = look(pid)
    assert diag.alive is True
    assert diag.zombies == 1
    assert diag.children == ()
    assert len(diag.processes) == 2
    assert diag.fds is not None


def test_zombie_leader_is_not_alive() -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        os.kill(pid, signal.SIGKILL)
        processes.eventually(lambda: processes.state_of(pid) == "Z")
        (diag,) = proc_diag.sample([tree])
    assert diag.alive is False
    assert diag.leader is not None
    assert diag.leader.state == "Z"


def test_stopped_process_is_stopped() -> None:
    with processes.stopped() as pid:
        diag = look(pid)
    assert diag.alive is True
    assert diag.leader is not None
    assert diag.leader.state == "T"


@pytest.mark.parametrize(
    ("state", "waits_in"),
    [
        (processes.blocked_on_full_pipe, ("pipe_write", "anon_pipe_write")),
        (processes.blocked_on_lock, ("locks_lock_inode_wait", "flock_lock_inode_wait")),
        (processes.blocked_on_terminal, ("wait_woken", "n_tty_read")),
    ],
)
def test_wait_channel_says_what_it_is_blocked_on(
    state: processes.State, waits_in: tuple[str, ...]
) -> None:
    with state() as pid:
        diag = look(pid)
    assert diag.leader is not None
    assert diag.leader.state == "S"
    assert diag.leader.wchan is not None
    assert diag.leader.wchan.startswith(waits_in)


def test_process_whose_main_thread_has_ended_is_alive() -> None:
    """The kernel shows Z for it, while its other threads work on."""
    source = """
        import ctypes, threading, time
        threading.Thread(target=time.sleep, args=(600,)).start()
        print("ready", flush=True)
        ctypes.CDLL(None).pthread_exit(None)
    """
    with processes.running(source) as process:
        processes.eventually(lambda: processes.state_of(process.pid) == "Z")
        diag = look(process.pid)
    assert diag.alive is True
    assert diag.zombies == 0
    assert diag.fds is not None
    assert diag.fds >= 3
    assert diag.sockets == ()


def test_setsid_child_is_a_detached_member() -> None:
    with processes.setsid_child() as pid:
        diag = look(pid)
    (child,) = diag.children
    assert child.detached
    assert child.sid == child.identity.pid
    assert diag.leader is not None
    assert not diag.leader.detached


def test_orphan_is_remembered_by_identity() -> None:
    """A member whose parent has ended is still a member, wherever it was reparented to."""
    with processes.daemonizing() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        tree = proc_diag.Tree(process.pid)
        (before,) = proc_diag.sample([tree])
        process.stdin.write(b".")
        process.stdin.flush()
        process.stdout.readline()
        (after,) = proc_diag.sample([tree])
    grandchild = before.processes[2].identity
    assert [member.identity for member in after.children] == [grandchild]
    assert after.children[0].detached
    assert after.children[0].ppid not in (process.pid, before.processes[1].identity.pid)


def test_survivors_are_followed_after_the_leader() -> None:
    with processes.setsid_child() as pid:
        tree = proc_diag.Tree(pid)
        (before,) = proc_diag.sample([tree])
        (child,) = before.children
        os.kill(pid, signal.SIGKILL)
        processes.eventually(lambda: processes.state_of(pid) == "Z")
        (after,) = proc_diag.sample([tree])
        os.kill(child.identity.pid, signal.SIGKILL)
    assert after.alive is False
    assert [member.identity for member in after.children] == [child.identity]


def test_gone_tree_has_nobody_and_nothing_unknown() -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        (before,) = proc_diag.sample([tree])
    (after,) = proc_diag.sample([tree])
    assert after.alive is False
    assert after.processes == ()
    assert after.leader is None
    assert (after.rss, after.fds, after.threads, after.sockets) == (0, 0, 0, ())
    assert after.cpu_time == before.cpu_time


@pytest.mark.parametrize("pid", [0, -1, True, "1", 1.5, None])
def test_what_cannot_be_a_pid_is_an_error_that_says_so(pid: int) -> None:
    with pytest.raises(ValueError, match=r"needs a positive pid, not "):
        proc_diag.Tree(pid)


@pytest.mark.parametrize("pid", [2**22 + 1, 2**31 - 1, 2**31, 2**70])
def test_absent_pid_is_not_alive(pid: int) -> None:
    assert look(pid).alive is False
    assert proc_diag.identify(pid) is None


def test_thread_is_not_a_process() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert look(thread.native_id).alive is False
        assert proc_diag.identify(thread.native_id) is None
    finally:
        release.set()
        thread.join()


def test_identity_of_a_former_holder_of_the_pid_is_not_alive() -> None:
    """Pids are recycled: who has it now is somebody else."""
    with processes.sleeper() as pid:
        now = proc_diag.identify(pid)
        assert now is not None
        (diag,) = proc_diag.sample([proc_diag.Tree(Identity(pid, now.start_time - 1))])
    assert diag.alive is False
    assert diag.processes == ()


def test_look_after_close_opens_again() -> None:
    with processes.sleeper() as pid:
        tree = proc_diag.Tree(pid)
        proc_diag.sample([tree])
        tree.close()
        (diag,) = proc_diag.sample([tree])
        tree.close()
    assert diag.alive is True


def test_one_pass_gives_snapshots_in_the_order_of_the_trees() -> None:
    with processes.sleeper() as one, processes.sleeper() as other:
        diags = proc_diag.sample([proc_diag.Tree(other), proc_diag.Tree(one)])
    assert [diag.leader.identity.pid for diag in diags if diag.leader] == [other, one]


def test_no_trees_give_no_snapshots() -> None:
    assert proc_diag.sample([]) == []
