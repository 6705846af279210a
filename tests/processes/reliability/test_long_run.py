"""A session that goes on and on costs what a short one does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, NamedTuple

import psutil
import pytest

from tests.support.effort import effort

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Calls a tool over and over, then leaves a digest of all it printed in the file it is told.
AGENT = """
import hashlib, json, sys, time
digest, end = hashlib.sha256(), time.monotonic() + float(sys.argv[1])
def say(**line):
    text = json.dumps(line) + "\\n"
    digest.update(text.encode())
    sys.stdout.write(text)
    sys.stdout.flush()
say(type="system", subtype="init", session_id="s", model="m", tools=[], mcp_servers=[])
number = 0
while time.monotonic() < end:
    number += 1
    call = {"type": "tool_use", "id": f"t{number}", "name": "Bash", "input": {"n": number}}
    say(type="assistant", message={"id": f"m{number}", "content": [call]})
    result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "x" * 200}
    say(type="user", message={"content": [result]})
    time.sleep(0.001)
say(type="result", subtype="success", is_error=False, num_turns=number)
open(sys.argv[2], "w").write(digest.hexdigest())
"""


class Cost(NamedTuple):
    """What watching takes: bytes, descriptors, threads of all our processes together."""

    rss: int
    descriptors: int
    threads: int


def cost(watcher: psutil.Process) -> Cost:
    """Return the least of several looks: now and then what is full is compressed."""
    looks = []
    for _ in range(10):
        looks.append(look(watcher))
        time.sleep(0.1)
    return Cost(*map(min, zip(*looks, strict=True)))


def look(watcher: psutil.Process) -> Cost:
    """Look at the watcher and what belongs to it; the agent is whoever runs `AGENT`."""
    ours = [watcher, *(p for p in watcher.children(recursive=True) if AGENT not in p.cmdline())]
    return Cost(
        sum(process.memory_info().rss for process in ours),
        sum(process.num_fds() for process in ours),
        sum(process.num_threads() for process in ours),
    )


def read(stream: IO[bytes], into: Callable[[bytes], None]) -> None:
    """Hand on all of it."""
    for line in stream:
        into(line)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_memory_descriptors_and_threads_stay_what_they_are(tmp_path: Path) -> None:
    """Of three equal parts the first is for warming up; and not a byte is lost or changed."""
    seconds = effort(15, 3600)
    told = tmp_path / "digest"
    environ = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    agent = [sys.executable, "-c", AGENT, str(seconds), str(told)]
    command = [sys.executable, "-m", "otel_untether", "run", "-q", "--engine", "claude", "--"]
    digest = hashlib.sha256()
    with subprocess.Popen([*command, *agent], env=environ, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        reader = threading.Thread(target=read, args=(run.stdout, digest.update))
        reader.start()
        watcher = psutil.Process(run.pid)
        time.sleep(seconds / 3)
        before = cost(watcher)
        time.sleep(seconds / 3)
        after = cost(watcher)
        reader.join()
    assert run.returncode == 0
    assert digest.hexdigest() == told.read_text()
    assert after.rss - before.rss < 16 * 2**20
    assert after[1:] == before[1:]
