"""Many short runs at once: every one of them leaves its trace, whole.

    python -m tests.processes.reliability.crowd [RUNS [AT_ONCE]]

An agent that ends at once is gone before anything of OpenTelemetry's is imported; with hundreds
of them on two cores their observers get little of the processor for a minute. The table says
how many of the spans are there, from the files alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from otel_untether.store.run_lock import is_held
from tests.processes.reliability import accounts

ROOT = Path(__file__).parents[3]
RECORDING = ROOT / "tests" / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"


class Crowd(NamedTuple):
    """What became of a crowd: runs whose bytes, status and spans were all there."""

    runs: int
    bytes_right: int
    status_right: int
    complete: int
    waited: float
    odd: tuple[dict[str, int], ...]


def carry_out(runs: int, at_once: int) -> Crowd:
    """Run so many agents, so many at a time, and wait for the last observer."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        one(state, 0)
        settle(state)
        (alone,) = accounts.traces(state).values()
        with ThreadPoolExecutor(at_once) as pool:
            ended = list(pool.map(lambda number: one(state, number), range(1, runs + 1)))
        began = time.monotonic()
        settle(state)
        waited = time.monotonic() - began
        kept = [trace for trace in accounts.traces(state).values() if trace.folder != alone.folder]
    expected = Counter(span["name"] for span in alone.spans)
    found = [Counter(span["name"] for span in trace.spans) for trace in kept]
    odd = [(names - expected) + (expected - names) for names in found if names != expected]
    return Crowd(
        runs,
        sum(output == RECORDING.read_bytes() for output, _, _ in ended),
        sum(status == number % 256 for _, status, number in ended),
        len(kept) - len(odd),
        waited,
        tuple(dict(names) for names in odd),
    )


def one(state: Path, number: int) -> tuple[bytes, int, int]:
    """Run an agent that says everything at once; return what it said, its status, its number."""
    agent = ["sh", "-c", f"cat {RECORDING}; exit {number % 256}"]
    ended = subprocess.run(
        [sys.executable, "-m", "otel_untether", "run", "-q", "--engine", "claude", "--", *agent],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "OTEL_UNTETHER_STATE_DIR": str(state),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return ended.stdout, ended.returncode, number


def settle(state: Path, seconds: float = 300) -> None:
    """Wait until nobody watches or sends a run any more."""
    deadline = time.monotonic() + seconds
    while any(is_held(run) for run in (state / "runs").iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def table(crowd: Crowd) -> str:
    """Return the accounting as text."""
    return (
        f"{crowd.runs} runs: bytes right {crowd.bytes_right}, status right {crowd.status_right}, "
        f"complete traces {crowd.complete} (what the others have "
        f"more or less: {crowd.odd}); "
        f"the last observer ended {crowd.waited:.1f} s after the last run"
    )


def main() -> int:
    """Print the accounting; 1 if anything is missing."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    at_once = int(sys.argv[2]) if len(sys.argv) > 2 else runs
    crowd = carry_out(runs, at_once)
    print(table(crowd))
    return int(not crowd.runs == crowd.bytes_right == crowd.status_right == crowd.complete)


if __name__ == "__main__":
    sys.exit(main())
