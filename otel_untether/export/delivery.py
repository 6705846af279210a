"""What a collector has taken, so that the rest can be sent later and nothing twice.

Every span and log record is in the run's traces.jsonl and logs.jsonl as soon as it exists. An
OTLP exporter that succeeds adds their keys to the run's `delivered` file; what is in the one
and not in the other was not taken, whatever became of the exporter, the collector or us.
`otel-untether resend` sends the difference.

    traces 00f067aa0ba902b7 3e2f…        span ids
    logs 1795381598578395396.….3e2f…     times and span id
    metrics 9f86d081884c7d65             digests of lines
    traces:refused 53995c3f42cd8ad8      a collector threw it away, and would again
    traces:partly-2 a1b2… c3d4… e5f6…    a collector took these and threw away two of them
    traces:lost 3e2f9f86d081884c         a line that nobody can read any more, by its digest
    traces:unsure 00f067aa0ba902b7       its end is made up; a collector may have the true one

Metrics have no copy elsewhere: an export that no collector took is appended to metrics.jsonl.
While something is left that was meant for a collector, there is a file `undelivered`. What the
disk has no room for in `delivered` is noted again with the next answer; until then an empty file,
`unnoted-traces` say, keeps what is missing there from being sent with another end.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from otel_untether.export import sdk
from otel_untether.export.answers import Answer
from otel_untether.export.environment import SIGNALS
from otel_untether.export.hearing import hear_answers
from otel_untether.export.item_keys import line_key, log_key, span_key
from otel_untether.export.otlp_json import FILES, encode
from otel_untether.export.text import describe
from otel_untether.store.files import LineFile, lines
from otel_untether.store.run_folder import DELIVERED, UNDELIVERED, UNSURE, unnoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from otel_untether.export.environment import Signal
    from otel_untether.export.ledger import Ledger

_REFUSED: Final = "refused"
_PARTLY: Final = "partly-"
_LOST: Final = "lost"
# Answers that wait for room in `delivered`: a session of days must not fill the memory, either.
_MOST_UNNOTED: Final = 256


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
        self._unnoted = {signal: _Unnoted(run_dir, signal) for signal in SIGNALS}
        # Told by whoever keeps spans: writes down those that have ended. Of one that a collector
        # has and the disk has not, a crash would leave a second, other end to be sent.
        self.write_down: Callable[[], object] = lambda: None

    def expect(self) -> None:
        """Note that this run is meant for a collector. Raises OSError."""
        if self._run_dir is not None:
            LineFile(self._run_dir / DELIVERED).close()
            LineFile(self._run_dir / UNDELIVERED).close()

    def complete(self) -> None:
        """Note that everything was taken: this run may go before one with something left."""
        if self._run_dir is not None:
            for unnoted_answers in self._unnoted.values():
                unnoted_answers.note()
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
            self._unnoted[signal].note(keys, by_key(answer, signal, held))

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


class _Unnoted:
    """What a collector took of a signal, until `delivered` has it."""

    def __init__(self, run_dir: Path | None, signal: Signal) -> None:
        self._run_dir = run_dir
        self._signal: Signal = signal
        self._lock = threading.Lock()
        self._answers: deque[tuple[Collection[str], Answer]] = deque(maxlen=_MOST_UNNOTED)
        self._marked = self._forgotten = False

    def note(self, keys: Collection[str] = (), answer: Answer | None = None) -> None:
        """Note an answer after those that wait; where that cannot be, leave a mark instead."""
        with self._lock:
            if answer is not None:
                self._forgotten |= len(self._answers) == _MOST_UNNOTED
                self._answers.append((keys, answer))
            try:
                while self._answers:
                    record_answer(self._run_dir, self._signal, *self._answers[0])
                    self._answers.popleft()
            except OSError:
                self._mark()
                return
            self._unmark()

    def _mark(self) -> None:
        # An empty file takes no room but in its folder, where there mostly is some.
        if self._run_dir is not None and not self._marked:
            with contextlib.suppress(OSError):
                LineFile(self._run_dir / unnoted(self._signal)).close()
                self._marked = True

    def _unmark(self) -> None:
        if self._run_dir is not None and self._marked and not self._forgotten:
            with contextlib.suppress(OSError):
                (self._run_dir / unnoted(self._signal)).unlink()
                self._marked = False


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


def by_key(answer: Answer, signal: Signal, held: int) -> Answer:
    """Return an answer that rejects as many keys as it can, of a request that held so many items.

    An export of metrics has one key: of that all is rejected, or it is taken. A collector may
    claim to have rejected more than it was sent.
    """
    rejected = min(answer.rejected, held)
    if signal == "metrics":
        rejected = int(0 < held == rejected)
    return answer._replace(rejected=rejected)


def record_answer(
    run_dir: Path | None, signal: Signal, keys: Collection[str], answer: Answer
) -> None:
    """Note what a collector took, and how much of it it threw away. Raises OSError."""
    if not answer.rejected:
        _append(run_dir, signal, keys)
    elif answer.rejected >= len(keys):
        _append(run_dir, f"{signal}:{_REFUSED}", keys)
    else:
        _append(run_dir, f"{signal}:{_PARTLY}{answer.rejected}", keys)


def record_refused(run_dir: Path, signal: Signal, keys: Iterable[str]) -> None:
    """Note what a collector will not have, ever. Raises OSError."""
    _append(run_dir, f"{signal}:{_REFUSED}", keys)


def record_lost(run_dir: Path, signal: Signal, keys: Iterable[str]) -> None:
    """Note lines that cannot be read, and of which somebody was told. Raises OSError."""
    _append(run_dir, f"{signal}:{_LOST}", keys)


def _append(run_dir: Path | None, what: str, keys: Iterable[str]) -> None:
    if run_dir is not None:
        append_line(run_dir / DELIVERED, " ".join((what, *keys)).encode())


class Delivered(Struct):
    """What collectors have taken of a run: keys by signal, and how many they threw away.

    `unsure` are spans that are not sent, as a collector may have them with their true end; `lost`
    is the number of lines that cannot be read.
    """

    settled: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    refused: Counter[str] = field(default_factory=Counter)
    unsure: set[str] = field(default_factory=set)
    lost: int = 0

    def read(self, line: str) -> None:
        """Take in a line of the file."""
        what, *keys = line.split() or [""]
        signal, _, how = what.partition(":")
        if how == _REFUSED:
            self.refused[signal] += len(set(keys) - self.settled[signal])
        elif how.startswith(_PARTLY) and how.removeprefix(_PARTLY).isdecimal():
            new = len(set(keys) - self.settled[signal])
            self.refused[signal] += min(int(how.removeprefix(_PARTLY)), new)
        elif how == _LOST:
            self.lost += len(set(keys) - self.settled[signal])
        elif how == UNSURE:
            self.unsure.update(keys)
        self.settled[signal].update(keys)


def read_delivered(run_dir: Path) -> Delivered:
    """Return what collectors have taken of a run, and need not be sent. Raises OSError."""
    delivered = Delivered()
    with contextlib.suppress(FileNotFoundError):
        for line in lines(run_dir / DELIVERED):
            delivered.read(line.decode("utf-8", "replace"))
    return delivered


def had_all(run_dir: Path, signal: Signal) -> bool:
    """Whether a collector took all that was meant for it, though `delivered` does not say so."""
    return (run_dir / unnoted(signal)).exists() and not (run_dir / UNDELIVERED).exists()


def forget_undelivered(run_dir: Path) -> None:
    """Note that nothing is left that was meant for a collector."""
    with contextlib.suppress(OSError):
        (run_dir / UNDELIVERED).unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append one line to a file of the run. Raises OSError."""
    file = LineFile(path)
    try:
        file.append(line)
    finally:
        file.close()
