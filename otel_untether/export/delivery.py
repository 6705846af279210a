"""What a collector has taken, so that the rest can be sent later and nothing twice.

Every span and log record is in the run's traces.jsonl and logs.jsonl as soon as it exists. An
OTLP exporter that succeeds adds their keys to the run's `delivered` file; what is in the one
and not in the other was not taken, whatever became of the exporter, the collector or us.
`otel-untether resend` sends the difference.

Metrics have no copy elsewhere: an export that no collector took is appended to metrics.jsonl.
While something is left that was meant for a collector, there is a file `undelivered`, which
names the signals that were.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from otel_untether.export import sdk
from otel_untether.export.answers import Answer
from otel_untether.export.delivered import Notes, append_line, by_key, forget_undelivered
from otel_untether.export.environment import SIGNALS
from otel_untether.export.hearing import hear_answers
from otel_untether.export.item_keys import line_key, log_key, span_key
from otel_untether.export.otlp_json import FILES, encode
from otel_untether.export.text import describe
from otel_untether.store.files import LineFile
from otel_untether.store.run_folder import DELIVERED, UNDELIVERED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from otel_untether.export.environment import Signal
    from otel_untether.export.ledger import Ledger


class Delivery:
    """Watches OTLP exporters, and keeps in a run's folder what they got rid of.

    Without a folder it only counts, into the ledger.
    """

    def __init__(self, run_dir: Path | None, ledger: Ledger) -> None:
        self._run_dir = run_dir
        self._ledger = ledger
        self._lock = threading.Lock()
        self._in_flight: dict[int, Any] = {}
        self._next = 0
        self._answers = threading.local()
        self._ended: set[Signal] = set()
        self._notes = {signal: Notes(run_dir, signal) for signal in SIGNALS}
        # Told by whoever keeps spans: writes down those that have ended. Of one that a collector
        # has and the disk has not, a crash would leave a second, other end to be sent.
        self.write_down: Callable[[], object] = lambda: None

    def expect(self, meant: Collection[Signal]) -> None:
        """Note which signals of this run are meant for a collector. Raises OSError."""
        if self._run_dir is not None:
            LineFile(self._run_dir / DELIVERED).close()
            LineFile(self._run_dir / UNDELIVERED).close()
            # That there is such a file is what keeps the run; a full disk may take no more.
            with contextlib.suppress(OSError):
                append_line(self._run_dir / UNDELIVERED, " ".join(sorted(meant)).encode())

    def complete(self) -> None:
        """Note that everything was taken: this run may go before one with something left."""
        if self._run_dir is not None:
            for notes in self._notes.values():
                notes.note()
            forget_undelivered(self._run_dir)

    def watch(self, exporter: Any, signal: Signal) -> None:
        """Look at every answer an exporter gets from now on, and at what it makes of it."""
        self._ledger.expect(signal)
        heard = hear_answers(exporter, signal, lambda answer: self._hear(signal, answer))
        # The instance's own attribute goes before its class's: nothing that holds the
        # exporter (a batch processor, a metric reader) has to be rebuilt.
        exporter.export = self._watched(exporter.export, signal, heard=heard)
        exporter.shutdown = self._ending(exporter.shutdown, signal)

    def _ending(self, shutdown: Callable[..., Any], signal: Signal) -> Callable[..., Any]:
        def ending(*args: Any, **kwargs: Any) -> Any:
            self._ended.add(signal)
            return shutdown(*args, **kwargs)

        return ending

    def _hear(self, signal: Signal, answer: Answer) -> None:
        self._heard().append(answer)
        if not answer.taken:
            self._ledger.waits(signal, answer.reason)

    def _heard(self) -> list[Answer]:
        """Return the answers to the export that this thread is in."""
        if not hasattr(self._answers, "list"):
            self._answers.list = []
        answers: list[Answer] = self._answers.list
        return answers

    def _watched(
        self, export: Callable[..., Any], signal: Signal, *, heard: bool
    ) -> Callable[..., Any]:
        def watched(batch: Any, *args: Any, **kwargs: Any) -> Any:
            if signal == "traces":
                self.write_down()
            ticket = self._take_off(signal, batch)
            self._heard().clear()
            self._ledger.waits(signal, "")
            result, answer = None, Answer("unreachable", reason="no answer")
            try:
                result = export(batch, *args, **kwargs)
                answer = _verdict(result, self._heard(), heard=heard)
            except Exception as error:
                answer = _verdict(error, self._heard(), heard=heard)
                raise
            finally:
                self._land(ticket, signal, batch, answer)
            return result if answer.taken else sdk.failure(result)

        return watched

    def _take_off(self, signal: Signal, batch: Any) -> int:
        with self._lock:
            self._next += 1
            if signal == "metrics":
                self._in_flight[self._next] = batch
            return self._next

    def _land(self, ticket: int, signal: Signal, batch: Any, answer: Answer) -> None:
        with self._lock:
            kept = signal == "metrics" and self._in_flight.pop(ticket, None) is None
        # Bookkeeping must not turn a successful export into a failed one.
        with contextlib.suppress(Exception):
            if answer.taken:
                self._note(signal, batch, answer, kept=kept)
            elif signal != "metrics":
                self._ledger.failed(signal, _keys(signal, batch), answer.reason)
            elif not (kept or self._is_late(signal)):
                self._keep(batch, answer.reason)

    def _is_late(self, signal: Signal) -> bool:
        """Whether metrics were collected once more after the last collection: a flush came late."""
        return signal in self._ended and not self._heard()

    def _note(self, signal: Signal, batch: Any, answer: Answer, *, kept: bool) -> None:
        keys = _keys(signal, batch) if signal != "metrics" or kept else []
        held = count_points(batch) if signal == "metrics" else len(keys)
        self._ledger.taken(signal, keys, min(answer.rejected, held), answer.reason)
        if keys:
            self._notes[signal].note(keys, by_key(answer, signal, held))

    def keep_in_flight(self) -> None:
        """Keep the metrics that are with an exporter right now: the process is about to end."""
        with self._lock:
            batches = list(self._in_flight.values())
            self._in_flight.clear()
        for batch in batches:
            with contextlib.suppress(Exception):
                self._keep(batch, self._ledger.why_waiting("metrics"))

    def _keep(self, metrics: Any, reason: str) -> None:
        line = encode("metrics", metrics)
        if line == b"{}":
            return
        if self._run_dir is not None:
            with contextlib.suppress(OSError):
                append_line(self._run_dir / FILES["metrics"], line)
                self._ledger.kept("metrics", reason)
                return
        self._ledger.not_kept("metrics", count_points(metrics), reason)


def _verdict(result: Any, answers: list[Answer], *, heard: bool) -> Answer:
    """Say what became of an export: what the SDK made of it, and what was really answered.

    The SDK takes any status below 400 for success, and reads no content.
    """
    succeeded = getattr(result, "name", "") == "SUCCESS"
    mistaken = next((answer for answer in answers if answer.fault == "foreign"), None)
    if not succeeded or mistaken is not None:
        failed = mistaken or next((found for found in reversed(answers) if not found.taken), None)
        if failed is not None:
            return failed
        why = describe(result) if isinstance(result, Exception) else "not sent"
        return Answer("unreachable", reason=why)
    if not heard:
        return Answer()
    taken = [answer for answer in answers if answer.taken]
    reasons = dict.fromkeys(answer.reason for answer in taken if answer.reason)
    return Answer(None, sum(answer.rejected for answer in taken), "; ".join(reasons))


def count_points(metrics: Any) -> int:
    """Return the number of data points in an SDK's MetricsData."""
    return sum(
        len(metric.data.data_points)
        for resource in metrics.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


def _keys(signal: Signal, batch: Any) -> list[str]:
    if signal == "metrics":
        return [line_key(encode(signal, batch))]
    return [span_key(item) if signal == "traces" else log_key(item) for item in batch]
