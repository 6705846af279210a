"""Runs parts of the test suite, all of them whatever fails, and says how each went.

    python -m scripts.test_parts backends+lint,unit processes+e2e

Each word is a target of the Makefile. Those joined by `+` run side by side, as they mostly wait;
those joined by `,` one after the other, beside what else is in their group: above, `unit` follows
`lint`, and the second group both of them and `backends`. Every line of output is prefixed with its
part, and kept in `build/test/PART.log`. The exit status is 0 if all parts passed, 1 otherwise. What
failed is said once more at the end, and its names at the very end: often only the last lines of a
log are kept.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
LOGS: Final = ROOT / "build" / "test"

# What pytest says of a failed test: lines of its traceback, and of the summary at the end.
_ERROR: Final = "E   "
_SUMMARY: Final = ("FAILED ", "ERROR ", "SKIPPED ")
_MOST: Final = 15  # lines of each kind
_WIDEST: Final = 300
_NARROW: Final = 160


class Result(NamedTuple):
    """How a part went: make's exit status, and how long it took in seconds."""

    part: str
    status: int
    seconds: float

    def __str__(self) -> str:
        word = "passed" if self.status == 0 else f"FAILED, see build/test/{self.part}.log"
        return f"{self.part:<12} {_clock(self.seconds)}  {word}"


class Part:
    """One part: a target of the Makefile, run in a process group of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.result = Result(name, 1, 0.0)
        self._began = time.monotonic()
        self._make = subprocess.Popen(
            [os.environ.get("MAKE", "make"), "--no-print-directory", name],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def run(self) -> None:
        """Pass its output on, line by line, until it ends."""
        assert self._make.stdout is not None
        with (LOGS / f"{self.name}.log").open("w") as log:
            for line in self._make.stdout:
                log.write(line)
                print(f"{self.name} | {line}", end="", flush=True)
        status = self._make.wait()
        self.result = Result(self.name, status, time.monotonic() - self._began)

    def stop(self) -> None:
        """Ask the part to end, as Ctrl-C would."""
        if self._make.poll() is None:
            os.killpg(self._make.pid, signal.SIGINT)


class Lane(threading.Thread):
    """Parts that run one after the other, beside other lanes."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.results: list[Result] = []
        self._names = names
        self._lock = threading.Lock()
        self._part: Part | None = None
        self._over = False

    def run(self) -> None:
        """Run each part to its end, unless the lane is stopped before."""
        for name in self._names:
            with self._lock:
                if self._over:
                    return
                self._part = part = Part(name)
            part.run()
            self.results.append(part.result)

    def stop(self) -> None:
        """Stop the part at work; none begins any more."""
        with self._lock:
            self._over = True
            if self._part is not None:
                self._part.stop()


def run(groups: Sequence[str]) -> list[Result]:
    """Run the groups one after the other; Ctrl-C ends the group at work and all that follow."""
    LOGS.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for group in groups:
        lanes = [Lane(names.split(",")) for names in group.split("+")]
        for lane in lanes:
            lane.start()
        try:
            for lane in lanes:
                lane.join()
        except KeyboardInterrupt:
            for lane in lanes:
                lane.stop()
                lane.join()
            return results + [result for lane in lanes for result in lane.results]
        results += [result for lane in lanes for result in lane.results]
    return results


def told(part: str) -> list[str]:
    """Return the lines of a failed part's log that say what failed: pytest's, or the last ones."""
    lines = (LOGS / f"{part}.log").read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith(_ERROR)][-_MOST:]
    summary = [line for line in lines if line.startswith(_SUMMARY)][-_MOST:]
    return [f"{part} | {line[:_WIDEST]}" for line in (errors + summary or lines[-_MOST:])]


def names(part: str) -> list[str]:
    """Return a line for each test that a failed part's log names, as short as it can be."""
    lines = (LOGS / f"{part}.log").read_text(errors="replace").splitlines()
    named = [line for line in lines if line.startswith(_SUMMARY[:2])][-_MOST:]
    return [f"  {line.split(' - ')[0][:_NARROW]}" for line in named]


def main(groups: Sequence[str]) -> int:
    """Run the groups, and say at the end how each part went."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    results = run(groups)
    for result in results:
        if result.status:
            print("", *told(result.part), sep="\n")
    wanted = [part for group in groups for part in re.split("[+,]", group)]
    failed = [result.part for result in results if result.status]
    not_run = [part for part in wanted if part not in {result.part for result in results}]
    print("", *results, f"{'in all':<12} {_clock(time.monotonic() - began)}", sep="\n")
    for what, parts in (("failed", failed), ("not run", not_run)):
        if parts:
            print(f"{what}: {', '.join(parts)}")
    for part in failed:
        print("\n".join(names(part)))
    return 1 if failed or not_run else 0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:3}:{rest:02}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
