"""What a collector has taken, so that the rest can be sent later and nothing twice.

Every span and log record is in the run's traces.jsonl and logs.jsonl the moment it exists. An
OTLP exporter that succeeds adds their keys to the run's `delivered` file; what is in the one
and not in the other was not taken, whatever became of the exporter, the collector or us.
`otel-untether resend` sends the difference.

    traces 00f067aa0ba902b7 3e2f…        span ids
    logs 1795381598578395396.….3e2f…     times and span id
    metrics 9f86d081884c7d65             digests of lines

Metrics have no copy elsewhere: an export that no collector took is appended to metrics.jsonl.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from otel_untether.export.otlp_json import FILES, Signal, encode
from otel_untether.store.files import LineFile
from otel_untether.store.run_folder import DELIVERED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan


class Delivery:
    """Watches OTLP exporters, and keeps in a run's folder what they got rid of.

    Without a folder it only counts. `failures` is the number of exports no collector took.
    """

    def __init__(self, run_dir: Path | None) -> None:
        self._run_dir = run_dir
        self._lock = threading.Lock()
        self._in_flight: dict[int, Any] = {}
        self._next = 0
        self.failures = 0

    def expect(self) -> None:
        """Note that this run is meant for a collector. Raises OSError."""
        if self._run_dir is not None:
            LineFile(self._run_dir / DELIVERED).close()

    def watch(self, exporter: Any, signal: Signal) -> None:
        """Look at the result of every export of this exporter from now on."""
        # The instance's own attribute goes before its class's: nothing that holds the
        # exporter (a batch processor, a metric reader) has to be rebuilt.
        exporter.export = self._watched(exporter.export, signal)

    def _watched(self, export: Callable[..., Any], signal: Signal) -> Callable[..., Any]:
        def watched(batch: Any, *args: Any, **kwargs: Any) -> Any:
            ticket = self._take_off(signal, batch)
            result = None
            try:
                result = export(batch, *args, **kwargs)
            finally:
                self._land(ticket, signal, batch, taken=getattr(result, "name", "") == "SUCCESS")
            return result

        return watched

    def _take_off(self, signal: Signal, batch: Any) -> int:
        with self._lock:
            self._next += 1
            if signal == "metrics":
                self._in_flight[self._next] = batch
            return self._next

    def _land(self, ticket: int, signal: Signal, batch: Any, *, taken: bool) -> None:
        with self._lock:
            kept = signal == "metrics" and self._in_flight.pop(ticket, None) is None
            self.failures += not taken
        # Bookkeeping must not turn a successful export into a failed one.
        with contextlib.suppress(Exception):
            if taken and (kept or signal != "metrics"):
                record_delivered(self._run_dir, signal, _keys(signal, batch))
            elif not taken and signal == "metrics" and not kept:
                self._keep(batch)

    def keep_in_flight(self) -> None:
        """Keep the metrics that are with an exporter right now: the process is about to end."""
        with self._lock:
            batches = list(self._in_flight.values())
            self._in_flight.clear()
            self.failures += len(batches)
        for batch in batches:
            with contextlib.suppress(Exception):
                self._keep(batch)

    def _keep(self, metrics: Any) -> None:
        if self._run_dir is not None:
            append_line(self._run_dir / FILES["metrics"], encode("metrics", metrics))


def _keys(signal: Signal, batch: Any) -> list[str]:
    if signal == "metrics":
        return [line_key(encode(signal, batch))]
    return [span_key(item) if signal == "traces" else log_key(item) for item in batch]


def span_key(span: ReadableSpan) -> str:
    """Return what names a span here: its id."""
    return f"{span.context.span_id:016x}" if span.context else ""


def log_key(record: ReadableLogRecord) -> str:
    """Return what names a log record here; `json_key` gives the same for its JSON."""
    log = record.log_record
    span_id = f"{log.span_id:016x}" if log.span_id else ""
    return f"{log.timestamp or 0}.{log.observed_timestamp or 0}.{span_id}"


def json_key(signal: Signal, item: dict[str, Any]) -> str:
    """Return the key of a span or log record as its OTLP JSON has it."""
    span_id: str = item.get("spanId", "")
    if signal == "traces":
        return span_id
    return f"{item.get('timeUnixNano', 0)}.{item.get('observedTimeUnixNano', 0)}.{span_id}"


def line_key(line: bytes) -> str:
    """Return the key of a line of metrics."""
    return hashlib.blake2b(line.strip(), digest_size=8).hexdigest()


def record_delivered(run_dir: Path | None, signal: Signal, keys: Iterable[str]) -> None:
    """Note that a collector has taken these. Raises OSError."""
    if run_dir is not None:
        append_line(run_dir / DELIVERED, " ".join((signal, *keys)).encode())


def read_delivered(run_dir: Path) -> dict[str, set[str]]:
    """Return, by signal, the keys of what collectors have taken. Raises OSError."""
    delivered: defaultdict[str, set[str]] = defaultdict(set)
    with contextlib.suppress(FileNotFoundError):
        for line in (run_dir / DELIVERED).read_text("utf-8", "replace").splitlines():
            signal, *keys = line.split() or [""]
            delivered[signal].update(keys)
    return delivered


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a file of the run. Raises OSError."""
    file = LineFile(path)
    try:
        file.append(line)
    finally:
        file.close()
