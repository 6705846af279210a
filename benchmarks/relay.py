"""What it costs an agent to be watched: throughput, latency, the delay of the first byte.

    python benchmarks/relay.py [--megabytes N] [--lines N] [--starts N]

Every figure stands beside the same thing done without us in the same run, alternately: `cat` in
a pipeline for throughput and latency, the bare command for the first byte. Megabytes are 10**6
bytes. The throughput is measured from the first byte to the last. The exit status is 1 if a
target is missed.

Two rows are there to compare with, as they say what the machine leaves: what a second `cat` in
the pipeline adds to a line, which is one more process to wake, and what Python needs to start.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from otel_untether.supervisor import run as supervisor
from otel_untether.supervisor.observer import Observer
from otel_untether.supervisor.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_untether.supervisor.observer import Child

SIZES = (700, 1500, 4000)  # bytes of a line
COMMAND = Path(sys.executable).with_name("otel-untether")


class Row(NamedTuple):
    """One line of the table; `ok` compares with the target, of which `target` is the text."""

    name: str
    alone: str
    watched: str
    compared: str
    target: str
    ok: bool


class Idle(Observer):
    """An observer that looks at nothing."""

    reads_stdout = False

    def __init__(self, child: Child) -> None:
        self.child = child

    def stdout(self, chunk: bytes, at: int) -> None:
        """Do nothing."""

    def passed(self, size: int, at: int) -> None:
        """Do nothing."""

    def stderr(self, chunk: bytes, at: int) -> None:
        """Do nothing."""

    def gap(self) -> None:
        """Say so: a figure with gaps in it would not be one."""
        sys.stderr.write("benchmark: part of the copy was skipped\n")

    def tick(self, now: int) -> None:
        """Do nothing."""

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        """Have nothing to say."""
        del exit_code, signal, at
        return None


class Decoding(Idle):
    """An observer that decodes every line as Claude Code's."""

    reads_stdout = True

    def __init__(self, child: Child) -> None:
        super().__init__(child)
        from otel_untether.engines import registry  # noqa: PLC0415  as in a real run
        from otel_untether.engines.lines import LineSplitter  # noqa: PLC0415

        self.decode = registry.get("claude").decode
        self.lines = LineSplitter()

    def stdout(self, chunk: bytes, at: int) -> None:
        """Decode what came."""
        decode = self.decode
        for line in self.lines.feed(chunk):
            if line is not None:
                decode(line, at)


OBSERVERS: dict[str, Callable[[Child], Observer]] = {"idle": Idle, "decoding": Decoding}


def watched(observer: str, *command: str) -> list[str]:
    """Return `command` run below a supervisor with one of our observers."""
    return [sys.executable, __file__, "--observer", observer, *command]


def write_lines(path: Path, megabytes: int) -> None:
    """Write a session's worth of Claude Code lines, of a few sizes in turn."""
    block = b"".join(_line(size) for size in SIZES)
    with path.open("wb") as file:
        for _ in range(megabytes * 10**6 // len(block)):
            file.write(block)


def throughput(path: Path, megabytes: int) -> Iterator[Row]:
    """Compare `cat FILE | cat`, read by us, with the relay in the place of the second cat."""
    through_cat = ["sh", "-c", 'cat "$0" | cat', str(path)]
    limits = {"idle": 0.9, "decoding": 0.9}
    rates: dict[str, list[float]] = {"cat": [], **{name: [] for name in limits}}
    for _ in range(5):
        rates["cat"].append(megabytes / _drain(through_cat))
        for name in limits:
            rates[name].append(megabytes / _drain(watched(name, "cat", str(path))))
    alone = statistics.median(rates["cat"])
    for name, limit in limits.items():
        rate = statistics.median(rates[name])
        yield Row(
            f"throughput, {name}",
            f"{alone:.0f} MB/s",
            f"{rate:.0f} MB/s",
            f"x {rate / alone:.2f}",
            f">= {limit}",
            rate / alone >= limit,
        )


def latency(lines: int) -> Iterator[Row]:
    """Compare how long a line of 700 bytes takes through `cat`, alone, with another and watched."""
    commands = {
        "alone": ["cat"],
        "hop": ["sh", "-c", "cat | cat"],
        "watched": watched("decoding", "cat"),
    }
    started = {name: Echo(command) for name, command in commands.items()}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(lines + 100):
        for name, echo in started.items():
            took = echo.round_trip(_line(700))
            if index >= 100:
                times[name].append(took * 1e6)
    for echo in started.values():
        echo.close()
    for name, rank, limit in (("p50", 0.5, 12.0), ("p99", 0.99, 60.0)):
        alone, hop, watched_ = (sorted(times[n])[int(rank * lines)] for n in commands)
        yield _compared(f"through a cat, {name}", alone, hop, "us")
        yield _compared(f"a line, {name}", alone, watched_, "us", limit)


def first_byte(starts: int) -> Iterator[Row]:
    """Compare when a command's first byte comes, alone and through `otel-untether run`."""
    command = ["/bin/echo", "x"]
    with tempfile.TemporaryDirectory() as state:
        environ = {**os.environ, "XDG_STATE_HOME": state, "PYTHONPYCACHEPREFIX": f"{state}/pyc"}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        # An installed package has been compiled; so have we after this.
        _first([str(COMMAND), "run", "--", *command], environ)
        alone, python, ours = [], [], []
        for _ in range(starts):
            alone.append(_first(command, environ) * 1e3)
            python.append(_first([sys.executable, "-c", "print()"], environ) * 1e3)
            ours.append(_first([str(COMMAND), "run", "--", *command], environ) * 1e3)
    before, start, after = map(statistics.median, (alone, python, ours))
    yield _compared("of Python, a line", before, start, "ms")
    yield _compared("first byte", before, after, "ms", 30.0)


def _compared(
    name: str, alone: float, watched: float, unit: str, limit: float | None = None
) -> Row:
    """Return a row that says how much more it is; without a limit, one to compare with."""
    added = watched - alone
    target = f"<= {limit:.0f} {unit}" if limit is not None else "(to compare with)"
    return Row(
        name, f"{alone:.1f} {unit}", f"{watched:.1f} {unit}", f"+ {added:.1f} {unit}", target,
        limit is None or added <= limit,
    )  # fmt: skip


class Echo:
    """A running command that repeats what it is told."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout

    def round_trip(self, line: bytes) -> float:
        """Return how long, in seconds, a line takes there and back."""
        start = time.perf_counter()
        os.write(self._stdin.fileno(), line)
        left = len(line)
        while left:
            left -= len(os.read(self._stdout.fileno(), left))
        return time.perf_counter() - start

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _line(size: int) -> bytes:
    text = "The quick brown fox jumps over the lazy dog. " * (size // 45 + 1)
    block = {"type": "text", "text": ""}
    message = {
        "type": "assistant",
        "message": {
            "id": "msg_01",
            "role": "assistant",
            "model": "claude-opus-5-5",
            "content": [block],
            "usage": {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 1},
        },
        "parent_tool_use_id": None,
        "session_id": "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a",
        "uuid": "a29290a1-e726-490c-a198-4a147d1d6d2d",
    }
    missing = size - len(json.dumps(message)) - 1
    block["text"] = text[:missing]
    return json.dumps(message).encode() + b"\n"


def _drain(command: Sequence[str]) -> float:
    """Return how long `command` took from its first byte to its last."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        os.read(fd, 1)
        start = time.perf_counter()
        while os.read(fd, 1 << 16):
            pass
        return time.perf_counter() - start


def _first(command: Sequence[str], environ: dict[str, str]) -> float:
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, bufsize=0
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        took = time.perf_counter() - start
        process.stdout.read()
    return took


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows, aligned."""
    print(f"{'':22}{'alone':>12}{'watched':>12}{'':>12}  target")
    for row in rows:
        verdict = "" if row.ok else "  MISSED"
        columns = f"{row.name:22}{row.alone:>12}{row.watched:>12}{row.compared:>12}"
        print(f"{columns}  {row.target}{verdict}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=600)
    parser.add_argument("--lines", type=int, default=3000)
    parser.add_argument("--starts", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "session.jsonl")
        write_lines(path, args.megabytes)
        rows = [*throughput(path, args.megabytes)]
    rows += [*latency(args.lines), *first_byte(args.starts)]
    print_table(rows)
    return 0 if all(row.ok for row in rows) else 1


def be_watched(observer: str, command: Sequence[str]) -> int:
    """Be the process that runs `command` below a supervisor."""
    return supervisor.run(command, Options(dedicated=True), OBSERVERS[observer])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--observer"]:
        sys.exit(be_watched(sys.argv[2], sys.argv[3:]))
    sys.exit(main())
