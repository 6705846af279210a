"""Whichever way a session comes in, its spans begin and end within 50 ms of when they should.

That is the agent's own word: it notes when it was started, when it said each line and when it
ended. Two ways that are each within 50 ms of it, and never early, are so of each other. A busy
machine delays anybody; so the agent is run until each edge has once been told in time, which an
edge that is told late by our doing never is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from otel_untether.instrumentors import AsyncioAgentInstrumentor, SubprocessAgentInstrumentor
from tests.support.program import Program

from .conftest import HEADLESS, Run, spawned
from .environments import environment, site
from .told import decoded

pytestmark = [
    pytest.mark.timeout(900),  # an environment may have to be made first
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# Works by the clock, whoever listens, and notes in `moments` when it did what; as Claude Code,
# also behind its SDK, or on the Agent Client Protocol.
AGENT = """#!{python}
import json, os, sys, time

def now():
    return time.clock_gettime_ns(time.CLOCK_REALTIME)

def born():
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    booted = now() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return booted + ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")

def say(moment, message):
    time.sleep(0.06)
    moments[moment] = now()
    print(json.dumps(message), flush=True)

def part(kind, message):
    return {{"type": kind, "session_id": "s", "parent_tool_use_id": None,
             "message": {{"role": kind, **message}}}}

def answer(key, block):
    return part("assistant", {{"id": key, "model": "m", "content": [block]}})

def claude():
    call = {{"type": "tool_use", "id": "t", "name": "Bash", "input": {{}}}}
    done = {{"type": "tool_result", "tool_use_id": "t", "content": "done"}}
    say("init", {{"type": "system", "subtype": "init", "session_id": "s", "model": "m",
                 "claude_code_version": "2.1.330"}})
    say("begin", answer("m1", call))
    say("end", part("user", {{"content": [done]}}))
    say("said", answer("m2", {{"type": "text", "text": "done"}}))
    say("over", {{"type": "result", "subtype": "success", "is_error": False, "session_id": "s",
                 "result": "done", "num_turns": 1, "duration_ms": 1, "duration_api_ms": 1}})

def update(what, **more):
    told = {{"sessionId": "s", "update": {{"sessionUpdate": what, **more}}}}
    return {{"jsonrpc": "2.0", "method": "session/update", "params": told}}

def acp():
    say("begin", update("tool_call", toolCallId="t", title="Bash", kind="execute",
                        status="in_progress"))
    say("end", update("tool_call_update", toolCallId="t", status="completed"))
    say("said", update("agent_message_chunk", content={{"type": "text", "text": "done"}}))

ANSWERS = {{
    "initialize": {{"protocolVersion": 1, "agentCapabilities": {{}}, "authMethods": []}},
    "session/new": {{"sessionId": "s"}},
    "session/prompt": {{"stopReason": "end_turn"}},
}}
moments = {{"born": born()}}
hosted = "--input-format" in sys.argv or "--acp" in sys.argv
for line in sys.stdin if hosted else ():
    message = json.loads(line)
    method = message.get("method")
    if method == "session/prompt":
        acp()
    if method in ANSWERS:
        print(json.dumps({{"jsonrpc": "2.0", "id": message["id"], "result": ANSWERS[method]}}),
              flush=True)
    if message.get("type") == "control_request":
        print(json.dumps({{"type": "control_response", "response": {{
            "subtype": "success", "request_id": message["request_id"], "response": {{}}}}}}),
            flush=True)
    if message.get("type") == "user":
        claude()
if not hosted:
    claude()
with open("moments", "w") as file:
    json.dump({{**moments, "exit": now()}}, file)
os._exit(0)
"""
SDK = """\
import sys
import anyio, claude_agent_sdk as sdk

async def main():
    options = sdk.ClaudeAgentOptions(cli_path=sys.argv[1])
    async for _ in sdk.query(prompt="hello", options=options):
        pass

anyio.run(main)
"""
ACP = """\
import asyncio, os, sys
import acp

class Host:
    async def session_update(self, **_):
        pass

async def main():
    env = {**os.environ}
    async with acp.spawn_agent_process(Host(), sys.argv[1], "--acp", env=env) as (agent, process):
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd="/", mcp_servers=[])
        await agent.prompt(session_id=session.session_id, prompt=[acp.text_block("hello")])
        process.stdin.close()
        await process.wait()

asyncio.run(main())
"""
MOST: Final = 50_000_000  # ns
TICK: Final = 11_000_000  # ns: in what the kernel tells when a process was started, and some more
ROUNDS: Final = 40
# What each edge of a span is told by.
ROOT = {("invoke_agent", 0): "born", ("invoke_agent", 1): "exit"}
TOOL = {("execute_tool", 0): "begin", ("execute_tool", 1): "end"}
CHATS = {("chat", 1): "begin", ("last chat", 0): "end", ("last chat", 1): "said"}
Edges: TypeAlias = dict[tuple[str, int], int]
Span: TypeAlias = tuple[str, int, int]


def edges(spans: Iterable[Span]) -> Edges:
    """Return when the spans that are looked at began (0) and ended (1), in ns."""
    found: Edges = {}
    for name, start, end in sorted(spans, key=lambda span: span[1]):
        kind = name.split(" ")[0]
        kind = "last chat" if ("chat", 0) in found and kind == "chat" else kind
        found[kind, 0], found[kind, 1] = start, end
    return found


def soon_right(once: Callable[[], Edges], expected: dict[tuple[str, int], str]) -> None:
    """Run an agent until each edge was once told when it should be."""
    best = dict.fromkeys(expected, float("inf"))
    for _ in range(ROUNDS):
        told = once()
        moments = json.loads(Path("moments").read_text())
        assert told["invoke_agent", 0] <= moments["born"] + TICK
        assert told["invoke_agent", 1] >= moments["exit"] - TICK
        for edge, moment in expected.items():
            best[edge] = min(best[edge], abs(told[edge] - moments[moment]))
        if max(best.values()) <= MOST:
            return
    raise AssertionError({edge: f"{late / 1e6:.1f} ms" for edge, late in best.items()})


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An agent that works in a folder of its own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return [written(tmp_path / "claude"), *HEADLESS]


def written(path: Path) -> str:
    path.write_text(AGENT.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)


def by_run(command: list[str], state: Path) -> Edges:
    environ = {"PATH": os.environ["PATH"], "OTEL_UNTETHER_STATE_DIR": str(state)}
    environ["OTEL_UNTETHER_EXIT_TIMEOUT"] = "60"
    run = [sys.executable, "-m", "otel_untether", "run", "--", *command]
    subprocess.run(run, env=environ, check=True, capture_output=True, timeout=100)
    newest = max(state.glob("runs/*/traces.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return edges(
        (span["name"], int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
        for line in newest.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    )


def test_with_run(agent: list[str], tmp_path: Path) -> None:
    """Its root encloses the agent: it is noted on disk, for which the agent waits a little."""
    soon_right(lambda: by_run(agent, tmp_path / "state"), {**TOOL, **CHATS})


def in_process(program: Program, spawn: Callable[[], object]) -> Edges:
    program.exporter.clear()
    spawn()
    return edges((span.name, span.start_time or 0, span.end_time or 0) for span in program.spans)


def test_under_asyncio(agent: list[str], run: Run, program: Program) -> None:
    instrumentor = AsyncioAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        soon_right(
            lambda: in_process(program, lambda: run(spawned(agent))), {**ROOT, **TOOL, **CHATS}
        )
    finally:
        instrumentor.uninstrument()


def with_popen(command: list[str]) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        list(process.stdout)


def test_with_popen(agent: list[str], program: Program) -> None:
    instrumentor = SubprocessAgentInstrumentor()
    instrumentor.instrument(**program.providers)
    try:
        soon_right(
            lambda: in_process(program, lambda: with_popen(agent)), {**ROOT, **TOOL, **CHATS}
        )
    finally:
        instrumentor.uninstrument()


HOSTS: Final[dict[str, tuple[str, str, dict[Any, str]]]] = {
    "claude": ("claude-agent-sdk==0.2.189", SDK, {**ROOT, **TOOL, **CHATS}),
    "gemini": ("agent-client-protocol==0.12.1", ACP, {**ROOT, **TOOL}),
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


@pytest.mark.parametrize("name", HOSTS)
def test_behind_an_sdk(
    name: str, ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package, source, expected = HOSTS[name]
    python = environment(package)
    env = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ours),
        "CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK": "1",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    launcher = str(python.with_name("opentelemetry-instrument"))
    command = [launcher, str(python), "-c", source, written(tmp_path / name)]

    def once() -> Edges:
        ran = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, ran.stderr
        spans = decoded(ran.stdout)
        return edges((span["name"], at(span["start_time"]), at(span["end_time"])) for span in spans)

    soon_right(once, expected)


def at(stamp: str) -> int:
    """Return a time of the console exporter's as ns since the epoch."""
    return (
        (datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC))
        // timedelta(microseconds=1)
        * 1000
    )
