"""A program's own OpenTelemetry, kept in memory: what an instrumentation reports through."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

MARKER = "untether.session.started"


class Program:
    """Its providers, and what has come through them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)

    @property
    def providers(self) -> dict[str, Any]:
        """The keywords that every way in takes."""
        return {
            "tracer_provider": self.tracer_provider,
            "meter_provider": self.meter_provider,
            "logger_provider": self.logger_provider,
        }

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    @property
    def roots(self) -> list[ReadableSpan]:
        """The sessions' root spans that have ended."""
        return [span for span in self.spans if "untether.run.id" in attributes(span) and root(span)]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def started(self) -> bool:
        """Whether a session has begun."""
        return bool(self.named(MARKER))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def root(span: ReadableSpan) -> bool:
    return span.name.startswith("invoke_agent") and "untether.session.outcome" in attributes(span)
