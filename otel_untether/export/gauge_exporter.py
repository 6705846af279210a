"""One thread that collects the gauges of all live sessions into one export."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.metrics import ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    MetricsData,
)

from otel_untether.proc_diag.sampler import next_beat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.metrics.export import MetricExporter

    from otel_untether.export.session_gauges import SessionGauges

_log: Final = logging.getLogger(__name__)

# As the specification has them, in ms.
_INTERVAL: Final = 60_000.0
_TIMEOUT: Final = 30_000.0
# In one request; a session is some 2 kB. A gRPC receiver takes 4 MiB, but 1,000 sessions' data
# at a time would set off the garbage collector, which then looks at all the host application has.
BATCH: Final = 250
_KEPT: Final = 1000


class GaugeExporter:
    """Exports every session's gauges each `interval` seconds, through all `exporters`.

    The interval is OTEL_METRIC_EXPORT_INTERVAL (ms) unless given. The exporters stay the
    caller's: they are not shut down here. Without any, nothing is collected. The thread lives
    while there are sessions, and nothing an exporter raises gets out of it.
    """

    def __init__(
        self,
        exporters: Sequence[MetricExporter],
        *,
        interval: float | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        given = _milliseconds(environ, "OTEL_METRIC_EXPORT_INTERVAL", _INTERVAL) / 1000
        self.interval = interval or given
        self._timeout = _milliseconds(environ, "OTEL_METRIC_EXPORT_TIMEOUT", _TIMEOUT)
        self._exporters = _by_temporality(exporters)
        self._live: list[SessionGauges] = []
        self._ended: list[SessionGauges] = []
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._asked = self._done = 0
        self._closing = False

    def add(self, gauges: SessionGauges) -> None:
        """Export a session's gauges from now on."""
        with self._changed:
            if not self._exporters:
                return
            self._closing = False
            self._live.append(gauges)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(
                    target=self._run, name="untether-gauges", daemon=True
                )
                self._thread.start()

    def remove(self, gauges: SessionGauges) -> None:
        """Export a session's gauges once more, as those of one that has ended, and then no more."""
        gauges.end()
        with self._changed:
            if gauges in self._live:
                self._live.remove(gauges)
                self._ended.append(gauges)
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Export now; return whether that was done within `timeout` seconds."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                return True
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= asked, timeout)

    def shutdown(self, timeout: float) -> bool:
        """End all sessions and export that once, for at most `timeout` seconds."""
        self._closing = True
        for gauges in tuple(self._live):
            self.remove(gauges)
        return self.flush(timeout)

    def _run(self) -> None:
        due = time.monotonic() + self.interval
        while self._wait(due):
            asked = self._asked
            self._export()
            if (now := time.monotonic()) >= due:
                due, _ = next_beat(due, now, self.interval)
            with self._changed:
                self._done = asked
                self._changed.notify_all()

    def _wait(self, due: float) -> bool:
        """Wait until it is time to export; False when there is nothing left to."""
        with self._changed:
            while (self._live or self._ended) and self._done == self._asked:
                if (left := due - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            if self._live or self._ended:
                return True
            self._thread, self._done = None, self._asked
            self._changed.notify_all()
            return False

    def _export(self) -> None:
        with self._changed:
            live, ended = tuple(self._live), tuple(self._ended)
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
        try:
            taken = self._give((*live, *ended))
        finally:
            detach(token)
        with self._changed:
            # What was not taken is worth another try, but not worth everybody's memory.
            dropped = ended if taken or self._closing else ended[:-_KEPT]
            gone = set(map(id, dropped))
            self._ended = [gauges for gauges in self._ended if id(gauges) not in gone]

    def _give(self, sessions: Sequence[SessionGauges]) -> bool:
        """Give all exporters all sessions; return whether all of them took all."""
        taken = True
        for temporality, exporters in self._exporters.items():
            for at in range(0, len(sessions), BATCH):
                data = _collect(sessions[at : at + BATCH], temporality)
                for exporter in exporters:
                    taken &= _export(exporter, data, self._timeout)
        return taken


def _by_temporality(
    exporters: Sequence[MetricExporter],
) -> dict[AggregationTemporality, list[MetricExporter]]:
    """Group exporters by the temporality they prefer for counters that are observed.

    The SDK's own readers read the preference from the same attribute.
    """
    groups: dict[AggregationTemporality, list[MetricExporter]] = {}
    for exporter in exporters:
        preferred = getattr(exporter, "_preferred_temporality", None) or {}
        temporality = preferred.get(ObservableCounter, AggregationTemporality.CUMULATIVE)
        groups.setdefault(temporality, []).append(exporter)
    return groups


def _collect(sessions: Sequence[SessionGauges], temporality: AggregationTemporality) -> MetricsData:
    collected = []
    for gauges in sessions:
        try:
            collected.append(gauges.collect(gauges.clock.now(), temporality))
        except Exception:  # noqa: BLE001  one session must not cost the others theirs
            _log.exception("the gauges of a session could not be collected")
    return MetricsData(collected)


def _export(exporter: MetricExporter, data: MetricsData, timeout: float) -> bool:
    try:
        return exporter.export(data, timeout_millis=timeout) is MetricExportResult.SUCCESS
    except Exception:  # noqa: BLE001  whatever an exporter raises, the others get theirs
        _log.exception("an exporter of metrics failed")
        return False


def _milliseconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a positive number of ms from the environment, the default for anything else."""
    value = environ.get(name, "").strip()
    try:
        number = float(value) if value else default
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        _log.warning("%s=%r is not a positive number of ms; using %g", name, value, default)
        return default
    return number
