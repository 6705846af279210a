"""Runs' folders, written by hand: each span a line, each start an entry of the journal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRACE = "0" * 30 + "f0"


def span(span_id: str, parent: str = "") -> dict[str, Any]:
    """Return a span that has begun."""
    return {
        "traceId": TRACE,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": f"span {span_id}",
        "startTimeUnixNano": "5",
        "attributes": [],
    }


def line(span_id: str, parent: str = "") -> bytes:
    """Return a line of traces.jsonl with an ended span."""
    ended = span(span_id, parent) | {"endTimeUnixNano": "7"}
    scopes = [{"scope": {}, "spans": [ended]}]
    return json.dumps({"resourceSpans": [{"scopeSpans": scopes}]}, separators=(",", ":")).encode()


def start(span_id: str, parent: str = "") -> bytes:
    """Return a journal's entry of its start."""
    entry = {"at": 5, "kind": "start", "scope": {}, "span": span(span_id, parent)}
    return json.dumps(entry, separators=(",", ":")).encode()


def end(span_id: str) -> bytes:
    """Return a journal's entry of its end."""
    entry = {"at": 7, "kind": "end", "span": {"spanId": span_id, "endTimeUnixNano": "7"}}
    return json.dumps(entry, separators=(",", ":")).encode()


def run_on_disk(state: Path, *, traces: Sequence[bytes], journal: Sequence[bytes]) -> Path:
    """Make the folder of a run that went well, and of which no collector has had anything."""
    folder = state / "runs" / "20261122T205630.123456Z-5f0c"
    folder.mkdir(parents=True)
    record = {"run_id": "5f0c", "started": 1, "ended": 9, "outcome": "completed"}
    (folder / "run.json").write_text(json.dumps(record, separators=(",", ":")))
    (folder / "traces.jsonl").write_bytes(b"".join(it + b"\n" for it in traces))
    (folder / "journal.jsonl").write_bytes(b"".join(it + b"\n" for it in journal))
    for name in ("delivered", "undelivered"):
        (folder / name).touch()
    return folder
