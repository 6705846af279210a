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

from otel_untether.session.summary import Summary
from otel_untether.watching.recorder import Recorder, RunInfo

RECORDINGS = Path(__file__).parent / "recordings"
EPOCH = 1_795_000_000 * 10**9
MS = 10**6


def recordings(engine: str) -> list[Path]:
    """All raw recordings of an engine (not the timed ones, which wrap lines)."""
    found = sorted((RECORDINGS / engine).glob("**/*.jsonl"))
    return [path for path in found if "timed" not in path.name and "disk" not in path.parts]


def timestamp(line: dict[str, Any]) -> int | None:
    """The time a line carries, in ns since the epoch."""
    text = line.get("timestamp")
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


def play(path: Path, engine: str | None = None) -> Trace:
    """Feed a recording line by line; a line that carries no time arrives 1 ms after the last."""
    raw = [line for line in path.read_bytes().split(b"\n") if line]
    lines = [json.loads(line) for line in raw]
    first = next((t for t in map(timestamp, lines) if t is not None), EPOCH)
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
    for line, parsed in zip(raw, lines, strict=True):
        at = max(at + MS, timestamp(parsed) or 0)
        recorder.feed(line + b"\n", at)
    summary = recorder.finish(at=at + MS)
    events = [record.log_record.event_name for record in logs.get_finished_logs()]
    return Trace(lines, spans.get_finished_spans(), events, summary, recorder)
