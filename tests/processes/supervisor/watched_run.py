"""A process that runs a command below the supervisor, with one of several observers.

    python watched_run.py OBSERVER COMMAND [ARG ...]

What the observer saw goes, as JSON, to the file that WATCHED_REPORT names.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from otel_untether.supervisor import run as supervisor
from otel_untether.supervisor.ending import end_as
from otel_untether.supervisor.observer import Observer
from otel_untether.supervisor.options import Options

if TYPE_CHECKING:
    from otel_untether.supervisor.observer import Child


class Recording(Observer):
    """Remembers how much it saw, and when it was told what."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.bytes = {"stdout": 0, "stderr": 0}
        self.digest = hashlib.sha256()
        self.gaps = 0
        self.ticks = 0

    def stdout(self, chunk: bytes, at: int) -> None:
        assert self.child.started <= at <= self.child.clock.now()
        self.bytes["stdout"] += len(chunk)
        self.digest.update(chunk)

    def passed(self, size: int, at: int) -> None:
        assert self.child.started <= at <= self.child.clock.now()
        self.bytes["stdout"] += size

    def stderr(self, chunk: bytes, at: int) -> None:
        assert self.child.started <= at <= self.child.clock.now()
        self.bytes["stderr"] += len(chunk)

    def gap(self) -> None:
        self.gaps += 1

    def tick(self, now: int) -> None:
        assert now >= self.child.started
        self.ticks += 1

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        report = os.environ.get("WATCHED_REPORT")
        if report:
            saw = {
                **self.bytes,
                "sha256": self.digest.hexdigest(),
                "gaps": self.gaps,
                "ticks": self.ticks,
                "exit_code": exit_code,
                "signal": signal,
                "lasted": (at - self.child.started) / 1e9,
                "pid": self.child.pid,
                "relayed": sorted(self.child.relayed),
            }
            Path(report).write_text(json.dumps(saw))
        return os.environ.get("WATCHED_SUMMARY")


class Raising(Recording):
    """Fails at everything but the end."""

    def stdout(self, chunk: bytes, at: int) -> None:
        raise ValueError(f"no such line: {len(chunk)} bytes at {at}")

    def stderr(self, chunk: bytes, at: int) -> None:
        raise SystemExit(len(chunk) + at)

    def tick(self, now: int) -> None:
        raise RecursionError(now)


class Deaf(Recording):
    """Wants to know how much came, and not what."""

    reads_stdout = False


class Hanging(Recording):
    """Never returns from the first chunk."""

    def stdout(self, chunk: bytes, at: int) -> None:
        super().stdout(chunk, at)
        time.sleep(3600)


class Held(Recording):
    """Does not return from the first chunk until a file is there."""

    def stdout(self, chunk: bytes, at: int) -> None:
        super().stdout(chunk, at)
        while not Path(os.environ["WATCHED_RELEASE"]).exists():
            time.sleep(0.01)


class Uninterested(Held):
    """Knows only from the first chunk that it wants none; what it read is all that is hashed."""

    def stdout(self, chunk: bytes, at: int) -> None:
        super().stdout(chunk, at)
        self.reads_stdout = False


class Slow(Recording):
    """Takes its time for every chunk."""

    def stdout(self, chunk: bytes, at: int) -> None:
        super().stdout(chunk, at)
        time.sleep(0.05)


class Blocked(Recording):
    """Ends the run's report with the longest write it saw under way."""

    longest = 0.0

    def tick(self, now: int) -> None:
        super().tick(now)
        since = self.child.blocked_since()
        self.longest = max(self.longest, 0.0 if since is None else (now - since) / 1e9)

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        super().finish(exit_code, signal, at)
        return f"blocked for {self.longest > 0.5}"


def broken(child: Child) -> Recording:
    raise ImportError(f"no telemetry\nfor {len(child.argv)} words")


OBSERVERS = {
    "recording": Recording,
    "raising": Raising,
    "deaf": Deaf,
    "hanging": Hanging,
    "held": Held,
    "uninterested": Uninterested,
    "slow": Slow,
    "blocked": Blocked,
    "broken": broken,
}


def main() -> None:
    options = Options(dedicated=True)
    options.terminal = "WATCHED_TERMINAL" in os.environ
    options.exit_timeout = float(os.environ.get("WATCHED_EXIT_TIMEOUT", "2"))
    options.drain_timeout = float(os.environ.get("WATCHED_DRAIN_TIMEOUT", "2"))
    status = supervisor.run(sys.argv[2:], options, OBSERVERS[sys.argv[1]])
    assert threading.current_thread() is threading.main_thread()
    end_as(status)


if __name__ == "__main__":
    main()
