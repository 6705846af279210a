"""What watching its agents costs a program on asyncio: a line, an end, agents that do nothing.

    python benchmarks/hosts.py [--repeat N] [--idle N] [--seconds S]

A line: CPU time of the loop's thread with us, less that without us, over a recording of Claude
Code in which every third line makes a span. Milliseconds say more of a machine's mood than of us,
so the targets are ratios: to what OpenTelemetry's SDK takes for one span in the same run, which
on the machine they were set on is 25 us.
An end: CPU time in the loop's thread for the end of one agent among many.
Idle agents wait for a prompt: CPU time of the whole process, in its first minute and after, as a
share of a core.
The exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from otel_untether.instrumentors import AsyncioAgentInstrumentor
from otel_untether.instrumentors.agent import HostedAgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

ROOT = Path(__file__).parents[1]
RECORDING = ROOT / "tests" / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"
HEADLESS = ["-p", "x", "--output-format", "stream-json", "--verbose"]
IDLE = [
    {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2.1.330"},
    {"type": "result", "subtype": "success", "is_error": False, "session_id": "s", "result": ""},
]
LINE = 2.4  # spans of the SDK's: 60 us
SHARE = 400  # spans of the SDK's a second: 1 % of a core, for the idle agents after a minute


class Nowhere(SpanExporter):
    """Takes spans, as fast as can be."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Forget them."""
        del spans
        return SpanExportResult.SUCCESS


def agent(folder: Path, script: str) -> list[str]:
    """Return the command line of a `claude` that does what a shell script says."""
    folder.mkdir()
    claude = folder / "claude"
    claude.write_text(f"#!/bin/sh\n{script}\n")
    claude.chmod(0o755)
    return [str(claude), *HEADLESS]


async def read(command: list[str], warm: int) -> float:
    """Return the loop thread's CPU time (s) for a line, after so many of them."""
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, limit=1 << 24)
    assert process.stdout is not None
    lines, began = 0, 0.0
    async for _ in process.stdout:
        lines += 1
        if lines == warm:
            began = time.thread_time()
    spent = time.thread_time() - began
    await process.wait()
    return spent / (lines - warm)


def span(provider: TracerProvider, count: int = 3000) -> float:
    """Return the CPU time (s) of one span of the SDK's."""
    tracer, began = provider.get_tracer("benchmark"), time.thread_time()
    for number in range(count):
        one = tracer.start_span("a", attributes={"a": number, "b": "b", "c": "c", "d": "d"})
        one.set_attributes({"e": number, "f": "f"})
        one.end()
    return (time.thread_time() - began) / count


async def idle(command: list[str], count: int, seconds: float) -> tuple[float, float, float]:
    """Return shares of a core in the first minute and after, and the time (s) of an end."""
    processes = []
    for _ in range(count):
        process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1)
        assert process.stdout is not None
        for _line in IDLE:
            await process.stdout.readline()
        processes.append(process)
    first = await share(60)
    after = await share(seconds)
    for process in processes:
        process.kill()
    for process in processes:
        await process.wait()
    await asyncio.sleep(1)  # for the last to be told of
    return first, after, sum(ends) / len(ends)


async def share(seconds: float) -> float:
    """Return what this process takes of a core while so many seconds pass."""
    wall, spent = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - spent) / (time.monotonic() - wall)


ends: list[float] = []


def time_ends() -> None:
    """Note in `ends` what each end of an agent takes of its thread."""
    finish = HostedAgent.finish

    def timed(self: HostedAgent, *args: Any, **kwargs: Any) -> None:
        began = time.thread_time()
        finish(self, *args, **kwargs)
        ends.append(time.thread_time() - began)

    HostedAgent.finish = timed  # type: ignore[method-assign]


def main() -> int:
    """Measure, and say so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=100)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    time_ends()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        printed = folder / "printed"
        lines = RECORDING.read_text()
        printed.write_text(lines * given.repeat)
        speaking = agent(folder / "speaking", f"exec cat {printed}")
        said = "; ".join(f"echo '{json.dumps(line)}'" for line in IDLE)
        idling = agent(folder / "idling", f"{said}; exec cat >&2")
        idling += ["--input-format", "stream-json"]
        warm = 5 * lines.count("\n")
        bare = asyncio.run(read(speaking, warm))
        AsyncioAgentInstrumentor().instrument(tracer_provider=provider)
        watched = asyncio.run(read(speaking, warm))
        one = span(provider)
        ratio = (watched - bare) / one
        print(
            f"a line: {(watched - bare) * 1e6:.0f} us, {ratio:.1f} spans of the SDK's", flush=True
        )
        ends.clear()
        first, after, end = asyncio.run(idle(idling, given.idle, given.seconds))
    print(
        f"{given.idle} idle agents: {first:.1%} of a core in their first minute, "
        f"{after:.1%} after, {after / one:.0f} spans of the SDK's a second"
    )
    print(f"an end among them: {end * 1e3:.1f} ms")
    return 0 if ratio <= LINE and after / one <= SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
