r"""What is left in a run's files that no collector has had, as requests.

Each line is one of these:

    {"resourceSpans": … A}   sent
    {"resourceSpans": … B}   not sent: `delivered` has it
    {"resourceSpans": … A}   not sent again: a line may be there twice
    {"resourceSpa            torn: a recovery has given its span a line of its own
    {"resour\0eSpans": …}    damaged, and nothing else knows what it was: that is said, once
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.export.delivered import had_all
from otel_untether.export.item_keys import json_key, line_key
from otel_untether.export.otlp_json import FILES
from otel_untether.store import json_lines, remains, segments
from otel_untether.store.retention import is_undelivered
from otel_untether.store.run_folder import DELIVERED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_untether.export.environment import Signal

# Spans or log records a request: the batch size the SDK sends, well under gRPC's 4 MiB.
_BATCH: Final = 512
_BATCH_BYTES: Final = 1 << 20
LISTS: Final = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}
_NO_REQUEST: Final = (
    *json_lines.UNREADABLE, ValueError, LookupError, TypeError, AttributeError,
)  # fmt: skip
_SPAN_ID: Final = re.compile(rb'"spanId":"([0-9a-f]{16})"')


@dataclass(slots=True)
class Batch:
    """One request, as OTLP JSON, and the keys of what is in it.

    With a `problem` it is a line that cannot be read, and there is nothing to send of it.
    """

    message: dict[str, Any]
    keys: list[str]
    size: int = 0
    problem: str = ""


def batches(run_dir: Path, signal: Signal, delivered: set[str]) -> Iterator[Batch]:
    """Yield what is in a run's file of a signal and not among the delivered keys."""
    if had_all(run_dir, signal):
        return
    unsent = _Unsent(run_dir, signal, delivered)
    gathered: Batch | None = None
    for found in unsent.lines():
        if signal == "metrics":
            yield found
            continue
        gathered = _join(gathered, found, LISTS[signal][0])
        if len(gathered.keys) >= _BATCH or gathered.size >= _BATCH_BYTES:
            yield gathered
            gathered = None
    if gathered is not None:
        yield gathered
    yield from unsent.lost()


def count_items(batch: Batch, signal: Signal) -> int:
    """Return how many spans, log records or data points are in a request."""
    if signal != "metrics":
        return len(batch.keys)
    return sum(
        len(data.get("dataPoints", ()))
        for resource in batch.message.get("resourceMetrics", ())
        for scope in resource.get("scopeMetrics", ())
        for metric in scope.get("metrics", ())
        for data in metric.values()
        if isinstance(data, dict)
    )


def _join(gathered: Batch | None, found: Batch, resources: str) -> Batch:
    if gathered is None:
        return found
    gathered.message[resources] += found.message[resources]
    gathered.keys += found.keys
    gathered.size += found.size
    return gathered


class _Unsent:
    """The file of one signal of one run, being read."""

    def __init__(self, run_dir: Path, signal: Signal, delivered: set[str]) -> None:
        self._run_dir = run_dir
        self._path = run_dir / FILES[signal]
        self._signal: Signal = signal
        self._delivered = delivered
        self._damaged: list[tuple[int, bytes]] = []
        self._there: set[str] = set()

    def lines(self) -> Iterator[Batch]:
        """Yield what is to be sent of each line."""
        with contextlib.suppress(FileNotFoundError):
            for number, line in enumerate(segments.lines(self._path), 1):
                try:
                    found = self._read(line)
                except _NO_REQUEST:
                    yield from self._within(number, line)
                else:
                    yield from found

    def _within(self, number: int, line: bytes) -> Iterator[Batch]:
        """Yield what is to be sent of what is whole in a line that is not; note the rest of it."""
        pieces = [piece for piece in json_lines.pieces(line) if piece.strip()]
        rest = []
        for piece in pieces:
            try:
                found = self._read(piece)
            except _NO_REQUEST:
                rest.append(piece)
            else:
                yield from found
        if rest:
            self._damaged.append((number, line if rest == pieces else b"\n".join(rest)))
        elif not pieces and line.strip():
            self._damaged.append((number, line))

    def _read(self, line: bytes) -> list[Batch]:
        """Return what is to be sent of a line, or of a piece of one."""
        message = json_lines.decode(line)
        keys = self._filter(message, line)
        return [Batch(message, keys, len(line))] if keys else []

    def _filter(self, message: Any, line: bytes) -> list[str]:
        """Take out of a message what was delivered; return the keys of what stays."""
        if self._signal == "metrics":
            return list(filter(self._is_new, [line_key(line)]))
        by_resource, by_scope, items = LISTS[self._signal]
        keys = []
        for resource in message[by_resource]:
            for scope in resource[by_scope]:
                scope[items] = [item for item in scope[items] if self._is_new(self._name(item))]
                keys += [json_key(self._signal, item) for item in scope[items]]
        return keys

    def _name(self, item: dict[str, Any]) -> str:
        """Return what tells an item from all others of its signal."""
        key = json_key(self._signal, item)
        if self._signal == "traces":
            return key
        # Two that were logged in one moment have one key, and may both be meant.
        return f"{key} {line_key(msgspec.json.encode(item))}"

    def _is_new(self, name: str) -> bool:
        """Whether something is to be sent: no collector has had it, nor is it among the rest."""
        if name.partition(" ")[0] in self._delivered or name in self._there:
            return False
        self._there.add(name)
        return True

    def lost(self) -> Iterator[Batch]:
        """Yield the lines that could not be read and of which no other file knows enough."""
        if not self._damaged or self._was_taken() or self._is_journaled():
            return
        for number, line in self._damaged:
            key = line_key(line)
            if key not in self._delivered and not self._is_there(line):
                problem = f"{self._path}:{number}: cannot be read, and what was in it is lost"
                yield Batch({}, [key], len(line), problem)

    def _was_taken(self) -> bool:
        """Whether a collector had all of the run at its end."""
        return (self._run_dir / DELIVERED).exists() and not is_undelivered(self._run_dir)

    def _is_journaled(self) -> bool:
        """Whether the recovery had every span that it may have been about."""
        return self._signal == "traces" and remains.has_journaled_all(self._run_dir)

    def _is_there(self, line: bytes) -> bool:
        """Whether the spans that are named in what is left of a line are all in others."""
        named = {found.decode() for found in _SPAN_ID.findall(line)}
        return self._signal == "traces" and bool(named) and named <= self._there | self._delivered
