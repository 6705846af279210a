"""Sends a run's telemetry that no collector has taken yet, and notes what is taken."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.export.delivery import (
    json_key,
    line_key,
    read_delivered,
    record_delivered,
)
from otel_untether.export.environment import SIGNALS, Signal
from otel_untether.export.otlp_client import ConfigError, SendError
from otel_untether.export.otlp_json import FILES, parse
from otel_untether.store import run_lock
from otel_untether.store.journal import recover
from otel_untether.store.run_folder import DELIVERED
from otel_untether.store.runs import Run, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from otel_untether.export.otlp_json import Request

    Send = Callable[[Signal, Request], None]

# Spans or log records a request: the batch size the SDK sends, well under gRPC's 4 MiB.
_BATCH: Final = 512
_BATCH_BYTES: Final = 1 << 20
_LISTS: Final = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


@dataclass(slots=True)
class Outcome:
    """What became of a run's telemetry: counts of spans, log records and metric exports."""

    sent: int = 0
    left: int = 0
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


def resend(run: Run, send: Send) -> Outcome:
    """Send what is left of a run, in order, and stop a signal at the first failure.

    `send` raises SendError for what is not taken. What a collector refuses for good is
    reported and skipped. A run that is still watched is left to its own exporters.
    """
    outcome = Outcome()
    try:
        recover(run.path)
        lock = run_lock.acquire(run.path)
        if lock is None:
            doing = "still running" if run.running else "being sent right now"
            outcome.problems.append(f"{run.record.run_id}: it is {doing}")
            return outcome
        with lock:
            _resend(run.path, send, outcome)
    except (OSError, StoreError) as error:
        outcome.problems.append(f"{run.record.run_id}: {error}")
    return outcome


def _resend(run_dir: Path, send: Send, outcome: Outcome) -> None:
    delivered = read_delivered(run_dir)
    for signal in SIGNALS:
        stopped = False
        for batch in batches(run_dir, signal, delivered.get(signal, set())):
            stopped = stopped or not _send(run_dir, signal, batch, send, outcome)
            outcome.left += len(batch.keys) if stopped else 0


def _send(run_dir: Path, signal: Signal, batch: Batch, send: Send, outcome: Outcome) -> bool:
    """Send one batch; return whether it makes sense to go on."""
    try:
        send(signal, parse(signal, msgspec.json.encode(batch.message)))
    except ConfigError:
        raise
    except SendError as error:
        outcome.problems.append(str(error))
        outcome.left += len(batch.keys) if error.refused else 0
        return error.refused
    except ValueError as error:
        outcome.problems.append(f"{run_dir / FILES[signal]}: {error}")
        return True
    record_delivered(run_dir, signal, batch.keys)
    outcome.sent += len(batch.keys)
    return True


def batches(run_dir: Path, signal: Signal, delivered: set[str]) -> Iterator[Batch]:
    """Yield what is in a run's file of a signal and not among the delivered keys."""
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
    for line in _lines(path):
        # A torn line says nothing, and there is nothing to send of it.
        with contextlib.suppress(
            msgspec.MsgspecError, UnicodeError, KeyError, TypeError, AttributeError
        ):
            message = msgspec.json.decode(line)
            keys = _filter(message, signal, line, delivered)
            if keys:
                yield Batch(message, keys, len(line))


def _lines(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        yield from file


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
