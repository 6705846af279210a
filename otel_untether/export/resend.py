"""Sends a run's telemetry that no collector has taken yet, and notes what is taken."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.export.delivery import (
    forget_undelivered,
    had_all,
    read_delivered,
    record_answer,
    record_refused,
)
from otel_untether.export.environment import SIGNALS, Signal
from otel_untether.export.item_keys import json_key, line_key
from otel_untether.export.otlp_client import EndpointError, SendError
from otel_untether.export.otlp_json import FILES
from otel_untether.export.otlp_protobuf import parse
from otel_untether.store import run_lock, segments
from otel_untether.store.recovery import recover
from otel_untether.store.retention import is_undelivered
from otel_untether.store.run_folder import DELIVERED
from otel_untether.store.runs import Run, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_untether.export.answers import Answer
    from otel_untether.export.otlp_protobuf import Request

    Send = Callable[[Signal, Request], Answer]

# Spans or log records a request: the batch size the SDK sends, well under gRPC's 4 MiB.
_BATCH: Final = 512
_BATCH_BYTES: Final = 1 << 20
# Requests refused one after the other before it is not the data: a bad one among 512 takes ten.
_MOST_REFUSALS: Final = 16
_LISTS: Final = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


@dataclass(slots=True)
class Resent:
    """What became of a run's telemetry: counts of spans, log records and metric exports.

    `refused` is what a collector has had and will not have, now or before. `looked_at` is False
    where somebody else is at work on the run, or it cannot be read: nothing is known of it then.
    """

    sent: int = 0
    left: int = 0
    refused: int = 0
    looked_at: bool = True
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """One request, as OTLP JSON, and the keys of what is in it."""

    message: dict[str, Any]
    keys: list[str]
    size: int = 0


def was_meant_for_collector(run: Run) -> bool:
    """Whether an OTLP exporter was configured when the run was watched."""
    return (run.path / DELIVERED).exists()


def resend(run: Run, send: Send) -> Resent:
    """Send what is left of a run, in order, and stop a signal at the first failure.

    `send` raises SendError for what is not taken. A request that is refused for what is in it is
    halved until what is refused stands alone; that is noted, and not sent again. A run that is
    still watched is left to its own exporters.
    """
    outcome = Resent()
    name = run.record.run_id
    try:
        recover(run.path)
        lock = run_lock.acquire(run.path)
        if lock is None:
            doing = "still running" if run.running else "being sent right now"
            outcome.problems.append(f"{name}: it is {doing}")
            outcome.looked_at = False
            return outcome
        with lock:
            _resend(run.path, send, outcome)
    except (OSError, StoreError) as error:
        outcome.problems.append(f"{name}: {error}")
        outcome.looked_at = False
    return outcome


def _resend(run_dir: Path, send: Send, outcome: Resent) -> None:
    delivered = read_delivered(run_dir)
    outcome.refused += sum(delivered.refused.values())
    if delivered.unsure and is_undelivered(run_dir):
        outcome.problems.append(_may_be_there(run_dir, len(delivered.unsure)))
    for signal in SIGNALS:
        sending = _Sending(run_dir, signal, send, outcome)
        for batch in batches(run_dir, signal, delivered.settled[signal]):
            sending.send(batch)
        sending.settle()
    if not outcome.left:
        forget_undelivered(run_dir)


def _may_be_there(run_dir: Path, spans: int) -> str:
    said = "1 span whose end" if spans == 1 else f"{spans} spans whose ends"
    return f"{run_dir}: not sent, as a collector may have them: {said} could not be written"


class _Sending:
    """The sending of one signal of one run."""

    def __init__(self, run_dir: Path, signal: Signal, send: Send, outcome: Resent) -> None:
        self._run_dir = run_dir
        self._signal: Signal = signal
        self._send = send
        self._outcome = outcome
        self._stopped = self._taken = False
        self._in_a_row = 0
        self._refused: list[str] = []

    def send(self, batch: Batch) -> None:
        """Send a batch, and halves of it where it is refused, or count it as left."""
        if self._stopped:
            self._outcome.left += len(batch.keys)
            return
        try:
            request = parse(self._signal, msgspec.json.encode(batch.message))
            answer = self._send(self._signal, request)
        except EndpointError:
            raise
        except SendError as error:
            self._failed(batch, str(error), refused=error.refused)
        except ValueError as error:
            self._unreadable(batch, error)
        else:
            self._took(batch, answer)

    def _took(self, batch: Batch, answer: Answer) -> None:
        self._taken, self._in_a_row = True, 0
        record_answer(self._run_dir, self._signal, batch.keys, answer)
        self._outcome.sent += len(batch.keys) - answer.rejected
        self._outcome.refused += answer.rejected
        if answer.reason:
            did = f"refused {answer.rejected}" if answer.rejected else "took all"
            self._outcome.problems.append(
                f"the collector {did} of {len(batch.keys)}: {answer.reason}"
            )

    def _failed(self, batch: Batch, reason: str, *, refused: bool) -> None:
        if not refused:
            self._stop(batch, reason)
            return
        self._in_a_row += 1
        if self._in_a_row > _MOST_REFUSALS:
            self._stop(batch, f"{reason}, {self._in_a_row} times in a row")
        elif len(batch.keys) > 1:
            self._halve(batch)
        else:
            self._outcome.problems.append(reason)
            self._refused += batch.keys

    def _stop(self, batch: Batch, reason: str) -> None:
        self._stopped = True
        self._outcome.problems.append(reason)
        self._outcome.left += len(batch.keys)

    def _unreadable(self, batch: Batch, error: ValueError) -> None:
        if len(batch.keys) > 1:
            self._halve(batch)
            return
        self._outcome.problems.append(f"{self._run_dir / FILES[self._signal]}: {error}")
        self._outcome.refused += 1
        record_refused(self._run_dir, self._signal, batch.keys)

    def _halve(self, batch: Batch) -> None:
        middle = len(batch.keys) // 2
        for keys in (batch.keys[:middle], batch.keys[middle:]):
            self.send(Batch(_only(batch.message, self._signal, set(keys)), keys))

    def settle(self) -> None:
        """Say what is refused: by a collector that takes other things it is, else it is left."""
        if not self._taken:
            self._outcome.left += len(self._refused)
        elif self._refused:
            self._outcome.refused += len(self._refused)
            record_refused(self._run_dir, self._signal, self._refused)


def _only(message: dict[str, Any], signal: Signal, keys: set[str]) -> dict[str, Any]:
    """Return a message with those of its spans or log records only."""
    by_resource, by_scope, items = _LISTS[signal]
    return {
        by_resource: [
            resource
            | {
                by_scope: [
                    scope | {items: [it for it in scope[items] if json_key(signal, it) in keys]}
                    for scope in resource[by_scope]
                ]
            }
            for resource in message[by_resource]
        ]
    }


def batches(run_dir: Path, signal: Signal, delivered: set[str]) -> Iterator[Batch]:
    """Yield what is in a run's file of a signal and not among the delivered keys."""
    if had_all(run_dir, signal):
        return
    gathered: Batch | None = None
    for found in _left(run_dir / FILES[signal], signal, delivered):
        if signal == "metrics":
            yield found
            continue
        gathered = _join(gathered, found, _LISTS[signal][0])
        if len(gathered.keys) >= _BATCH or gathered.size >= _BATCH_BYTES:
            yield gathered
            gathered = None
    if gathered is not None:
        yield gathered


def _join(gathered: Batch | None, found: Batch, resources: str) -> Batch:
    if gathered is None:
        return found
    gathered.message[resources] += found.message[resources]
    gathered.keys += found.keys
    gathered.size += found.size
    return gathered


def _left(path: Path, signal: Signal, delivered: set[str]) -> Iterator[Batch]:
    for line in _lines_of(path):
        # A torn line says nothing, and there is nothing to send of it.
        with contextlib.suppress(
            msgspec.MsgspecError, ValueError, LookupError, TypeError, AttributeError, RecursionError
        ):
            message = msgspec.json.decode(line)
            keys = _filter(message, signal, line, delivered)
            if keys:
                yield Batch(message, keys, len(line))


def _lines_of(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError):
        yield from segments.lines(path)


def _filter(message: Any, signal: Signal, line: bytes, delivered: set[str]) -> list[str]:
    """Take out of a message what was delivered; return the keys of what stays."""
    if signal == "metrics":
        key = line_key(line)
        return [] if key in delivered else [key]
    by_resource, by_scope, items = _LISTS[signal]
    keys = []
    for resource in message[by_resource]:
        for scope in resource[by_scope]:
            keyed = [(json_key(signal, item), item) for item in scope[items]]
            scope[items] = [item for key, item in keyed if key not in delivered]
            keys += [key for key, _ in keyed if key not in delivered]
    return keys
