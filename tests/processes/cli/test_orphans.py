"""The observer is not the parent of the agent's orphans, and finds them all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

OTEL_UNTETHER = [sys.executable, "-m", "otel_untether"]
FROZEN = """
import os, subprocess, sys, time
print('{"type":"system","subtype":"init","session_id":"s","cwd":"/","tools":[]}', flush=True)
middle = subprocess.Popen(['sh', '-c', 'sleep 300 >/dev/null 2>&1 & echo $!'], stdout=-1)
open(sys.argv[1], 'wb').write(middle.communicate()[0])
time.sleep(300)
"""


def test_an_orphan_of_a_killed_agent_is_killed_with_it(tmp_path: Path) -> None:
    """Its parent, the relay, is no member of the tree; what it inherited has our TRACEPARENT."""
    mark = tmp_path / "orphan"
    settings = {
        "OTEL_UNTETHER_STATE_DIR": str(tmp_path / "state"),
        "OTEL_UNTETHER_STALL_AUTO_KILL": "true",
        "OTEL_UNTETHER_LIVENESS_TIMEOUT": "1.5",
        "OTEL_UNTETHER_STARTUP_TIMEOUT": "1.5",
        "OTEL_UNTETHER_STALL_TIMEOUT": "1",
        "OTEL_UNTETHER_SAMPLE_INTERVAL": "0.2",
        "OTEL_UNTETHER_KILL_GRACE": "0.5",
        "OTEL_UNTETHER_KILL_CONFIRMATIONS": "2",
    }
    agent = [sys.executable, "-c", FROZEN, str(mark)]
    ended = subprocess.run(
        [*OTEL_UNTETHER, "run", "--engine", "claude", "--", *agent],
        env={"PATH": os.environ["PATH"], **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == -15, ended.stderr
    orphan = Path(f"/proc/{int(mark.read_text())}")
    deadline = time.monotonic() + 5
    while orphan.exists():
        assert time.monotonic() < deadline, ended.stderr
        time.sleep(0.05)
