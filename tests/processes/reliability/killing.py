"""Kill relay, observer, both, or all, at random moments, and account for every span.

    python -m tests.processes.reliability.killing [TRIALS [SEED]]

A moment is drawn between the agent's first breath and the end of all. Afterwards every run is
recovered, as the next `run`, `resend` or `report` would; then each trace that an agent was told
of must be there with one root, every span that was begun ended once, ids unique, and every
parent present. The table that is printed says where the kills fell.

Every second run has its spans set aside and compressed after every few of them, and its journal
written anew each time.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from otel_untether.store.recovery import recover
from tests.processes.reliability import accounts

ROOT = Path(__file__).parents[3]
RECORDING = ROOT / "tests" / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"
VICTIMS = ("relay", "observer", "both", "agent", "all")
# How long, in seconds, a run may go on after the agent's first breath; SDK import included.
LONGEST = 2.5
_AT_ONCE = 4

AGENT = """
import os, sys, time
open(sys.argv[1], 'w').write(os.environ.get('TRACEPARENT', ''))
for line in open(sys.argv[2], 'rb'):
    os.write(1, line)
    time.sleep(float(sys.argv[3]))
"""


# The command with files that are full after so many bytes.
SMALL = """
import sys
from otel_untether.store import segments
segments.LARGEST = int(sys.argv.pop(1))
from otel_untether.cli import main
sys.exit(main(sys.argv[1:]))
"""
_FEW_SPANS = 6_000


class Trial(NamedTuple):
    """One run and who was killed when, in seconds after the agent's first breath."""

    victim: str
    moment: float
    traceparent: str
    hit: bool
    relay_status: int | None


def trial(state: Path, number: int, victim: str, moment: float, pause: float) -> Trial:
    """Start a run, kill at the moment, and wait for the end of everybody."""
    mark = state / f"mark-{number}"
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OTEL_UNTETHER_STATE_DIR": str(state),
        # Of more trials than runs are kept the first would be gone before they are counted.
        "OTEL_UNTETHER_KEEP_RUNS": "100000",
    }
    agent = [sys.executable, "-c", AGENT, str(mark), str(RECORDING), str(pause)]
    command = ["-c", SMALL, str(_FEW_SPANS)] if number % 2 else ["-m", "otel_untether"]
    relay = subprocess.Popen(
        [sys.executable, *command, "run", "-q", "--engine", "claude", "--", *agent],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for(lambda: mark.exists() and mark.stat().st_size > 0)
    processes = _children(relay.pid)
    time.sleep(moment)
    hit = False
    for pid in _victims(victim, relay.pid, processes):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            hit = True
    relay.wait()
    _wait_for(lambda: not any(_alive(pid) for pid in processes.values()), 90)
    return Trial(victim, moment, mark.read_text(), hit, relay.returncode)


def carry_out(trials: int, seed: int, *, pause: float = 0.03) -> tuple[list[Trial], list[str]]:
    """Carry out so many trials; return them and what was wrong with their traces."""
    chosen = random.Random(seed)
    plan = [
        (number, VICTIMS[number % len(VICTIMS)], chosen.uniform(0, LONGEST) ** 2 / LONGEST)
        for number in range(trials)
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_AT_ONCE) as pool:
        state = Path(folder)
        wrong: list[str] = []
        done = list(pool.map(lambda it: trial(state, it[0], it[1], it[2], pause), plan))
        for run in (state / "runs").iterdir():
            recover(run)
            wrong += [f"{run.name}: {path.name}" for path in run.iterdir() if not _is_whole(path)]
        before = accounts.traces(state)
        for run in (state / "runs").iterdir():
            recover(run)  # a second time adds nothing
        kept = accounts.traces(state)
        wrong += [f"{trace.folder.name}: changed" for id_, trace in kept.items()
                 if trace.ids != before[id_].ids]  # fmt: skip
        for one in done:
            wrong += _account(one, kept)
    return done, wrong


def _is_whole(path: Path) -> bool:
    """Whether a file is none that somebody was about to compress, or to put in another's place."""
    name = path.name
    return not (name.startswith(".") and name != ".lock") and not re.search(r"-\d{4}\.jsonl$", name)


def _account(one: Trial, kept: dict[str, accounts.Trace]) -> list[str]:
    where = f"{one.victim} killed after {one.moment:.3f} s"
    try:
        _, trace_id, root, _ = one.traceparent.split("-")
    except ValueError:
        return [f"{where}: the agent was told {one.traceparent!r}"]
    if trace_id not in kept:
        return [f"{where}: no trace"]
    return [f"{where}: {complaint}" for complaint in kept[trace_id].complaints(root)]


def _children(pid: int) -> dict[str, int]:
    """Return a relay's observer, which leads a session of its own, and its agent."""
    found: dict[str, int] = {}
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        for child in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                leads = os.getsid(child) == child
                found["observer" if leads else "agent"] = child
    return found


def _victims(victim: str, relay: int, processes: dict[str, int]) -> list[int]:
    everybody = {"relay": relay, **processes}
    names = {"both": ("relay", "observer"), "all": ("agent", "relay", "observer")}
    return [everybody[name] for name in names.get(victim, (victim,)) if name in everybody]


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def _wait_for(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def table(done: list[Trial], wrong: list[str]) -> str:
    """Return the accounting as text."""
    hits = Counter(one.victim for one in done if one.hit)
    early = sum(one.moment < 0.1 for one in done)
    lines = [f"{len(done)} kills, {early} of them in the first 0.1 s of the agent"]
    lines += [f"  {victim:9} {hits[victim]:4} still there when killed" for victim in VICTIMS]
    return "\n".join([*lines, f"  wrong     {len(wrong):4}", *wrong])


def main() -> int:
    """Print the accounting; 1 if anything was wrong."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    print(f"seed {seed}")
    done, wrong = carry_out(trials, seed)
    print(table(done, wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
