"""Plays a recording through the recorder and holds its trace against the file, read afresh.

Nothing here uses the decoders: what a trace should be is worked out from the JSON alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import Recorder, RunInfo
from otel_untether.session.summary import Summary

RECORDINGS = Path(__file__).parent / "recordings"
EPOCH = 1_795_000_000 * 10**9
MS = 10**6


def recordings(engine: str) -> list[Path]:
    """All recordings of an engine: raw ones, and the timed ones that there are no raw ones of."""
    found = sorted((RECORDINGS / engine).glob("**/*.jsonl"))
    streams = [path for path in found if "disk" not in path.parts]
    return [path for path in streams if _raw(path) == path or _raw(path) not in streams]


def _raw(path: Path) -> Path:
    return path.with_name(path.name.replace(".timed", ""))


@dataclass
class Request:
    """A request as the model's endpoint saw it: who asked, when, and when it was answered."""

    marker: str | None
    asked: int
    answered: int | None = None


def requests(engine: str, name: str) -> list[Request]:
    """What the endpoint noted beside a recording, requests without a script's marker left out."""
    path = RECORDINGS / engine / "model" / f"{name}.ndjson"
    found: list[Request] = []
    for entry in map(json.loads, path.read_text().splitlines()):
        if entry["ev"] == "req":
            found.append(Request(entry["marker"], round(entry["t"] * 1000) * MS))
        elif entry["ev"] == "answer":
            (asked,) = [r for r in found if r.marker == entry["marker"] and not r.answered][-1:]
            asked.answered = round(entry["t"] * 1000) * MS
    return [request for request in found if request.marker]


def timestamp(line: dict[str, Any]) -> int | None:
    """The time a line carries, in ns since the epoch."""
    text = line.get("timestamp")
    if isinstance(text, int):
        return text * MS
    if not isinstance(text, str):
        return None
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


@dataclass
class Trace:
    """A recording's trace, beside the recording."""

    lines: list[dict[str, Any]]
    spans: tuple[ReadableSpan, ...]
    events: list[str | None]
    summary: Summary
    recorder: Recorder

    @cached_property
    def by_id(self) -> dict[int, ReadableSpan]:
        return {span.context.span_id: span for span in self.spans if span.context}

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        return self.by_id.get(span.parent.span_id) if span.parent else None

    def where(self, operation: str, **attributes: object) -> list[ReadableSpan]:
        wanted = {"gen_ai.operation.name": operation}
        wanted |= {name.replace("__", "."): str(value) for name, value in attributes.items()}
        return [s for s in self.spans if all(attribute(s, n) == v for n, v in wanted.items())]

    def tool(self, call_id: str) -> ReadableSpan:
        (span,) = self.where("execute_tool", gen_ai__tool__call__id=call_id)
        return span

    @property
    def root(self) -> ReadableSpan:
        (span,) = (s for s in self.spans if s.parent is None)
        return span


def attribute(span: ReadableSpan, name: str) -> object:
    return (span.attributes or {}).get(name)


def _arrivals(lines: list[dict[str, Any]], told: list[float | None]) -> list[int]:
    """When each line arrived; 0 where nothing says. Small times are since the start."""
    own = [timestamp(line) or 0 for line in lines]
    offset = 0
    for at, mark in zip(own, told, strict=True):
        if at and mark is not None and mark < 1e9:
            offset = at - round(mark * 1000) * MS
            break
    marks = [0 if m is None else round(m * 1_000_000) * 1000 + offset for m in told]
    return [max(at, mark) for at, mark in zip(own, marks, strict=True)]


def play(path: Path, engine: str | None = None) -> Trace:
    """Feed a recording line by line; a line that carries no time arrives 1 ms after the last.

    Where the recording says when a line arrived, it arrives then.
    """
    raw = [line for line in path.read_bytes().split(b"\n") if line]
    arrived: list[float | None] = [None] * len(raw)
    if ".timed" in path.name:
        timed = [entry for entry in map(json.loads, raw) if "line" in entry]
        raw, arrived = [e["line"].encode() for e in timed], [e["t"] for e in timed]
    lines = [json.loads(line) for line in raw]
    times = _arrivals(lines, arrived)
    first = next(filter(None, times), EPOCH)
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    recorder = Recorder(
        RunInfo("run", first - 1000 * MS, engine=engine),
        tracer_provider=tracers,
        logger_provider=loggers,
    )
    at = first - 500 * MS
    for line, told in zip(raw, times, strict=True):
        at = max(at + MS, told) if arrived[:1] == [None] else max(at, told)
        recorder.feed(line + b"\n", at)
    summary = recorder.finish(at=at + MS)
    events = [record.log_record.event_name for record in logs.get_finished_logs()]
    return Trace(lines, spans.get_finished_spans(), events, summary, recorder)
