"""A program's signal handlers may run, and raise, while code of ours does."""

from __future__ import annotations

import pytest

from .conftest import MakeAgent
from .test_launcher import launch, names

# Its alarm goes off at the worst of moments.
TIMED_BRIDGE = """\
import functools, signal, subprocess, sys
from otel_untether.engines.decoding import LineDecoder
from otel_untether.instrumentors.agent import HostedAgent
from otel_untether.proc_diag import Tree

class TooLate(Exception):
    pass

class Watch:
    def on_alarm(self, *_):
        raise TooLate

    def __call__(self, *_):
        raise TooLate

def at_once(*_):
    signal.raise_signal(signal.SIGALRM)

HANDLER
signal.signal(signal.SIGALRM, handler)
PLACE = at_once
try:
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) as process:
        process.stdout.read()
except TooLate:
    print("too late", file=sys.stderr)
"""

# Somebody presses Ctrl-C while it looks, at the end of a session, who is left.
STOPPED = """\
import signal, subprocess, sys
from otel_untether.proc_diag import Tree

def stop(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt

def look(*_):
    signal.raise_signal(signal.SIGINT)
    return ()

signal.signal(signal.SIGINT, stop)
Tree.left_behind = look
"""
WAITS = """\
try:
    subprocess.run(sys.argv[1:], stdout=subprocess.PIPE)
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
"""
WATCHES = """\
from otel_untether import watch
try:
    with watch(sys.argv[1:]):
        pass
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
"""
LEAVES = """\
agents = [subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE) for _ in range(2)]
for agent in agents:
    agent.stdout.readline()
"""


@pytest.mark.parametrize(
    ("place", "handler"),
    [
        ("HostedAgent.took", "handler = functools.partial(Watch.on_alarm, None)"),
        ("LineDecoder.decode", "handler = Watch().on_alarm"),
        ("Tree.left_behind", "handler = Watch()"),
    ],
)
def test_what_a_signal_handler_raises_within_our_code_reaches_the_program(
    place: str, handler: str, make_agent: MakeAgent
) -> None:
    """It is a timeout of the program's, say, and no mistake of ours to be kept from it."""
    source = TIMED_BRIDGE.replace("PLACE", place).replace("HANDLER", handler)
    _, said = launch(source, make_agent("echo '{}'"))
    assert said == "too late\n"


@pytest.mark.parametrize(("source", "agents"), [(WAITS, 1), (WATCHES, 1), (LEAVES, 2)])
def test_a_ctrl_c_at_the_end_of_a_session_costs_no_root(
    source: str, agents: int, make_agent: MakeAgent
) -> None:
    script = "echo '{}'" if agents == 1 else "echo '{}'; exec sleep 5 >&- 2>&-"
    spans, said = launch(STOPPED + source, make_agent(script))
    assert said == ("stopped\n" if agents == 1 else "")
    assert names(spans).count("invoke_agent claude") == agents


# The first leads out of the block, the second comes while the agent is asked to end.
STOPPED_TWICE = """\
import asyncio, os, signal, sys
from otel_untether import watch
from otel_untether.kill.killer import Killer

kill, main = Killer.kill, os.getpid()

def kill_and_stop(self, decision):
    os.kill(main, signal.SIGINT)
    return kill(self, decision)

Killer.kill = kill_and_stop
"""
BLOCKING = """\
try:
    with watch(sys.argv[1:]) as agent:
        for line in agent:
            os.kill(main, signal.SIGINT)
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
"""
ASYNCHRONOUS = """\
async def work():
    async with watch(sys.argv[1:]) as agent:
        async for line in agent:
            os.kill(main, signal.SIGINT)

try:
    asyncio.run(work())
except KeyboardInterrupt:
    print("stopped", file=sys.stderr)
"""


@pytest.mark.parametrize("source", [BLOCKING, ASYNCHRONOUS], ids=["with", "async with"])
def test_a_second_ctrl_c_while_the_agent_is_ended_costs_no_root(
    source: str, make_agent: MakeAgent
) -> None:
    spans, said = launch(STOPPED_TWICE + source, make_agent("echo '{}'; exec sleep 5"))
    assert "stopped" in said
    assert names(spans).count("invoke_agent claude") == 1
