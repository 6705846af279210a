"""What a session of many calls costs: whom it is watched by, its report, following its file.

    python benchmarks/long_session.py [--calls N] [--seconds S]

A scripted Claude Code prints a session of N calls within S seconds, and writes it down as the
real one does; a real `run` watches it. Then each form of `report` is made of it, in a process
of its own. The last row is an idle agent whose transcript is as long: what a second of following
it takes. The exit status is 1 where a figure is above what is promised.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMS = {
    "terminal": [],
    "HTML": ["--html", os.devnull],
    "Markdown": ["--markdown"],
    "JSON": ["--json"],
}
MEMORY_MB, REPORT_MB, REPORT_S, FOLLOWING = 100.0, 150.0, 3.0, 0.01
SESSION = "5f0c9a1e-0000-4000-8000-000000000001"
AGENT = """\
import json, os, pathlib, sys, time, uuid
from datetime import datetime, timezone

calls, seconds, idle = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
folder = pathlib.Path(os.environ["HOME"], ".claude", "projects", "project")
folder.mkdir(parents=True)
told = {"session_id": SESSION, "parent_tool_use_id": None}
usage = {"input_tokens": 1000, "output_tokens": 20}

def stamp():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")

def say(out, file, kind, message):
    line = {"type": kind, "message": message, "timestamp": stamp(), "uuid": str(uuid.uuid4())}
    out.write(json.dumps(line | told) + "\\n")
    if kind == "assistant":
        line["message"] = message | {"stop_reason": "tool_use"}  # its stream does not say it yet
    file.write(json.dumps(line | {"sessionId": SESSION, "isSidechain": False}) + "\\n")

out, begun = sys.stdout, time.monotonic()
init = {"type": "system", "subtype": "init", "claude_code_version": "2.1.330", "tools": []}
out.write(json.dumps(init | told | {"model": "scripted"}) + "\\n")
with open(folder / (SESSION + ".jsonl"), "w") as file:
    for n in range(calls):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "Bash", "input": {"command": "ls"}}
        say(out, file, "assistant", {"id": f"msg_{n}", "role": "assistant", "model": "scripted",
                                     "content": [call], "usage": usage})
        block = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "x" * 200}
        say(out, file, "user", {"role": "user", "content": [block]})
        if n % 100 == 99:
            out.flush()
            file.flush()
            time.sleep(max(0.0, begun + seconds * n / calls - time.monotonic()))
    file.flush()
    time.sleep(idle)
done = {"type": "result", "subtype": "success", "is_error": False, "num_turns": calls}
out.write(json.dumps(done | told | {"total_cost_usd": 1.0, "usage": usage}) + "\\n")
"""


def watched(home: Path, calls: int, seconds: float, idle: float) -> subprocess.Popen[bytes]:
    """Start a scripted agent below `run`."""
    home.mkdir(parents=True)
    script = home / "agent.py"
    script.write_text(AGENT.replace("SESSION", repr(SESSION)))
    agent = [sys.executable, str(script), str(calls), str(seconds), str(idle)]
    return subprocess.Popen(
        [sys.executable, "-m", "otel_untether", "run", "--", *agent],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def environment(home: Path) -> dict[str, str]:
    """Our settings, and nothing of the caller's OpenTelemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ours = {"OTEL_UNTETHER_STATE_DIR": str(home / "state"), "OTEL_UNTETHER_EXIT_TIMEOUT": "600"}
    return {**kept, "HOME": str(home), **ours}


def observer(relay: int) -> int | None:
    """Return the pid of the observer: the relay's child that is no agent's."""
    for child in children(relay):
        words = Path(f"/proc/{child}/cmdline").read_bytes()
        if b"-m\0otel_untether\0run" in words:
            return child
    return None


def children(pid: int) -> Iterator[int]:
    """Yield the pids below one."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, path.read_text().split())


def peak(pid: int) -> float:
    """Return the largest resident size of a process, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) / 1024


def cpu(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(home: Path, calls: int, seconds: float) -> float:
    """Watch a session; return the observer's largest resident size, in MB."""
    process = watched(home, calls, seconds, 0)
    most, pid = 0.0, None
    while process.poll() is None:
        try:
            pid = pid or observer(process.pid)
            most = max(most, peak(pid)) if pid else most
        except (OSError, IndexError):
            pass
        time.sleep(0.02)
    return most


def report(home: Path, form: list[str]) -> tuple[float, float]:
    """Return the seconds of processor time that a form of the report takes, and its MB at most."""
    command = [sys.executable, "-m", "otel_untether", "report", *form]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment(home), stdout=nowhere, stderr=nowhere)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: status {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def calls_told(home: Path) -> int:
    """Return how many tool calls the report tells of: a busy machine may miss some."""
    command = [sys.executable, "-m", "otel_untether", "report", "--json"]
    done = subprocess.run(command, env=environment(home), capture_output=True, check=True)
    return sum(tool["calls"] for tool in json.loads(done.stdout)["tools"])


def following(home: Path, calls: int) -> float:
    """Return the share of a core that a second of an idle agent costs, its transcript long."""
    process = watched(home, calls, 0, 300)
    try:
        time.sleep(5)
        pid = observer(process.pid)
        if pid is None:
            raise SystemExit("there is no observer: run by itself, what does this agent print?")
        while share_of(pid, 5) > 0.03:  # what was printed at once is not behind it yet
            pass
        return share_of(pid, 20)
    finally:
        process.terminate()
        process.wait()


def share_of(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses for so long."""
    before, begun = cpu(pid), time.monotonic()
    time.sleep(seconds)
    return (cpu(pid) - before) / (time.monotonic() - begun)


def main() -> int:
    """Print a row a figure."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="that the session lasts")
    asked = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "long")
        size = memory(home, asked.calls, asked.seconds)
        worst = max(worst, size / MEMORY_MB)
        print(f"{asked.calls} calls: observer {size:.0f} MB at most")
        for name, form in FORMS.items():
            took, most = report(home, form)
            worst = max(worst, took / REPORT_S, most / REPORT_MB)
            print(f"report, {name:10} {took:5.2f} s of a core, {most:.0f} MB at most")
        # Last: what is asked for after it would be charged with the memory that this takes.
        print(f"report, calls told {calls_told(home):,}")
        share = following(Path(folder, "idle"), min(asked.calls, 50_000))
        worst = max(worst, share / FOLLOWING)
        print(f"idle, its transcript followed {100 * share:.2f} % of a core")
    return int(worst > 1)


if __name__ == "__main__":
    sys.exit(main())
