"""Make a trace of output that you have already: here, lines on standard input.

    claude -p "hello" --output-format stream-json --verbose | python examples/record_stream.py

The recorder reads no clock: you say when each line came.
"""

from __future__ import annotations

import os
import sys
import time

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otel_untether import Recorder, RunInfo


def main() -> None:
    """Record standard input to its end, printing each span as it ends."""
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"span {span.name}\n"))
    )
    recorder = Recorder(RunInfo("example", started=time.time_ns()), tracer_provider=provider)
    for chunk in iter(lambda: os.read(sys.stdin.fileno(), 65_536), b""):
        recorder.feed(chunk, time.time_ns())
    print(recorder.finish().text())


if __name__ == "__main__":
    main()
