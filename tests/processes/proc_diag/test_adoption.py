"""Orphans that this process inherits: the tree's by evidence, or strangers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

PREPARE = """
    import ctypes, json, os, signal, subprocess, sys, time
    from otel_untether import proc_diag
    from otel_untether.kill.killer import Killer
    RUN = "00-" + 32 * "a" + "-" + 16 * "b" + "-01"
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def start(script, env=None, **options):
        return subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})}, **options,
        )

    def ask(process):
        process.stdin.write(b"\\n"); process.stdin.flush()
        return int(process.stdout.readline())

    def orphan_of(process):
        # Its grandchild, once that is ours.
        pid = ask(process)
        while f"PPid:\\t{os.getpid()}\\n" not in open(f"/proc/{pid}/status").read():
            time.sleep(0.01)
        return pid

    def look(tree, patience=5.0):
        tree.walk(tree.backend.begin(), patience)
        (diag,) = proc_diag.sample([tree])
        members = [p.identity.pid for p in diag.processes if p.identity != tree.identity]
        return (members, [p.identity.pid for p in diag.strangers],
                [p.name for p in diag.strangers])

    def alive(*pids):
        return [pid for pid in pids if b") Z" not in open(f"/proc/{pid}/stat", "rb").read()]

    AGENT = "read x; {}; read x"
    def agent(script="true"):
        return start(AGENT.format(script), {"TRACEPARENT": RUN})
    def tree_of(agent):
        return proc_diag.Tree(agent.pid, subreaper=True, traceparent=RUN)
    def kill(tree):
        return Killer(tree, grace=0.2, record=lambda *_: None, reap=True).kill({})
    def say(**facts):
        print(json.dumps(facts))
"""


def tell(source: str, *prefix: str) -> dict[str, Any]:
    """Run a script in a process of its own, which becomes a subreaper; return what it says."""
    script = textwrap.dedent(PREPARE) + textwrap.dedent(source)
    command = [*prefix, sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_what_a_service_started_before_us_leaves_is_a_stranger_s() -> None:
    """`daemon.sh & exec otel-untether run …`: its jobs' orphans come to us."""
    seen = tell("""
        daemon = start("while read x; do sleep 60 >/dev/null & echo $!; done; wait")
        a = agent()
        tree = tree_of(a)
        look(tree)
        jobs = [ask(daemon), ask(daemon)]
        daemon.kill(); daemon.wait()
        members, strangers, names = look(tree)
        while len(members) + len(strangers) < 2:  # as below
            members, strangers, names = look(tree)
        (diag,) = proc_diag.sample([tree])
        report = kill(tree)
        say(members=members, found=set(jobs) == set(strangers), named=all(names),
            processes=len(diag.processes), alive=len(alive(*jobs)),
            hit=len(report.terminated), survivors=len(report.survivors))
        for pid in jobs: os.kill(pid, 9)
    """)
    assert seen == {
        "members": [], "found": True, "named": True, "processes": 1, "alive": 2,
        "hit": 1, "survivors": 0,
    }  # fmt: skip


def test_an_orphan_with_the_run_s_trace_context_is_a_member() -> None:
    """Nobody saw its parent, and it is in a session of its own."""
    seen = tell("""
        a = agent("(setsid sh -c 'echo $$; exec sleep 60 >/dev/null' &)")
        tree = tree_of(a)
        look(tree)
        orphan = orphan_of(a)
        members, strangers, _ = look(tree)
        while not members and not strangers:
            members, strangers, _ = look(tree)
        report = kill(tree)
        say(member=members == [orphan], strangers=strangers, hit=len(report.terminated),
            alive=os.path.exists(f"/proc/{orphan}"))
    """)
    assert seen == {"member": True, "strangers": [], "alive": False, "hit": 2}


def test_an_orphan_of_a_member_s_session_is_a_member() -> None:
    """Though it has no trace context: its shell was seen, and left it behind in its session."""
    seen = tell("""
        shell = "import os; os.setsid(); input(); os.fork() and os._exit(0); print(os.getpid(), " \
                "flush=True); os.execve('/bin/sleep', ['sleep', '60'], {})"
        command = [sys.executable, "-c", shell]
        a = subprocess.Popen(
            ["sh", "-c", '"$@"; read x', "sh", *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "TRACEPARENT": RUN})
        tree = tree_of(a)
        while len(look(tree)[0]) < 1 or os.getsid(look(tree)[0][0]) == os.getsid(0): pass
        orphan = ask(a)
        members, strangers, _ = look(tree)
        say(member=orphan in members, strangers=strangers)
        kill(tree)
    """)
    assert seen == {"member": True, "strangers": []}


def test_an_orphan_without_any_evidence_is_a_stranger() -> None:
    """Unseen, without a session of ours, without its environment: rather spared than hit."""
    seen = tell("""
        a = agent("(env -i setsid sh -c 'echo $$; exec sleep 60 >/dev/null' &)")
        tree = tree_of(a)
        look(tree)
        orphan = orphan_of(a)
        members, strangers, _ = look(tree)
        while not members and not strangers:  # it executes a program, and shows no environment
            members, strangers, _ = look(tree)
        kill(tree)
        say(members=members, strangers=strangers == [orphan], alive=len(alive(orphan)))
        os.kill(orphan, 9)
    """)
    assert seen == {"members": [], "strangers": True, "alive": 1}


def test_what_a_tree_leaves_behind_is_told() -> None:
    seen = tell("""
        a = agent("setsid sh -c 'echo $$; exec sleep 60 >/dev/null' & sleep 0.1; exit")
        tree = tree_of(a)
        look(tree)
        orphan = ask(a)
        a.wait()
        left = tree.left_behind()
        say(left=[p.identity.pid for p in left] == [orphan], names=[p.name for p in left])
        os.kill(orphan, 9)
    """)
    assert seen == {"left": True, "names": ["sleep"]}


unshare = shutil.which("unshare")


@pytest.mark.skipif(
    unshare is None or subprocess.run([unshare, "-p", "-f", "true"], check=False).returncode != 0,
    reason="needs a pid namespace",
)
def test_as_pid_1_what_others_leave_in_the_container_is_a_stranger_s() -> None:
    """As `kubectl exec` does: a process from outside joins the namespace and leaves an orphan."""
    seen = tell(
        """
        assert os.getpid() == 1
        a = agent("(setsid sh -c 'echo $$; exec sleep 60 >/dev/null' &)")
        tree = tree_of(a)
        look(tree)
        # From outside: no parent in here, a session of its own outside, no trace context of ours.
        from_outside = subprocess.Popen(
            ["setsid", "sh", "-c", "(sleep 61 >/dev/null & echo $!)"], stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"]})
        debug = int(from_outside.stdout.readline())
        from_outside.wait()
        orphan = orphan_of(a)
        members, strangers, names = look(tree)
        while len(members) + len(strangers) < 2:  # as above
            members, strangers, names = look(tree)
        kill(tree)
        say(member=members == [orphan], stranger=strangers == [debug], alive=len(alive(debug)))
        """,
        "unshare", "-p", "-f", "--mount-proc",
    )  # fmt: skip
    assert seen == {"member": True, "stranger": True, "alive": 1}
