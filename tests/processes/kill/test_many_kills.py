"""Kill after kill, while strangers' orphans are adopted all the time: nobody else is hit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper")

# argv: how many kills. A subreaper; a stranger forks children that it leaves to us without end,
# in sessions of their own and in its own; agents come and go, each with a tool and an orphan.
SOURCE = """
import ctypes, json, os, signal, subprocess, sys, time
from otel_untether import proc_diag
from otel_untether.kill.killer import Killer

ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
STRANGER = '''
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"hit"))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if os.fork() == 0:
        os.fork() == 0 or os._exit(0)
        os.getpid() % 2 and os.setsid()
        time.sleep(1); os._exit(0)
    time.sleep(0.1)
'''
stranger = subprocess.Popen([sys.executable, "-SE", "-c", STRANGER], stderr=subprocess.PIPE)
TOOL = "(setsid sleep 600 >/dev/null &); setsid sleep 600 >/dev/null & echo ready; wait"
wrong, met, orphans = [], 0, 0
def reaped():
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0
for number in range(int(sys.argv[1])):
    run = f"00-{number:032x}-{1:016x}-01"
    agent = subprocess.Popen(["sh", "-c", TOOL], env={**os.environ, "TRACEPARENT": run},
                             stdout=subprocess.PIPE, start_new_session=True)
    agent.stdout.readline()
    tree = proc_diag.Tree(agent.pid, subreaper=True, traceparent=run)
    (diag,) = proc_diag.sample([tree])
    report = Killer(tree, grace=5.0, record=lambda *_: None, reap=True).kill({})
    agent.stdout.close(); agent.wait()
    while reaped():
        pass
    met += bool(diag.strangers)
    orphans += len(report.terminated) == 3
    if report.survivors or not 2 <= len(report.terminated) <= 3:
        wrong.append((number, report.terminated, report.survivors))
    tree.close()
alive = stranger.poll() is None
stranger.kill()
_, said = stranger.communicate()
print(json.dumps({"wrong": repr(wrong[:3]), "alive": alive, "hit": said.decode(), "met": met,
                  "orphans": orphans}))
"""


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_kill_after_kill_nobody_else_is_hit() -> None:
    """A hundred kills, and a thousand in `make soak`."""
    number = 1000 if os.environ.get("SOAK") else 100
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SOURCE, str(number)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    told = json.loads(done.stdout)
    assert (told["wrong"], told["alive"], told["hit"]) == ("[]", True, "")
    assert told["met"] > number / 2
    assert told["orphans"] > number / 2
