"""Real CLIs in states that look alike: what hangs is named, what works or waits is left alone.

All of them run side by side with kills switched on, and their times grow with what the machine
takes to start a process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import eventually

from .conftest import CLAUDE_SETTINGS, Agents, Session, recorded_agent, signal_wrapper

pytestmark = pytest.mark.timeout(600)

SLEEP = "python3 -c 'import time; time.sleep(600)'"
MCP_SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    tools = [{"name": "query", "description": "q", "inputSchema": {"type": "object"}}]
    known = {
        "initialize": {"protocolVersion": asked.get("params", {}).get("protocolVersion"),
                       "capabilities": {"tools": {}}, "serverInfo": {"name": "db", "version": "1"}},
        "tools/list": {"tools": tools},
    }
    if asked.get("method") in known:
        said = {"jsonrpc": "2.0", "id": asked["id"], "result": known[asked["method"]]}
        print(json.dumps(said), flush=True)
"""

# What `docker exec` is: a client; who runs the agent, elsewhere, is no part of its tree.
DAEMON = """
import json, os, socket, subprocess
listening = socket.socket(socket.AF_UNIX)
listening.bind(os.path.join(os.environ["HOME"], "docker.sock"))
listening.listen()
connection, _ = listening.accept()
argv = json.loads(connection.makefile().readline())
subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=connection, start_new_session=True)
"""
CLIENT = """#!{python} -SE
import json, os, socket, sys, time
path = os.path.join(os.environ["HOME"], "docker.sock")
while not os.path.exists(path):
    time.sleep(0.01)
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
connection.sendall(json.dumps(sys.argv[sys.argv.index("box") + 1:]).encode() + b"\\n")
while chunk := connection.recv(65536):
    os.write(1, chunk)
"""


def slowness() -> float:
    """How many times longer than on a machine with nothing to do a start takes; 5 at most."""
    taken = []
    for _ in range(5):
        begun = time.monotonic()
        subprocess.run([sys.executable, "-SE", "-c", ""], check=True)
        taken.append(time.monotonic() - begun)
    return min(5.0, max(1.0, sorted(taken)[2] / 0.1))


class Watched(Agents):
    """One CLI at a time, with kills on; `seconds` stretches a time to what the machine needs."""

    def __init__(self, home: Path, clis: Callable[[str], Path], factor: float) -> None:
        super().__init__(home, clis)
        self.factor = factor

    def seconds(self, number: float) -> float:
        return number * self.factor

    @property
    def times(self) -> dict[str, Any]:
        keys = {"stall_timeout": 4, "stall_repeat_seconds": 2, "liveness_timeout": 7}
        keys |= {"startup_timeout": 25, "tool_timeout": 4, "mcp_tool_timeout": 4}
        keys |= {"subagent_timeout": 4, "hook_timeout": 60, "sample_interval": 1}
        return {**{k: self.seconds(v) for k, v in keys.items()}, "stall_auto_kill": "true"}

    @property
    def patient_with_tools(self) -> dict[str, Any]:
        """What a tool is doing is told by the CLI's own files; its first line comes last."""
        return {"startup_timeout": self.seconds(4), "tool_timeout": self.seconds(60)}

    def end_once_named(self, cause: str) -> None:
        """Have the session ended some time after a stall with that cause was found."""
        threading.Thread(target=self._end, args=(cause,), daemon=True).start()

    def _end(self, cause: str) -> None:
        state = self.home / "state"
        eventually(lambda: recorded_agent(state), 120)
        with contextlib.suppress(AssertionError):
            eventually(lambda: named(state / "runs", cause), 240)
        signal_wrapper(state, signal.SIGTERM, self.seconds(8))

    def plain(
        self, prompt: str, *more: str, through: Sequence[str] = (), **options: Any
    ) -> Session:
        words = [*through, str(self._clis("claude")), "-p", *([prompt] if prompt else [])]
        words += ["--permission-mode", "bypassPermissions", *more]
        return self._run(words, CLAUDE_SETTINGS, **{**self.times, **options})


def bash(command: str) -> list[Any]:
    return ["Bash", {"command": command, "description": "a command"}]


def hung_mcp(one: Watched) -> Session:
    server = one.home / "server.py"
    server.write_text(MCP_SERVER)
    config = {"mcpServers": {"db": {"command": sys.executable, "args": [str(server)]}}}
    (one.home / "mcp.json").write_text(json.dumps(config))
    one.script(MAIN=[{"tools": [["mcp__db__query", {}]]}, {"text": "done"}])
    more = ("--mcp-config", str(one.home / "mcp.json"), "--strict-mcp-config")
    one.end_once_named("mcp_hung")
    return one.plain("MAIN go", *JSON, *more)


def heartbeats(one: Watched) -> Session:
    """Claude prints one after 30 s and knows nothing of our times."""
    one.script(MAIN=[{"tools": [bash(SLEEP)]}, {"text": "done"}])
    one.end_once_named("tool_hung")
    return one.plain("MAIN go", *JSON, tool_timeout=33)


def streamed(one: Watched) -> Session:
    words = "word " * 600
    one.script(MAIN=[{"text": words, "pace": one.seconds(15)}])
    return one.plain("MAIN go", *JSON)


def text_mode(one: Watched) -> Session:
    one.script(MAIN=[{"tools": [bash(f"sleep {one.seconds(14):.0f}")]}, {"text": "done"}])
    return one.plain("MAIN go", **one.patient_with_tools)


def codex_text_mode(one: Watched) -> Session:
    command = {"cmd": f"sleep {one.seconds(14):.0f}", "yield_time_ms": 30_000}
    one.script(MAIN=[{"tools": [["exec_command", command]]}, {"text": "done"}])
    return one.codex("MAIN go", "--color=never", **{**one.times, **one.patient_with_tools})


def slow_hook(one: Watched) -> Session:
    hook = {"type": "command", "command": f"sleep {one.seconds(14):.0f}", "timeout": 600}
    settings = {"hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [hook]}]}}
    (one.home / "settings.json").write_text(json.dumps(settings))
    one.script(MAIN=[{"tools": [bash("echo hi")]}, {"text": "done"}])
    more = ("--settings", str(one.home / "settings.json"))
    return one.plain("MAIN go", *JSON, *more, tool_timeout=one.seconds(60))


def three_prompts(one: Watched) -> Session:
    one.script(MAIN=[{"text": "done"}])
    content = {"type": "user", "message": {"role": "user", "content": "MAIN go"}}
    prompt = json.dumps(content).encode() + b"\n"
    typed = [(0.0, prompt), *[(one.seconds(14), prompt)] * 2, (one.seconds(10), b"")]
    return one.plain("", *JSON, "--input-format", "stream-json", typed=typed)


def through_docker(one: Watched) -> Session:
    """The model falls silent, of which a client knows nothing."""
    daemon, client = one.home / "dockerd.py", one.home / "docker"
    daemon.write_text(DAEMON)
    client.write_text(CLIENT.format(python=sys.executable))
    client.chmod(0o755)
    one.script(MAIN=[{"text": "on it", "tools": [bash("echo before")]}, {"hang": "headers"}])
    one.end_once_named("model_silent")
    return one.plain("MAIN go", *JSON, through=(str(client), "exec", "-i", "box"), beside=daemon)


def stopped(one: Watched) -> Session:
    one.script(MAIN=[{"text": "on it", "tools": [bash("echo before")]}, {"hang": "headers"}])
    runs = one.home / "state" / "runs"

    def stop_for_a_while() -> None:
        eventually(lambda: recorded_agent(one.home / "state") and spoke(runs), 120)
        agent = recorded_agent(one.home / "state") or 0
        os.kill(agent, signal.SIGSTOP)
        with contextlib.suppress(AssertionError):
            eventually(lambda: named(runs, "stopped"), one.seconds(30))
        os.kill(agent, signal.SIGCONT)
        os.kill(agent, signal.SIGTERM)

    threading.Thread(target=stop_for_a_while, daemon=True).start()
    return one.plain("MAIN go", *JSON)


def spoke(runs: Path) -> bool:
    """Whether the agent of the only run has printed anything."""
    samples = [x for path in runs.glob("*/samples.jsonl") for x in path.read_bytes().splitlines()]
    return any(b'"output":0' not in line for line in samples)


def named(runs: Path, cause: str) -> bool:
    """Whether a stall with this cause was found."""
    dumps = (path.read_text() for path in runs.glob("*/stall-*.json"))
    return any(json.loads(text)["cause"] == cause for text in dumps if text)


JSON = ("--output-format", "stream-json", "--verbose")
CASES = (hung_mcp, heartbeats, streamed, text_mode, codex_text_mode, slow_hook, three_prompts,
         stopped, through_docker)  # fmt: skip


def _run(
    case: Callable[[Watched], Session], home: Path, clis: Callable[[str], Path], factor: float
) -> Session:
    return case(Watched(home, clis, factor))


Judged = Callable[[Callable[[Watched], Session]], Session]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, clis: Callable[[str], Path]) -> Judged:
    """Run all cases at once, and return what each came to."""
    for cli in ("claude", "codex"):
        clis(cli)
    factor = slowness()
    homes = {case: tmp_path_factory.mktemp(case.__name__) / "home" for case in CASES}
    with ThreadPoolExecutor(len(CASES)) as pool:
        futures: dict[Any, Future[Session]] = {
            case: pool.submit(_run, case, homes[case], clis, factor) for case in CASES
        }
    return lambda case: futures[case].result()


def test_an_mcp_call_that_hangs_is_its_server_s_fault(judged: Judged) -> None:
    session = judged(hung_mcp)
    assert session.causes_in_the_end == {"mcp_hung"}
    assert "the MCP server db has not answered" in session.stderr
    assert "otel-untether: killing it" not in session.stderr


def test_heartbeats_do_not_hide_a_command_that_hangs(judged: Judged) -> None:
    session = judged(heartbeats)
    assert session.causes_in_the_end == {"tool_hung"}
    assert "no progress for" in session.stderr
    assert "otel-untether: killing it" not in session.stderr


@pytest.mark.parametrize("case", [streamed, text_mode, codex_text_mode, slow_hook, three_prompts])
def test_who_works_or_waits_is_neither_called_stalled_nor_killed(
    judged: Judged, case: Callable[[Watched], Session]
) -> None:
    """A streamed answer, text mode with a tool, a slow hook, pauses between prompts."""
    session = judged(case)
    assert session.causes == [], session.stderr
    assert "otel-untether: killing it" not in session.stderr
    assert session.returncode == 0


@pytest.mark.parametrize(("case", "name"), [(text_mode, "claude"), (codex_text_mode, "codex")])
def test_who_was_asked_for_a_text_is_said_to_have_flags_that_show_more(
    judged: Judged, case: Callable[[Watched], Session], name: str
) -> None:
    assert judged(case).stderr.count(f"{name} says what it does only with") == 1


def test_a_stopped_agent_is_named_and_spared(judged: Judged) -> None:
    session = judged(stopped)
    assert "stopped" in session.causes
    assert "kill -CONT" in session.stderr
    assert "otel-untether: killing it" not in session.stderr


def test_who_runs_elsewhere_is_not_judged_by_its_client(judged: Judged) -> None:
    session = judged(through_docker)
    assert "model_silent" in session.causes, session.stderr
    assert "docker is a client: the agent runs elsewhere" in session.stderr
    assert "otel-untether: killing it" not in session.stderr
