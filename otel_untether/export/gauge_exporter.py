"""One thread that collects the gauges of all live sessions into one export."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value

from otel_untether.export import metric_data
from otel_untether.export.kept_metrics import KeptMetrics
from otel_untether.proc_diag.sampler import next_beat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_untether.export.metric_data import Classes
    from otel_untether.export.session_gauges import SessionGauges

_log: Final = logging.getLogger(__name__)

# As the specification has them, in ms.
_INTERVAL: Final = 60_000.0
_TIMEOUT: Final = 30_000.0
# In one request; a session is some 2 kB. A gRPC receiver takes 4 MiB, but 1,000 sessions' data
# at a time would set off the garbage collector, which then looks at all the host application has.
BATCH: Final = 250
_KEPT: Final = 1000


class _Taste(NamedTuple):
    """How exporters want a collection: of which classes, and what counters count from."""

    classes: Classes
    temporality: int


class GaugeExporter:
    """Exports every session's gauges each `interval` seconds, through all `exporters`.

    Those are the SDK's `MetricExporter`s, or `kept_metrics.KeptMetrics`.

    The interval is OTEL_METRIC_EXPORT_INTERVAL (ms) unless given. The exporters stay the
    caller's: they are not shut down here. Without any, nothing is collected. The thread lives
    while there are sessions, and nothing an exporter raises gets out of it.
    """

    def __init__(
        self,
        exporters: Sequence[Any],
        *,
        interval: float | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        given = _milliseconds(environ, "OTEL_METRIC_EXPORT_INTERVAL", _INTERVAL) / 1000
        self.interval = interval or given
        self._timeout = _milliseconds(environ, "OTEL_METRIC_EXPORT_TIMEOUT", _TIMEOUT)
        self._exporters = _by_taste(exporters)
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
        for taste, exporters in self._exporters:
            for at in range(0, len(sessions), BATCH):
                data = _collect(sessions[at : at + BATCH], taste)
                for exporter in exporters:
                    taken &= _export(exporter, data, self._timeout)
        return taken


def _by_taste(exporters: Sequence[Any]) -> list[tuple[_Taste, list[Any]]]:
    """Group exporters by how they want a collection."""
    groups: list[tuple[_Taste, list[Any]]] = []
    for exporter in exporters:
        taste = _taste(exporter)
        known = next((group for group in groups if group[0] == taste), None)
        if known is None:
            groups.append(known := (taste, []))
        known[1].append(exporter)
    return groups


def _taste(exporter: Any) -> _Taste:
    if isinstance(exporter, KeptMetrics):
        return _Taste(metric_data, metric_data.CUMULATIVE)
    # Imported by whoever has made the exporter.
    from opentelemetry.sdk.metrics import ObservableCounter, export  # noqa: PLC0415

    # The SDK's own readers read the preference from the same attribute.
    preferred = getattr(exporter, "_preferred_temporality", None) or {}
    cumulative = export.AggregationTemporality.CUMULATIVE
    return _Taste(export, preferred.get(ObservableCounter, cumulative))


def _collect(sessions: Sequence[SessionGauges], taste: _Taste) -> Any:
    collected = []
    for gauges in sessions:
        try:
            now = gauges.clock.now()
            collected.append(gauges.collect(now, taste.temporality, taste.classes))
        except Exception:  # noqa: BLE001  one session must not cost the others theirs
            _log.exception("the gauges of a session could not be collected")
    return taste.classes.MetricsData(collected)


def _export(exporter: Any, data: Any, timeout: float) -> bool:
    try:
        result = exporter.export(data, timeout_millis=timeout)
    except Exception:  # noqa: BLE001  whatever an exporter raises, the others get theirs
        _log.exception("an exporter of metrics failed")
        return False
    return result is True or getattr(result, "name", "") == "SUCCESS"


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
