"""How fast recordings become traces: read, decoded, folded, exported to files, each engine's.

    python benchmarks/replay.py [--events N]

A row an engine: its recorded stream with the most calls, over and over until it says as many
events, through `replay` as the command does it, into a folder that is thrown away. Seconds are
of CPU time, all threads together; to look at a file is to read it once before. The exit status
is 1 if an engine is slower than the target.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from otel_untether.engines import registry
from otel_untether.engines.decoding import LineDecoder
from otel_untether.session.events import Event, ToolFinished
from otel_untether.sources.recordings import Given, inspect
from otel_untether.sources.replay import replay
from otel_untether.store import run_folder, segments
from otel_untether.store.runs import Store

TARGET = 10_000  # events a second
RECORDINGS = Path(__file__).parents[1] / "tests"


class Figures(NamedTuple):
    """What a replay took: seconds to look at the file, and to make a trace of it."""

    inspected: float
    replayed: float
    spans: int


def streams(engine: str) -> list[Path]:
    """Return the recorded streams of an engine."""
    folder = RECORDINGS / "conformance" / "recordings" / engine
    described = RECORDINGS / "unit" / "engines" / "described" / f"{engine}.jsonl"
    found = [path for each in (folder, folder / "live") for path in each.glob("*.jsonl")]
    return [*found, described] if described.is_file() else found


def measure(path: Path, engine: str, folder: str) -> Figures:
    """Replay a file; in a process of its own, as OpenTelemetry is set up once in each."""
    begun = time.process_time()
    recording = inspect(path)
    inspected = time.process_time()
    done = replay(recording, store=Store(Path(folder)), environ={}, engine=engine)
    replayed = time.process_time()
    written = Path(folder).rglob(run_folder.TRACES)
    spans = sum(line.count(b'"spanId"') for file in written for line in segments.lines(file))
    if done.problems:
        print(*done.problems, sep="\n", file=sys.stderr)
    return Figures(inspected - begun, replayed - inspected, spans)


def said(path: Path, engine: str) -> list[Event]:
    """Return the events of a recording."""
    decoder = LineDecoder(registry.get(engine))
    events: list[Event] = []
    for arrival in inspect(path).arrivals():
        if isinstance(arrival, Given):
            events += decoder.given(arrival.line + b"\n", arrival.at)
        else:
            events += decoder.decode(arrival.line, arrival.at)
    return events


def repeated(engine: str, wanted: int, into: Path) -> tuple[Path, int]:
    """Write the recording of an engine with the most calls, repeated; also return its events."""
    found = {path: said(path, engine) for path in streams(engine)}
    path = max(found, key=lambda path: sum(isinstance(e, ToolFinished) for e in found[path]))
    times = -(-wanted // len(found[path]))
    made = into / path.name
    made.write_bytes((path.read_bytes().rstrip(b"\n") + b"\n") * times)
    return made, len(found[path]) * times


def main() -> int:
    """Print a row an engine."""
    parser = argparse.ArgumentParser(description="Measure how fast recordings become traces.")
    parser.add_argument("--events", type=int, default=20_000, help="an engine's (default: 20000)")
    parser.add_argument("engine", nargs="*")
    arguments = parser.parse_args()
    missed = False
    print(
        f"{'engine':12}{'events':>8}{'spans':>8}{'looked at':>11}{'replayed':>10}{'events/s':>10}"
    )
    for name in arguments.engine or [e.name for e in registry.engines() if e.understood]:
        with (
            tempfile.TemporaryDirectory() as folder,
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            path, count = repeated(name, arguments.events, Path(folder))
            done = pool.apply(measure, (path, name, folder + "/state"))
        speed = count / (done.inspected + done.replayed)
        missed |= speed < TARGET
        took = f"{done.inspected:9.2f} s{done.replayed:8.2f} s"
        print(f"{name:12}{count:8}{done.spans:8}{took}{speed:10.0f}")
    print(f"target: {TARGET} events/s, {'missed' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
