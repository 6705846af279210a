"""What the gauges of many live sessions cost, and what many short ones leave behind.

    python benchmarks/gauges.py [--live N] [--sequential N]

Live sessions: made, collected into one export and encoded as OTLP, with memory per session. What
the SDK takes to collect alone, through one MeterProvider per session, stands beside it, on a
tenth of them. The target is a ratio of the two, as milliseconds say more of a machine's mood
than of us: 250 ms for 1,000 sessions where the SDK needs 0.21 ms a session, as it did where the
target was set.
Sequential sessions: started, counted, exported and ended one after another in one process,
which must end up as it began: memory, descriptors, threads, and no series folded into
`otel.metric.overflow`. Times of collecting and encoding are CPU time, the best of several. The
exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics import export as sdk_classes
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
)
from opentelemetry.sdk.resources import Resource

from otel_untether import semconv
from otel_untether.export.gauge_exporter import BATCH, GaugeExporter
from otel_untether.export.session_gauges import SessionGauges
from otel_untether.metrics import FleetMetrics
from otel_untether.proc_diag import Identity, ProcessSnapshot, SocketDiag, Tree, TreeSnapshot
from otel_untether.proc_diag.sampler import Sampler, Window
from otel_untether.session.outcome import Outcome
from otel_untether.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTED = 250 / 210  # of what the SDK takes to collect alone; ours is encoded, too
PER_SESSION = 100 * 1024  # bytes
GROWTH = 2 * 1024 * 1024  # bytes, over all sequential sessions
CUMULATIVE = AggregationTemporality.CUMULATIVE
BASE = Resource({"service.name": "benchmark", "host.name": "here"})


class Row(NamedTuple):
    """One line of the table; `ok` is None where there is no target."""

    name: str
    measured: str
    target: str = ""
    ok: bool | None = None


class Counting(MetricExporter):
    """Encodes what it gets, and looks whether any of it was folded into the overflow."""

    def __init__(self) -> None:
        super().__init__()
        self.exports = self.points = self.overflows = 0

    def export(self, metrics_data: MetricsData, *args: Any, **kwargs: Any) -> MetricExportResult:
        """Count and encode."""
        del args, kwargs
        encode_metrics(metrics_data).SerializeToString()
        self.exports += 1
        for resource in metrics_data.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        self.points += 1
                        self.overflows += "otel.metric.overflow" in (point.attributes or {})
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Nothing is kept back."""
        del timeout_millis
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        """Nothing is open."""


def diag(number: int) -> TreeSnapshot:
    """Make a sample of a tree of three processes with one connection."""
    members = tuple(
        ProcessSnapshot(
            Identity(number * 10 + i, float(i)), number, number, number, "node", "S",
            1.0 + i, 0.5, 0.0, 10**8 + number, 11, 24, "do_epoll_wait", 100, 5, 10**6, 10**5,
        )
        for i in range(3)
    )  # fmt: skip
    socket = SocketDiag(number, "ESTABLISHED", 443, 0, 0, 0.5, 0.5)
    return TreeSnapshot(
        time.monotonic(), alive=True, leader=members[0], processes=members, sockets=(socket,),
        cpu_time=4.5, cpu_rate=0.1, leader_cpu_rate=0.1, rss=3 * 10**8, threads=33, fds=72,
        io_read=3 * 10**6, io_written=3 * 10**5,
    )  # fmt: skip


def session(number: int) -> tuple[SessionState, SessionGauges, Window]:
    """Make a session that has been sampled as often as its window holds."""
    state = SessionState(f"run-{number}", time.time_ns(), engine="claude", pid=number + 1)
    state.line(time.time_ns())
    window = Window()
    for _ in range(16):
        window.append(diag(number))
    return state, SessionGauges(state, BASE, window), window


def live(count: int) -> Iterator[Row]:
    """Measure many sessions at once."""
    sdk = by_the_sdk(max(1, count // 10)) * count
    gc.collect()
    tracemalloc.start()
    sessions = [session(number) for number in range(count)]
    for _, gauges, _ in sessions:
        gauges.collect(time.time_ns(), CUMULATIVE, sdk_classes)
    memory = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    collecting, encoding, size = [], [], 0
    for _ in range(15):
        collecting.append(0.0)
        encoding.append(0.0)
        size = points = 0
        for at in range(0, count, BATCH):
            began, now = time.thread_time(), time.time_ns()
            batch = [
                gauges.collect(now, CUMULATIVE, sdk_classes)
                for _, gauges, _ in sessions[at : at + BATCH]
            ]
            collected = time.thread_time()
            size += len(encode_metrics(MetricsData(batch)).SerializeToString())
            encoding[-1] += time.thread_time() - collected
            collecting[-1] += collected - began
            points += sum(map(points_of, batch))
    total = min(collecting) + min(encoding)
    yield Row(f"{count} live sessions, {points} points, {size / 1e6:.1f} MB", "")
    yield Row("  collected", f"{min(collecting) * 1e3:.0f} ms")
    yield Row("  and encoded", f"{total * 1e3:.0f} ms")
    yield Row("  collected by MeterProviders instead", f"{sdk * 1e3:.0f} ms")
    yield Row("  ours, encoded, to theirs", f"{total / sdk:.2f}", f"<= {COLLECTED:.2f}",
              total / sdk <= COLLECTED)  # fmt: skip
    yield Row("  memory of a session", f"{memory / 1024:.0f} KiB",
              f"<= {PER_SESSION // 1024} KiB", memory <= PER_SESSION)  # fmt: skip


def points_of(resource: ResourceMetrics) -> int:
    """Return how many data points there are."""
    metrics = (metric for scope in resource.scope_metrics for metric in scope.metrics)
    return sum(len(metric.data.data_points) for metric in metrics)


def by_the_sdk(count: int) -> float:
    """Return what as many gauges take through a MeterProvider per session, in s a session."""
    names = [name for name, metric in semconv.METRICS.items() if "observable" in metric.instrument]
    readers = []
    for number in range(count):
        reader = InMemoryMetricReader()
        provider = MeterProvider(
            [reader], Resource({"service.instance.id": str(number)}), shutdown_on_exit=False
        )
        meter = provider.get_meter("benchmark")
        for name in names:
            meter.create_observable_gauge(name, [lambda _: [Observation(1, {"a": "b"})]])
        readers.append(reader)
    took = []
    for _ in range(4):
        began = time.thread_time()
        for reader in readers:
            reader.collect()
        took.append(time.thread_time() - began)
    return min(took) / count


def sequential(count: int) -> Iterator[Row]:
    """Measure sessions that come and go."""
    exporter, reader = Counting(), InMemoryMetricReader()
    fleet = FleetMetrics(MeterProvider([reader], shutdown_on_exit=False))
    gauges, sampler = GaugeExporter([exporter], interval=0.05), Sampler(0.05)
    one_after_another(range(count // 4), fleet, gauges, sampler, reader)
    before = resident(), descriptors(), threading.active_count()
    began = time.perf_counter()
    one_after_another(range(count // 4, count), fleet, gauges, sampler, reader)
    took = time.perf_counter() - began
    after = resident(), descriptors(), threading.active_count()
    data = reader.get_metrics_data()
    if data is not None:
        exporter.export(data)
    grown = after[0] - before[0]
    yield Row(f"{count} sessions one after another", f"{took / count * 1e3:.2f} ms each")
    yield Row("  memory grew by", f"{grown / 1024:.0f} KiB", f"<= {GROWTH // 1024} KiB",
              grown <= GROWTH)  # fmt: skip
    yield Row("  series folded into the overflow", str(exporter.overflows), "0",
              exporter.overflows == 0)  # fmt: skip
    yield Row("  descriptors, threads left open", f"{after[1] - before[1]}, {after[2] - before[2]}",
              "0, 0", before[1:] == after[1:])  # fmt: skip


def one_after_another(
    numbers: range,
    fleet: FleetMetrics,
    gauges: GaugeExporter,
    sampler: Sampler,
    reader: InMemoryMetricReader,
) -> None:
    """Run sessions one after another, and wait for the threads to end."""
    for number in numbers:
        state = SessionState(f"run-{number}", time.time_ns(), engine="claude", pid=os.getpid())
        metrics = fleet.session(state)
        window = sampler.add(state.run_id, Tree(os.getpid()))
        own = SessionGauges(state, BASE, window)
        gauges.add(own)
        state.line(time.time_ns())
        metrics.tick()
        if number % 100 == 0:
            gauges.flush(10)
            reader.get_metrics_data()
        metrics.end(Outcome("completed"), time.time_ns())
        gauges.remove(own)
        sampler.remove(state.run_id)
    gauges.shutdown(10)
    sampler.close()
    while threading.active_count() > 1:
        time.sleep(0.01)


def resident() -> int:
    """Return this process's resident memory, in bytes, without what malloc holds in reserve."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> int:
    """Measure, print the table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--live", type=int, default=1000)
    parser.add_argument("--sequential", type=int, default=10_000)
    arguments = parser.parse_args()
    missed = 0
    for rows in (
        live(arguments.live),
        sequential(arguments.sequential),
    ):
        for row in rows:
            verdict = {None: "", True: "ok", False: "MISSED"}[row.ok]
            print(f"{row.name:44} {row.measured:>16}  {row.target:>12}  {verdict}", flush=True)
            missed += row.ok is False
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
