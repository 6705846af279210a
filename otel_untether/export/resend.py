"""Sends a run's telemetry that no collector has taken yet, and notes what is taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.export.delivered import (
    by_key,
    forget_undelivered,
    read_delivered,
    read_meant,
    record_answer,
    record_lost,
    record_refused,
    require_room,
)
from otel_untether.export.environment import SIGNALS, HeldBack, Signal
from otel_untether.export.item_keys import json_key
from otel_untether.export.otlp_client import EndpointError, SendError
from otel_untether.export.otlp_json import FILES
from otel_untether.export.otlp_protobuf import parse
from otel_untether.export.unsent import LISTS, Batch, batches, count_items
from otel_untether.notice import why
from otel_untether.store import run_lock
from otel_untether.store.recovery import recover
from otel_untether.store.retention import is_undelivered
from otel_untether.store.run_folder import DELIVERED
from otel_untether.store.runs import Run, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otel_untether.export.answers import Answer
    from otel_untether.export.otlp_protobuf import Request

    Send = Callable[[Signal, Request], Answer]

# Requests refused one after the other before it is not the data: a bad one among 512 takes ten.
_MOST_REFUSALS: Final = 16


@dataclass(slots=True)
class Resent:
    """What became of a run's telemetry: counts of spans, log records and metric exports.

    `refused` is what a collector has had and will not have, now or before. `held_back` was meant
    for one, and is of signals that are not sent; those with nowhere to go are among what is left.
    `lost` are lines that cannot be read, `newly_lost` those that nobody was told of before.
    `looked_at` is False where somebody else is at work on the run, or it cannot be read: nothing
    is known of it then. `unusable` says that a signal's settings are.
    """

    sent: int = 0
    left: int = 0
    refused: int = 0
    lost: int = 0
    newly_lost: int = 0
    held_back: Counter[Signal] = field(default_factory=Counter)
    looked_at: bool = True
    unusable: bool = False
    problems: list[str] = field(default_factory=list)


def was_meant_for_collector(run: Run) -> bool:
    """Whether an OTLP exporter was configured when the run was watched."""
    return (run.path / DELIVERED).exists()


def resend(run: Run, send: Send, held_back: Mapping[Signal, HeldBack] | None = None) -> Resent:
    """Send what is left of a run, in order, and stop a signal at the first failure.

    `send` raises SendError for what is not taken. A request that is refused for what is in it is
    halved until what is refused stands alone; that is noted, and not sent again. Of signals that
    are `held_back` nothing is sent. A run that is still watched is left to its own exporters.
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
            _resend(run.path, send, held_back or {}, outcome)
    except (OSError, StoreError) as error:
        outcome.problems.append(f"{name}: {error}")
        outcome.looked_at = False
    return outcome


def _resend(
    run_dir: Path, send: Send, held_back: Mapping[Signal, HeldBack], outcome: Resent
) -> None:
    delivered = read_delivered(run_dir)
    outcome.refused += sum(delivered.refused.values())
    outcome.lost += delivered.lost
    if delivered.unsure and is_undelivered(run_dir):
        outcome.problems.append(_may_be_there(run_dir, len(delivered.unsure)))
    # A copy of what nobody meant to send is no reason to say that something is left.
    for signal in read_meant(run_dir) & held_back.keys():
        kept = batches(run_dir, signal, delivered.settled[signal])
        outcome.held_back[signal] += sum(len(it.keys) for it in kept if not it.problem)
    for signal in (signal for signal in SIGNALS if signal not in held_back):
        sending = _Sending(run_dir, signal, send, outcome)
        for batch in batches(run_dir, signal, delivered.settled[signal]):
            sending.send(batch)
        sending.settle()
    nowhere = [signal for signal, why in held_back.items() if why == "nowhere"]
    outcome.left += sum(outcome.held_back[signal] for signal in nowhere)
    if not outcome.left and not outcome.held_back.total():
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
        if batch.problem:
            self._lost(batch, batch.problem)
            return
        if self._stopped:
            self._outcome.left += len(batch.keys)
            return
        try:
            require_room(self._run_dir, self._signal, batch.keys)
        except OSError as error:
            self._stop(batch, f"{self._run_dir}: not sent, as it could not be noted: {why(error)}")
            return
        try:
            request = parse(self._signal, msgspec.json.encode(batch.message))
            answer = self._send(self._signal, request)
        except EndpointError as error:
            self._outcome.unusable = True
            self._stop(batch, str(error))
        except SendError as error:
            self._failed(batch, str(error), refused=error.refused)
        except ValueError as error:
            self._unreadable(batch, error)
        else:
            self._took(batch, answer)

    def _took(self, batch: Batch, answer: Answer) -> None:
        self._taken, self._in_a_row = True, 0
        held = count_items(batch, self._signal)
        counted = by_key(answer, self._signal, held)
        record_answer(self._run_dir, self._signal, batch.keys, counted)
        self._outcome.sent += len(batch.keys) - counted.rejected
        self._outcome.refused += counted.rejected
        if answer.reason:
            did = f"refused {min(answer.rejected, held)}" if answer.rejected else "took all"
            points = " data points" if self._signal == "metrics" else ""
            self._outcome.problems.append(f"the collector {did} of {held}{points}: {answer.reason}")

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
        where = self._run_dir / FILES[self._signal]
        self._lost(batch, f"{where}: {error}, and what was in it is lost")

    def _lost(self, batch: Batch, problem: str) -> None:
        """Say once that a line cannot be read, and note it: it keeps nobody waiting any more."""
        self._outcome.problems.append(problem)
        self._outcome.lost += 1
        self._outcome.newly_lost += 1
        record_lost(self._run_dir, self._signal, batch.keys)

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
    by_resource, by_scope, items = LISTS[signal]
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
