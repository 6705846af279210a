"""Real process trees, killed: all of them, and nobody else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.kill import killer as kill_module
from otel_untether.kill.killer import Killer, KillReport
from otel_untether.kill.targets import Target
from otel_untether.proc_diag import Identity, ProcessSnapshot, Tree, identify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

DEAF = 'trap "" TERM; '
PR_SET_CHILD_SUBREAPER = 36
HOPPER = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(300):  # should it get away, it ends by itself
    if os.fork():
        os._exit(0)
    time.sleep(0.1)
"""


class Grove:
    """Starts trees whose processes all carry one mark in their environment."""

    def __init__(self) -> None:
        self.mark = f"MARK={uuid.uuid4()}"
        self.traceparent = f"00-{uuid.uuid4().hex}-{os.urandom(8).hex()}-01"
        self.leaders: list[subprocess.Popen[bytes]] = []

    def plant(self, script: str, *, own_session: bool = True) -> subprocess.Popen[bytes]:
        return self.start(["/bin/sh", "-c", script], own_session=own_session)

    def start(self, argv: list[str], *, own_session: bool = True) -> subprocess.Popen[bytes]:
        env = {
            "MARK": self.mark.removeprefix("MARK="),
            "PATH": os.environ["PATH"],
            "TRACEPARENT": self.traceparent,
        }
        leader = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, start_new_session=own_session
        )
        self.leaders.append(leader)
        return leader

    def living(self) -> list[int]:
        """The pids that carry the mark and are no zombies."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self.mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def grown(self, number: int) -> None:
        """Wait until so many are alive."""
        deadline = time.monotonic() + 10
        while len(self.living()) < number:
            assert time.monotonic() < deadline, "the tree did not grow"
            time.sleep(0.01)

    def clear(self) -> None:
        while pids := self.living():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for leader in self.leaders:
            leader.wait(60)


@pytest.fixture
def grove() -> Iterator[Grove]:
    grove = Grove()
    yield grove
    grove.clear()


def nothing(_event: str, _facts: Mapping[str, Any]) -> None:
    """Record nothing."""


def kill(tree: Tree, grace: float = 0.3, **options: Any) -> KillReport:
    options.setdefault("record", nothing)
    report = Killer(tree, grace=grace, **options).kill({})
    tree.close()
    return report


def test_a_tree_that_hears_sigterm_is_gone_at_once_and_never_sees_sigkill(grove: Grove) -> None:
    leader = grove.plant("sleep 100 & sleep 100")
    grove.grown(3)
    report = kill(Tree(leader.pid), grace=20)
    assert grove.living() == []
    assert len(report.terminated) == 3
    assert report.killed == ()
    assert report.survivors == ()
    assert report.seconds < 15
    assert leader.wait(60) == -signal.SIGTERM


def test_a_term_deaf_tree_of_25_is_gone_soon_after_the_grace(grove: Grove) -> None:
    leader = grove.plant(DEAF + "for i in $(seq 24); do sleep 1000 & done; wait")
    grove.grown(25)
    report = kill(Tree(leader.pid), grace=0.5)
    assert grove.living() == []
    assert len(report.killed) == 25
    assert 0.5 <= report.seconds < 10


@pytest.mark.parametrize(
    ("shape", "script", "number"),
    [
        ("own session", DEAF + "setsid sleep 1000 & wait", 2),
        ("nohup", DEAF + "nohup sleep 1000 >/dev/null 2>&1 & sleep 1000", 3),
        ("stopped", 'sleep 1000 & kill -STOP "$!"; wait', 2),
    ],
)
def test_members_that_went_their_own_way_die_too(
    grove: Grove, shape: str, script: str, number: int
) -> None:
    leader = grove.plant(script)
    tree = Tree(leader.pid)
    deadline = time.monotonic() + 10
    while len(grove.living()) < number and time.monotonic() < deadline:
        tree.walk(tree.backend.begin())
    time.sleep(0.1)
    tree.walk(tree.backend.begin())
    kill(tree)
    assert grove.living() == [], shape


def test_a_child_orphaned_before_anybody_looked_is_found_by_its_session(grove: Grove) -> None:
    """The parent link is gone, the session is not."""
    leader = grove.plant(DEAF + "(sleep 1000 &); exec sleep 1000")
    grove.grown(2)
    time.sleep(0.1)
    report = kill(Tree(leader.pid))
    assert grove.living() == []
    assert len(report.killed) == 2


def test_children_forked_while_it_is_being_killed_die_too(grove: Grove) -> None:
    leader = grove.plant(DEAF + "while :; do sleep 1000 & sleep 0.01; done")
    grove.grown(5)
    report = kill(Tree(leader.pid), grace=0.2)
    assert grove.living() == []
    assert len(report.killed) > 5


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Orphans below this process become its children, as under `run`."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("subreaper")
def test_a_double_fork_into_a_session_of_its_own_comes_back_to_the_subreaper(
    grove: Grove,
) -> None:
    before = _zombies()
    leader = grove.plant(DEAF + "sleep 0.2; ( (setsid sleep 1000 &) & ); sleep 1000")
    tree = Tree(leader.pid, subreaper=True, traceparent=grove.traceparent)
    time.sleep(0.3)
    grove.grown(3)
    time.sleep(0.1)
    assert len(kill(tree, reap=True).killed) == 3
    assert grove.living() == []
    left = {pid: line for pid, line in _zombies().items() if pid not in before}
    assert left.keys() == {leader.pid}, left  # whose status is its parent's


@pytest.mark.usefixtures("subreaper")
def test_a_process_that_hops_from_pid_to_pid_is_caught(grove: Grove) -> None:
    """Each life lasts a tenth of a second and leaves one child behind."""
    leader = grove.start([sys.executable, "-S", "-c", HOPPER])
    tree = Tree(leader.pid, subreaper=True, traceparent=grove.traceparent)
    leader.wait(60)
    deadline = time.monotonic() + 10
    while len(_zombies()) < 3:  # each life leaves one to the subreaper
        assert time.monotonic() < deadline, "it does not hop"
    report = kill(tree, grace=0.1, reap=True)
    assert report.survivors == ()
    before = _zombies().keys()
    time.sleep(0.5)
    assert (_zombies().keys(), grove.living()) == (before, [])


def test_a_leader_that_exited_takes_its_remembered_children_along(grove: Grove) -> None:
    leader = grove.plant("sleep 1000 & sleep 0.3", own_session=False)
    tree = Tree(leader.pid)
    grove.grown(3)
    tree.walk(tree.backend.begin())
    leader.wait(60)
    kill(tree)
    assert grove.living() == []


def test_nobody_outside_the_tree_is_touched(grove: Grove) -> None:
    """Same session, same process group, same program: not a member."""
    others = Grove()
    bystander = others.plant("exec sleep 1000", own_session=False)
    leader = grove.plant(DEAF + "sleep 1000 & wait", own_session=False)
    grove.grown(2)
    kill(Tree(leader.pid))
    try:
        assert grove.living() == []
        assert bystander.poll() is None
    finally:
        others.clear()


def test_the_decision_is_recorded_before_the_first_signal(grove: Grove) -> None:
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)
    told: list[tuple[str, bool, dict[str, Any]]] = []

    def record(event: str, facts: Mapping[str, Any]) -> None:
        told.append((event, bool(grove.living()), dict(facts)))

    report = Killer(Tree(leader.pid), grace=5, record=record).kill({"why": "wedged"})
    assert report.refused is None
    assert told[0] == ("untether.kill.decided", True, {"why": "wedged"})
    assert [event for event, _, _ in told[1:]] == [
        "untether.kill.signalled",
        "untether.kill.completed",
    ]
    assert told[-1][2]["untether.kill.survivors"] == ()


def test_a_decision_that_cannot_be_recorded_is_not_carried_out(grove: Grove) -> None:
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)

    def record(_event: str, _facts: Mapping[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    report = kill(Tree(leader.pid), record=record)
    assert report.refused is not None
    assert "No space left on device" in report.refused
    assert leader.poll() is None


def test_an_agent_that_comes_back_meanwhile_is_spared(grove: Grove) -> None:
    """Recording and flushing take a moment, in which it may have printed a line."""
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)
    report = kill(Tree(leader.pid), proceed=lambda: False)
    assert report.refused == "it came back to life"
    assert leader.poll() is None


def test_a_kill_once_begun_is_finished_though_nobody_can_be_told(grove: Grove) -> None:
    leader = grove.plant(DEAF + "sleep 1000")
    grove.grown(2)

    def record(event: str, _facts: Mapping[str, Any]) -> None:
        if event != "untether.kill.decided":
            raise RuntimeError(event)

    assert kill(Tree(leader.pid), record=record).survivors == ()
    assert grove.living() == []


def test_a_tree_that_holds_this_very_process_is_refused() -> None:
    report = kill(Tree(os.getpid()))
    assert report.refused == "this process is part of the tree"


def test_a_tree_that_is_gone_already_is_no_trouble(grove: Grove) -> None:
    leader = grove.plant("exit 0")
    tree = Tree(leader.pid)
    leader.wait(60)
    report = kill(tree, grace=20)
    assert (report.terminated, report.survivors) == ((), ())
    assert report.seconds < 15


def test_whoever_took_over_a_pid_is_not_signalled(grove: Grove) -> None:
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)
    stale = ProcessSnapshot(Identity(leader.pid, 1.0), name="gone")
    assert Target.hold(stale, identify) is None
    kill(Tree(stale.identity))
    assert leader.poll() is None


def test_without_pidfd_the_identity_is_checked_before_each_signal(
    grove: Grove, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_untether.kill.targets._HAS_PIDFD", False)
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)
    who = identify(leader.pid)
    assert who is not None
    now: list[Identity | None] = [who, Identity(leader.pid, 1.0)]
    target = Target.hold(ProcessSnapshot(who), lambda _pid: now.pop(0))
    assert target is not None
    assert target.send(signal.SIGKILL) is False
    assert leader.poll() is None


def test_a_tree_dies_without_pidfd_too(grove: Grove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otel_untether.kill.targets._HAS_PIDFD", False)
    leader = grove.plant(DEAF + "sleep 1000 & wait")
    grove.grown(2)
    threading.Timer(0.4, leader.wait).start()
    kill(Tree(leader.pid))
    assert grove.living() == []


def test_survivors_are_reported_by_pid_and_name(
    grove: Grove, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone whom no signal reaches, as in an uninterruptible sleep."""
    monkeypatch.setattr(kill_module, "_KILL_TIME", 0.1)
    monkeypatch.setattr(Target, "send", lambda _self, _number: True)
    leader = grove.plant("exec sleep 1000")
    grove.grown(1)
    while Path(f"/proc/{leader.pid}/comm").read_text() != "sleep\n":
        time.sleep(0.01)
    report = kill(Tree(leader.pid), grace=0.05)
    assert [(s.pid, s.name) for s in report.survivors] == [(leader.pid, "sleep")]


def _zombies() -> dict[int, str]:
    """Return this process's children that have ended: each with the kernel's line about it."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/stat").read_text() for pid in listed}
    return {pid: line for pid, line in lines.items() if line.rsplit(")", 1)[1].split()[0] == "Z"}


@pytest.mark.timeout(600)
def test_a_thousand_kills_leave_no_trace_and_hit_no_bystander(grove: Grove) -> None:
    sentinels = Grove()
    sentinel = sentinels.plant("exec sleep 1000", own_session=False)
    fds, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    before = _zombies()
    try:
        for number in range(1000):
            leader = grove.plant("sleep 1000 & exec sleep 1000", own_session=number % 2 == 0)
            report = kill(Tree(leader.pid), grace=5)
            assert report.survivors == ()
            assert leader.wait(60) == -signal.SIGTERM
        assert sentinel.poll() is None
        assert grove.living() == []
        assert len(list(Path("/proc/self/fd").iterdir())) <= fds
        assert threading.active_count() <= threads
        assert {pid: line for pid, line in _zombies().items() if pid not in before} == {}
    finally:
        sentinels.clear()


# A service that leaves one job after the other to whoever reaps: argv holds the file in which
# each notes its beginning and its end, and the signals it can hear of.
SERVICE = """
import os, signal, sys, time
notes = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
def hit(number, _):
    os.write(notes, b"h")
while True:
    if os.fork() == 0:
        if os.fork():
            os._exit(0)
        for number in (signal.SIGTERM, signal.SIGCONT, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, hit)
        os.write(notes, b"b")
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            time.sleep(0.05)
        os.write(notes, b"e")
        os._exit(0)
    os.wait()
    time.sleep(0.02)
"""


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("subreaper")
def test_a_thousand_kills_hit_no_stranger_that_is_adopted_meanwhile(
    grove: Grove, tmp_path: Path
) -> None:
    """Where we are a subreaper, or PID 1, everybody's orphans come to us in mid-kill."""
    notes = tmp_path / "notes"
    notes.touch()
    service = subprocess.Popen([sys.executable, "-S", "-c", SERVICE, str(notes)])
    orphan = "(setsid sleep 1000 &); "
    adopted: set[Identity] = set()
    try:
        for _ in range(1000):
            leader = grove.plant(orphan + "sleep 1000 & exec sleep 1000", own_session=False)
            tree = Tree(leader.pid, subreaper=True, traceparent=grove.traceparent)
            report = Killer(tree, grace=5, record=nothing, reap=True).kill({})
            assert report.survivors == ()
            assert leader.wait(60) == -signal.SIGTERM
            strangers = {one.identity for one in tree.walk(tree.backend.begin()).strangers}
            tree.close()
            adopted |= strangers
            for stranger in strangers:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(stranger.pid, os.WNOHANG)
        assert grove.living() == []
    finally:
        service.kill()
        service.wait()
    deadline = time.monotonic() + 10
    while (said := notes.read_bytes()).count(b"e") < said.count(b"b"):
        assert time.monotonic() < deadline, "a stranger did not live to its end"
        time.sleep(0.01)
    assert b"h" not in said
    assert len(adopted) > 100
    for stranger in adopted:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(stranger.pid, 0)
