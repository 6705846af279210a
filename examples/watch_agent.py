"""Spawn an agent from your own Python and have it watched.

    python examples/watch_agent.py claude -p "hello" --output-format stream-json --verbose

Without arguments the bundled scripted agent is run.
"""

from __future__ import annotations

import sys

import anyio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import otel_untether

SCRIPTED = [sys.executable, "-m", "otel_untether.demo", "--pace", "0.05"]


async def main(command: list[str], engine: str | None) -> None:
    """Run `command`, print each line's length, then how it went."""
    async with otel_untether.watch(command, engine=engine) as agent:
        async for line in agent:
            print(
                f"{len(line):6} bytes, tools at work: {[t.name for t in agent.state.open.values()]}"
            )
    if agent.summary is not None:
        print(agent.summary.text())


if __name__ == "__main__":
    # Your program's own providers are used; any exporter will do.
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"span {span.name}\n"))
    )
    trace.set_tracer_provider(provider)
    words = sys.argv[1:]
    anyio.run(main, words or SCRIPTED, None if words else "claude")
