"""Two hundred agents in one program are looked after by as many threads as two are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import MakeAgent

# Starts so many agents, tells of our threads, ends the agents, and tells of those that are left.
HOST = """
import asyncio, json, sys, threading
from opentelemetry.sdk.trace import TracerProvider
from otel_untether.instrumentors import AsyncioAgentInstrumentor
from otel_untether.proc_diag.sampler import Sampler

PASSING = {"untether-asks", "untether-import", "untether-transcript"}  # one question each

def ours():
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if name.startswith("untether") and name not in PASSING)

async def becomes(told):
    while not told():
        await asyncio.sleep(0.01)

async def main(count, *command):
    agents = [await asyncio.create_subprocess_exec(*command, stdout=-1) for _ in range(count)]
    for agent in agents:
        await agent.stdout.readline()
    await becomes(lambda: sum(len(one._sessions) for one in samplers) == count)
    there = ours()
    for agent in agents:
        agent.kill()
    statuses = {await agent.wait() for agent in agents}
    await becomes(lambda: not ours())
    print(json.dumps({"there": there, "samplers": len(samplers), "statuses": sorted(statuses)}))

samplers = set()
add = Sampler.add
Sampler.add = lambda self, *args: samplers.add(self) or add(self, *args)
AsyncioAgentInstrumentor().instrument(tracer_provider=TracerProvider())
asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
"""


@pytest.mark.parametrize("count", [2, 200])
def test_one_sampler_and_one_more_thread_look_after_all_agents(
    make_agent: MakeAgent, count: int
) -> None:
    """However many they are; once the last has ended, neither is left."""
    command = make_agent("echo '{}'; exec sleep 600")
    program = [sys.executable, "-c", HOST, str(count), *command]
    done = subprocess.run(program, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    assert told == {
        "there": ["untether-attendant", "untether-sampler"],
        "samplers": 1,
        "statuses": [-9],
    }
