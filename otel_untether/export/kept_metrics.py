"""Metrics that go nowhere but into a run's folder, without the SDK.

The instruments that we have, and no others: counters, up-down counters and histograms of fixed
buckets, all of them cumulative. What is measured under the same attributes is one point, as of
the SDK's default views, and all of it is written when asked for, each minute from then on, and
at the end.

They are called as the API's are, and are not derived from those, whose import takes 4 ms.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from otel_untether.export import metric_data
from otel_untether.export.kept_resource import Scope
from otel_untether.export.otlp_json import Lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from otel_untether.export.kept_resource import KeptResource

    Key = frozenset[tuple[str, Any]]

# Called as the SDK's are: what these say goes to the run's folder, not to the agent's terminal.
_log: Final = logging.getLogger(f"opentelemetry.{__name__}")

_INTERVAL: Final = 60.0  # seconds, as OTEL_METRIC_EXPORT_INTERVAL is by default
# Of the SDK, where nobody says otherwise.
_BOUNDS: Final = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)


class KeptMetrics:
    """The file of a run's metrics, as an exporter of the SDK's is called."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines("metrics", path)

    def export(self, metrics_data: Any, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002
        """Append a collection as one line; tell whether it is on disk."""
        return self._lines.write(metrics_data) is None

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class KeptMeterProvider:
    """Has what its instruments measure written to a run's file.

    :param resource: whose metrics they are.
    :param file: where they go, None for nowhere.
    """

    def __init__(self, resource: KeptResource, file: KeptMetrics | None) -> None:
        self._resource = resource
        self._file = file
        self._meters: list[KeptMeter] = []
        self._ended = threading.Event()
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None

    def get_meter(
        self,
        name: str,
        version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> KeptMeter:
        """Return a meter of a scope."""
        meter = KeptMeter(Scope(name, version, schema_url, attributes))
        self._meters.append(meter)
        return meter

    def collect(self) -> metric_data.MetricsData:
        """Return all that was measured so far."""
        now = time.time_ns()
        scopes = [found for meter in self._meters if (found := meter.collect(now)).metrics]
        if not scopes:
            return metric_data.MetricsData([])
        schema = self._resource.schema_url
        return metric_data.MetricsData(
            [metric_data.ResourceMetrics(self._resource, scopes, schema)]
        )

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Write it now, and from now on each minute; tell whether it is on disk."""
        with self._beginning:
            if self._thread is None and self._file is not None:
                self._thread = threading.Thread(
                    target=self._write_now_and_then, name="otel-untether-metrics", daemon=True
                )
                # Where there can be no thread there is still an end.
                with contextlib.suppress(RuntimeError):
                    self._thread.start()
        return self._write(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000) -> None:
        """Write it for the last time, and close the file."""
        self._ended.set()
        self._write(timeout_millis)
        if self._file is not None:
            self._file.close()

    def _write(self, timeout_millis: float = 10_000) -> bool:
        return self._file is None or self._file.export(self.collect(), timeout_millis)

    def _write_now_and_then(self) -> None:
        while not self._ended.wait(_INTERVAL):
            self._write()


class KeptMeter:
    """Makes the instruments of one scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._instruments: list[KeptCounter | KeptHistogram] = []

    def collect(self, now: int) -> metric_data.ScopeMetrics:
        """Return what its instruments measured up to `now`, in ns since the epoch."""
        found = [metric for each in self._instruments if (metric := each.collect(now)) is not None]
        return metric_data.ScopeMetrics(self._scope, found, self._scope.schema_url or "")

    def create_counter(self, name: str, unit: str = "", description: str = "") -> KeptCounter:
        """Make an instrument of what only grows."""
        counter = KeptCounter(name, unit, description, grows=True)
        self._instruments.append(counter)
        return counter

    def create_up_down_counter(
        self, name: str, unit: str = "", description: str = ""
    ) -> KeptCounter:
        """Make an instrument of what comes and goes."""
        counter = KeptCounter(name, unit, description, grows=False)
        self._instruments.append(counter)
        return counter

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Sequence[float] | None = None,
    ) -> KeptHistogram:
        """Make an instrument of what is measured each time."""
        bounds = tuple(explicit_bucket_boundaries_advisory or _BOUNDS)
        histogram = KeptHistogram(name, unit, description, bounds=bounds)
        self._instruments.append(histogram)
        return histogram


class KeptCounter:
    """Adds up; what `grows` alone takes nothing below zero, as in the SDK."""

    def __init__(self, name: str, unit: str, description: str, *, grows: bool) -> None:
        self._named = name, description, unit
        self._grows = grows
        self._lock = threading.Lock()
        self._points: dict[Key, metric_data.NumberDataPoint] = {}

    def add(self, amount: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Add to the point of these attributes."""
        if not math.isfinite(amount):
            _log.warning("%s adds numbers: %r is not added", self._named[0], amount)
            return
        if self._grows and amount < 0:
            _log.warning("%s only grows: %r is not added", self._named[0], amount)
            return
        own = dict(attributes or {})
        with self._lock:
            point = self._points.get(key := frozenset(own.items()))
            if point is None:
                point = metric_data.NumberDataPoint(own, time.time_ns(), 0, 0)
                self._points[key] = point
            point.value += amount

    def collect(self, now: int) -> metric_data.Metric | None:
        """Return what has been added up, None where nothing has been added."""
        with self._lock:
            points = [replace(point, time_unix_nano=now) for point in self._points.values()]
        if not points:
            return None
        data = metric_data.Sum(points, metric_data.CUMULATIVE, self._grows)
        return metric_data.Metric(*self._named, data)


class KeptHistogram:
    """Counts what is measured by its size, in buckets up to and with each of `bounds`."""

    def __init__(
        self, name: str, unit: str, description: str, *, bounds: tuple[float, ...]
    ) -> None:
        self._named = name, description, unit
        self._bounds = bounds
        self._lock = threading.Lock()
        self._points: dict[Key, metric_data.HistogramDataPoint] = {}

    def record(self, amount: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Count one more into the point of these attributes."""
        if not (math.isfinite(amount) and amount >= 0):
            _log.warning("%s has sizes from 0 on: %r is not counted", self._named[0], amount)
            return
        own = dict(attributes or {})
        with self._lock:
            point = self._points.get(key := frozenset(own.items()))
            if point is None:
                point = self._points[key] = self._empty(own)
            point.count += 1
            point.sum += amount
            point.min, point.max = min(point.min, amount), max(point.max, amount)
            point.bucket_counts[bisect_left(self._bounds, amount)] += 1

    def collect(self, now: int) -> metric_data.Metric | None:
        """Return what has been counted, None where nothing has been."""
        with self._lock:
            points = [
                replace(point, time_unix_nano=now, bucket_counts=[*point.bucket_counts])
                for point in self._points.values()
            ]
        if not points:
            return None
        return metric_data.Metric(
            *self._named, metric_data.Histogram(points, metric_data.CUMULATIVE)
        )

    def _empty(self, attributes: dict[str, Any]) -> metric_data.HistogramDataPoint:
        return metric_data.HistogramDataPoint(
            attributes,
            start_time_unix_nano=time.time_ns(),
            time_unix_nano=0,
            count=0,
            sum=0,
            bucket_counts=[0] * (len(self._bounds) + 1),
            explicit_bounds=self._bounds,
            min=math.inf,
            max=-math.inf,
        )
