"""A program that spawns agents under asyncio, and one line that has them watched.

    python examples/asyncio_host.py claude -p "hello" --output-format stream-json --verbose

Without arguments the bundled scripted agent is run. The line is not even needed with
``opentelemetry-instrument python your_program.py``.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otel_untether.instrumentors import AsyncioAgentInstrumentor


async def main(command: list[str]) -> int:
    """Do as if nobody watched."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    print(f"{stdout.count(b'{')} braces, status {process.returncode}")
    return process.returncode or 0


def scripted(folder: Path) -> list[str]:
    """Return the command line of an agent: by its name alone it is known for one."""
    agent = folder / "claude"
    agent.write_text(f"#!/bin/sh\nexec {sys.executable} -m otel_untether.demo --pace 0.05\n")
    agent.chmod(0o755)
    return [str(agent), "-p", "hello", "--output-format", "stream-json", "--verbose"]


if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(
        SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"span {span.name}\n"))
    )
    trace.set_tracer_provider(provider)
    AsyncioAgentInstrumentor().instrument()
    with tempfile.TemporaryDirectory() as name:
        sys.exit(asyncio.run(main(sys.argv[1:] or scripted(Path(name)))))
