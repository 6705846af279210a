"""What a whole short run costs, and how long the end of a longer one is held up.

    python benchmarks/short_run.py [--runs N] [--kept N]

A scripted Claude Code prints a small session, below a real `otel-untether run` that no collector
is set for, in a state directory with as many runs as are kept by default. The processor's time is
that of all processes: the relay, the observer, which goes on when the command has ended, and the
agent, without what that takes alone; the least of all runs counts, as this says least of what
else the machine does. The end of a session of 1.2 s is compared with the bare agent's, by turns.
The exit status is 1 where a figure is above what is promised.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from otel_untether.store.runs import RunIdentity, Store

CPU_S, RELAY_MB, TOGETHER_MB, EXIT_MS = 0.15, 15.0, 70.0, 20.0
WATCHED = [str(Path(sys.executable).with_name("otel-untether")), "run", "-q", "--"]
SESSION = "5f0c9a1e-0000-4000-8000-000000000001"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def lines() -> str:
    """Return a small session in Claude Code's words."""
    told = {"session_id": SESSION, "parent_tool_use_id": None}
    usage = {"input_tokens": 1000, "output_tokens": 20}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}
    text = {"type": "text", "text": "It is done."}
    message = {"role": "assistant", "model": "scripted", "usage": usage}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt"}
    session: list[dict[str, object]] = [
        {"type": "system", "subtype": "init", "claude_code_version": "2.1.330", "tools": ["Bash"]},
        {"type": "assistant", "message": {**message, "id": "msg_1", "content": [call]}},
        {"type": "user", "message": {"role": "user", "content": [result]}},
        {"type": "assistant", "message": {**message, "id": "msg_2", "content": [text]}},
        {"type": "result", "subtype": "success", "is_error": False, "num_turns": 2},
    ]
    return "".join(json.dumps({**line, **told}) + "\n" for line in session)


def make_agent(folder: Path) -> Path:
    """Return a command called as Claude Code is, which says all that and sleeps so long."""
    (folder / "session").write_text(lines())
    agent = folder / "claude"
    agent.write_text(
        f"#!/bin/sh\ncat '{folder}/session'\n[ $1 = 0 ] && exit\n"
        f"sleep $1\ndate +%s%N > '{folder}/last'\n"
    )
    agent.chmod(0o755)
    return agent


def keep_runs(folder: Path, count: int) -> None:
    """Fill a state directory with runs that have ended."""
    store = Store(folder)
    for number in range(count):
        run = store.create_run(RunIdentity(f"{number:016x}", "claude"), started=time.time_ns())
        for name in ("traces.jsonl", "logs.jsonl", "metrics.jsonl", "journal.jsonl"):
            (run.path / name).write_text("{}\n")
        run.update(ended=time.time_ns())
        run.release()


def cost(command: list[str], environ: dict[str, str]) -> float:
    """Return the processor's time (s) of a command and of all who are left of it."""
    process = subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    cpu = 0.0
    while True:
        try:
            _, _, used = os.wait4(-1, 0)  # those left become our children
        except ChildProcessError:
            break
        cpu += used.ru_utime + used.ru_stime
    process.returncode = 0
    return cpu


def memory(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return how much memory (MB) a command has had after a second, and with its own Python's."""
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ours = [pid for pid in children if Path(f"/proc/{pid}/exe").samefile(sys.executable)]
        relay = _peak(process.pid)
        return relay, relay + sum(map(_peak, ours))


def _peak(pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


def ending(command: list[str], environ: dict[str, str], agent: Path) -> float:
    """Return how long a command takes to end once its agent has come to its last step, in ms."""
    subprocess.run(
        command, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return (time.time_ns() - int(agent.with_name("last").read_text())) / 1e6


def row(name: str, measured: str, limit: str, *, ok: bool) -> bool:
    """Print a line of the table; return whether the figure is as promised."""
    print(f"{name:44}{measured:>18}  <= {limit}{'' if ok else '  MISSED'}")
    return ok


def short(runs: int, environ: dict[str, str], agent: Path) -> bool:
    """Measure the processor's time of a short run."""
    bare, watched = [str(agent), "0"], [*WATCHED, str(agent), "0"]
    cost(watched, environ)  # an installed package has been compiled; so have we after this
    alone = min(cost(bare, environ) for _ in range(runs))
    python = min(cost([sys.executable, "-c", "pass"], environ) for _ in range(runs))
    cpu = min(cost(watched, environ) for _ in range(runs)) - alone
    print(f"`python -c pass`: {python:.3f} s; a short run: {cpu / python:.1f} times that")
    return row("processor time of a short run", f"{cpu:.3f} s", f"{CPU_S} s", ok=cpu <= CPU_S)


def held(environ: dict[str, str], agent: Path) -> bool:
    """Measure the memory of a run."""
    relay, both = memory([*WATCHED, str(agent), "1.5"], environ)
    met = row("memory, relay", f"{relay:.0f} MB", f"{RELAY_MB:g} MB", ok=relay <= RELAY_MB)
    name, limit = "memory, relay and observer", f"{TOGETHER_MB:g} MB"
    return row(name, f"{both:.0f} MB", limit, ok=both <= TOGETHER_MB) and met


def end(runs: int, environ: dict[str, str], agent: Path) -> bool:
    """Measure how long the end of a session of more than a second is held up."""
    bare = [str(agent), "1.2"]
    watched = [*WATCHED, *bare]
    alone, ours = [], []
    for _ in range(runs):
        alone.append(ending(bare, environ, agent))
        ours.append(ending(watched, environ, agent))
    added = statistics.median(ours) - statistics.median(alone)
    return row("end of a longer one", f"+ {added:.0f} ms", f"{EXIT_MS:g} ms", ok=added <= EXIT_MS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--kept", type=int, default=200)
    args = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        keep_runs(state, args.kept)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        environ |= {"OTEL_UNTETHER_STATE_DIR": str(state), "HOME": folder}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        agent = make_agent(Path(folder))
        met = [
            short(args.runs, environ, agent),
            held(environ, agent),
            end(args.runs, environ, agent),
        ]
        return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
