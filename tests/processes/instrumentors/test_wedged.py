"""A freeze in an agent of each SDK is found while it lasts, and its tree is ended.

The SDKs are the real ones. Their agent is a script that speaks as theirs do until it has a prompt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import eventually

from .environments import environment, site
from .test_silence import gone
from .told import Told, decoded

pytestmark = pytest.mark.timeout(900)  # an environment may have to be made first
AGENT = """#!{python}
import json, os, subprocess, sys

ANSWERS = {{
    "initialize": {{"protocolVersion": 1, "agentCapabilities": {{}}, "authMethods": []}},
    "session/new": {{"sessionId": "s"}},
}}
TURN = {{"id": "t", "items": [], "status": "inProgress"}}
THREAD = {{
    "id": "s", "sessionId": "s", "cliVersion": "0.163.0", "createdAt": 1, "updatedAt": 1,
    "cwd": "/", "ephemeral": False, "modelProvider": "openai", "preview": "", "source": "appServer",
    "status": {{"type": "idle"}}, "turns": [],
}}
CODEX = {{
    "initialize": {{"userAgent": "codex/0.163.0"}},
    "thread/start": {{
        "thread": THREAD, "model": "m", "modelProvider": "openai", "cwd": "/",
        "approvalPolicy": "never", "approvalsReviewer": "user",
        "sandbox": {{"type": "dangerFullAccess"}},
    }},
    "turn/start": {{"turn": TURN}},
}}
if "app-server" in sys.argv:
    ANSWERS = CODEX

def say(message):
    print(json.dumps(message), flush=True)

def freeze():
    child = subprocess.Popen(["sleep", "600"])
    with open(os.environ["CHILD"], "w") as file:
        file.write(str(child.pid))
    child.wait()

if "-v" in sys.argv:
    sys.exit(print("2.1.330 (Claude Code)"))
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") in ANSWERS:
        say({{"jsonrpc": "2.0", "id": message["id"], "result": ANSWERS[message["method"]]}})
        if message["method"] == "turn/start":
            say({{"method": "turn/started", "params": {{"threadId": "s", "turn": TURN}}}})
            freeze()
    elif message.get("method") == "session/prompt":
        freeze()
    elif message.get("type") == "control_request":
        say({{"type": "control_response", "response": {{
            "subtype": "success", "request_id": message["request_id"], "response": {{}}}}}})
    elif message.get("type") == "user":
        say({{"type": "system", "subtype": "init", "session_id": "s", "model": "m",
              "claude_code_version": "2.1.330"}})
        freeze()
"""
CLAUDE = """\
import sys
import anyio, claude_agent_sdk as sdk

async def main():
    options = sdk.ClaudeAgentOptions(cli_path=sys.argv[1])
    try:
        async for _ in sdk.query(prompt="hello", options=options):
            pass
    except Exception as error:
        print("told", type(error).__name__, file=sys.stderr)

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
        asked = agent.prompt(session_id=session.session_id, prompt=[acp.text_block("hello")])
        try:
            await asked
        except Exception as error:
            print("told", type(error).__name__, file=sys.stderr)

asyncio.run(main())
"""
CODEX = """\
import sys
import openai_codex.client as sdk

with sdk.CodexClient(sdk.CodexConfig(codex_bin=sys.argv[1])) as client:
    client.initialize()
    thread = client.thread_start({}).thread.id
    turn = client.turn_start(thread, "hello").turn.id
    process = client._proc
    try:
        client.wait_for_turn_completed(turn)
    except Exception as error:
        print("told", type(error).__name__, file=sys.stderr)
    print("status", process.wait(), file=sys.stderr)
"""
HOSTS = {
    "claude": ("claude-agent-sdk==0.2.189", CLAUDE),
    "codex": ("openai-codex==0.163.0", CODEX),
    "gemini": ("agent-client-protocol==0.12.1", ACP),
}
SETTINGS = {
    "STALL_AUTO_KILL": "true",
    "STALL_TIMEOUT": "0.4",
    "SAMPLE_INTERVAL": "0.1",
    "LIVENESS_TIMEOUT": "3",  # no SDK on a busy machine takes as long to ask
    "KILL_CONFIRMATIONS": "1",
    "KILL_GRACE": "0.5",
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site(tmp_path_factory.mktemp("site"))


def run(name: str, ours: Path, home: Path) -> Told:
    package, source = HOSTS[name]
    agent = home / name
    agent.write_text(AGENT.format(python=os.path.realpath(sys.executable)))
    agent.chmod(0o755)
    python = environment(package)
    env = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ours),
        "CHILD": str(home / "child"),
        "CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK": "1",
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        **{f"OTEL_UNTETHER_{key}": value for key, value in SETTINGS.items()},
    }
    launcher = str(python.with_name("opentelemetry-instrument"))
    command = [launcher, str(python), "-c", source, str(agent)]
    ran = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return Told(decoded(ran.stdout), ran.stderr)


@pytest.mark.parametrize("name", HOSTS)
def test_a_wedged_agent_is_found_and_ended_with_its_tree_and_its_program_is_told(
    name: str, ours: Path, tmp_path: Path
) -> None:
    told = run(name, ours, tmp_path)
    (root,) = told.named(f"invoke_agent {name}")
    assert root["attributes"]["untether.session.outcome"] == "killed"
    assert root["attributes"]["error.type"] == "wedged"
    (stall, *_) = told.named("untether.stall")
    assert stall["end_time"] <= root["end_time"]
    assert "told" in told.said
    if name == "codex":  # the one whose handle is a `subprocess.Popen`
        assert f"status {-signal.SIGTERM}" in told.lines
    eventually(lambda: gone(int((tmp_path / "child").read_text())))
