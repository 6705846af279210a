"""A program that leaves, at whatever odd moment, takes no session's root span with it."""

from __future__ import annotations

import pytest

from .conftest import MakeAgent
from .test_launcher import launch, names

ROOT = "invoke_agent claude"
WORKS = "echo '{}'; exec sleep 5 >&- 2>&-"

IN_A_THREAD = """\
import sys, threading
from otel_untether import watch

works = threading.Event()

def work():
    with watch(sys.argv[1:]) as agent:
        for _ in agent:
            works.set()

threading.Thread(target=work, daemon=True).start()
works.wait()
"""
ON_A_LOOP = """\
import asyncio, sys
from otel_untether import watch

async def work(works):
    async with watch(sys.argv[1:]) as agent:
        async for _ in agent:
            works.set()

async def main():
    works = asyncio.Event()
    task = asyncio.create_task(work(works))
    await works.wait()
    return task

loop = asyncio.new_event_loop()
task = loop.run_until_complete(main())
"""
# The exporter of the second is there, and leaves again, while the first works.
BY_ANOTHER_EXPORTER = """\
import subprocess, sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from otel_untether.instrumentors import SubprocessAgentInstrumentor

def begin():
    agent = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    agent.stdout.readline()
    return agent

first = begin()
mine = TracerProvider()
mine.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
SubprocessAgentInstrumentor().uninstrument()
SubprocessAgentInstrumentor().instrument(tracer_provider=mine)
second = begin()
"""
FROM_AN_EXIT_HANDLER = """\
import atexit, subprocess, sys

@atexit.register
def begin():
    global agent
    agent = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
    agent.stdout.readline()
"""


@pytest.mark.parametrize(
    ("source", "agents"),
    [(IN_A_THREAD, 1), (ON_A_LOOP, 1), (BY_ANOTHER_EXPORTER, 2), (FROM_AN_EXIT_HANDLER, 1)],
    ids=["in a thread", "on a loop", "by another exporter", "from an exit handler"],
)
def test_an_agent_that_works_when_the_program_leaves_has_a_root(
    source: str, agents: int, make_agent: MakeAgent
) -> None:
    spans, _ = launch(source, make_agent(WORKS))
    assert names(spans).count(ROOT) == agents


SPAWNED = """\
import os, subprocess, sys
with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agent:
    agent.stdout.readline()
"""
WATCHED = """\
import os, subprocess, sys
from otel_untether import watch
with watch(sys.argv[1:], stdin=subprocess.PIPE) as agent:
    next(iter(agent))
"""
FORKED = """\
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    agent.stdin.close()
print(agent.returncode, file=sys.stderr)
"""


@pytest.mark.parametrize("source", [SPAWNED, WATCHED], ids=["Popen", "watch"])
def test_a_fork_of_the_program_that_leaves_ends_neither_agent_nor_session(
    source: str, make_agent: MakeAgent
) -> None:
    """It unwinds what the program has begun, whose end is not its business."""
    agent = make_agent("echo '{}'; read line; exit 3")
    # Python 3.12 warns of each fork of a program that has threads.
    spans, said = launch(source + FORKED, agent, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert said == "3\n"
    assert names(spans).count(ROOT) == 1


# So it is in exit handlers under Python 3.12.0, and for a while wherever threads are limited.
WITHOUT_THREADS = """\
import subprocess, sys, threading

def refuse(thread):
    raise RuntimeError("can't start new thread")

start, threading.Thread.start = threading.Thread.start, refuse
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
threading.Thread.start = start
with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE):
    ours = {thread.name for thread in threading.enumerate()}
    print(ours >= {"untether-attendant", "untether-sampler"}, file=sys.stderr)
"""


def test_an_agent_for_which_no_thread_is_to_be_had_has_a_root_and_the_next_is_looked_after(
    make_agent: MakeAgent,
) -> None:
    spans, said = launch(WITHOUT_THREADS, make_agent("echo '{}'; exec cat"))
    assert said == "True\n"
    assert names(spans).count(ROOT) == 2
