"""Real agent CLIs, installed by npm into a cache outside the tree, run without a network."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

VERSIONS = {"@anthropic-ai/claude-code": "2.1.330", "@openai/codex": "0.169.0"}
BINARIES = {
    "claude": ("@anthropic-ai/claude-code", "@anthropic-ai/claude-code-linux-x64/claude"),
    "codex": ("@openai/codex", "@openai/codex/bin/codex.js"),
}
CLAUDE_SETTINGS = {
    "IS_SANDBOX": "1",
    "ANTHROPIC_BASE_URL": "{url}",
    "ANTHROPIC_API_KEY": "sk-fake-0",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_AUTOUPDATER": "1",
}
ISOLATED = Path(__file__).with_name("isolated.py")
OURS = "otel-untether"
# What switches on whatever a CLI has of telemetry, and our own, towards one receiver.
TELEMETRY = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "{otlp}",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "GEMINI_TELEMETRY_ENABLED": "true",
    "GEMINI_TELEMETRY_OTLP_ENDPOINT": "{otlp}",
    "GEMINI_TELEMETRY_OTLP_PROTOCOL": "http",
    "QWEN_TELEMETRY_ENABLED": "true",
    "QWEN_TELEMETRY_OTLP_ENDPOINT": "{otlp}",
    "QWEN_TELEMETRY_OTLP_PROTOCOL": "http",
}


def unavailable(why: str) -> None:
    """A missing tool is a failure where everything must run, and said loudly elsewhere."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def clis() -> Callable[[str], Path]:
    """Return what finds a CLI: named by CLAUDE_BIN or CODEX_BIN, else installed once."""
    return find_cli


def find_cli(name: str) -> Path:
    """Return a CLI's program."""
    named = os.environ.get(f"{name.upper()}_BIN")
    if named:
        return Path(named)
    package, inside = BINARIES[name]
    return installed(name, package, VERSIONS[package], inside)


def installed(name: str, package: str, version: str, inside: str) -> Path:
    """Return a program of an npm package, installed once into the cache, whoever else asks.

    Its folder has its name only once it is complete: a package's files are there long before
    those that it depends on.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    prefix = cache / "otel-untether" / "clis" / f"{name}-{version}"
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with prefix.with_name(f"{prefix.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (prefix / "node_modules" / inside).exists():
            shutil.rmtree(prefix, ignore_errors=True)
            begun = prefix.with_name(f"{prefix.name}.begun")
            shutil.rmtree(begun, ignore_errors=True)
            install(f"{package}@{version}", begun)
            begun.rename(prefix)
    return prefix / "node_modules" / inside


def install(package: str, prefix: Path) -> None:
    if shutil.which("npm") is None:
        unavailable(f"npm is missing, needed to install {package}: install Node.js 20 or newer")
    print(f"\ninstalling {package} (some hundred megabytes, once) …", flush=True)
    prefix.mkdir(parents=True)
    ran = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--prefix", prefix, package],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        unavailable(f"npm could not install {package}: {ran.stderr[-500:]}")


@dataclass
class Session:
    """What a run left behind."""

    returncode: int
    stdout: bytes
    stderr: str
    state_dir: Path
    spans: list[dict[str, Any]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def exported(self) -> dict[str, list[dict[str, Any]]]:
        """The spans that a receiver took, by the service that sent them; `otel-untether` is us."""
        found: dict[str, list[dict[str, Any]]] = {}
        for request in self.received:
            for resource in request.get("resourceSpans", ()):
                spans = [span for scope in resource["scopeSpans"] for span in scope["spans"]]
                found.setdefault(attribute(resource["resource"], "service.name"), []).extend(spans)
        return found

    @property
    def theirs(self) -> list[dict[str, Any]]:
        """The spans that the agent itself exported."""
        return [s for name, all_ in self.exported.items() if name != OURS for s in all_]

    @property
    def exporters(self) -> set[str]:
        """The services that sent anything at all: spans, metrics or logs."""
        signals = ("resourceSpans", "resourceMetrics", "resourceLogs")
        resources = [
            r for request in self.received for key in signals for r in request.get(key, ())
        ]
        return {attribute(resource["resource"], "service.name") for resource in resources}

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {span["spanId"]: span for span in self.spans}

    def parent(self, span: dict[str, Any]) -> dict[str, Any] | None:
        return self.by_id.get(span.get("parentSpanId", ""))

    @property
    def root(self) -> dict[str, Any]:
        (root,) = (span for span in self.spans if not span.get("parentSpanId"))
        return root

    @property
    def causes(self) -> list[str]:
        """What the stall warnings named, in order."""
        stalls = sorted(self.named("untether.stall"), key=lambda s: int(s["endTimeUnixNano"]))
        return [attribute(span, "untether.stall.cause") for span in stalls]

    @property
    def causes_in_the_end(self) -> set[str]:
        """What was named, but for what a CLI still computed at the very first.

        The thresholds are a hundredth of those that people have: on a busy machine a CLI may
        still be at what it does after its last line.
        """
        return set(itertools.dropwhile(("spinning", "cpu_starved").__contains__, self.causes))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]


def attribute(span: dict[str, Any], name: str) -> Any:
    for item in span.get("attributes", ()):
        if item["key"] == name:
            ((kind, value),) = item["value"].items()
            return int(value) if kind == "intValue" else value
    return None


class Agents:
    """Runs a real CLI through `otel-untether run`, asking a scripted model."""

    def __init__(self, home: Path, clis: Callable[[str], Path]) -> None:
        self.home = home
        self.project = home / "project"
        self.project.mkdir(parents=True)
        (self.project / "hello.py").write_text('print("hello")\n')
        self._clis = clis
        self._script = home / "script.json"

    def script(self, **turns: list[dict[str, Any]]) -> None:
        self._script.write_text(json.dumps(turns))

    def claude(self, prompt: str, *flags: str, **options: Any) -> Session:
        """Run `claude -p`, by default with the flags that ask for events."""
        words = [str(self._clis("claude")), "-p", prompt, "--permission-mode", "bypassPermissions"]
        words += flags or ["--output-format", "stream-json", "--verbose"]
        return self._run(words, CLAUDE_SETTINGS, **options)

    def codex(self, prompt: str, *flags: str, **options: Any) -> Session:
        """Run `codex exec`, by default with `--json`."""
        provider = '{name="fake",base_url="{url}/v1",env_key="FAKE_KEY",wire_api="responses"}'
        words = [str(self._clis("codex")), "exec", "--skip-git-repo-check"]
        words += flags or ["--json"]
        words += ["-m", "fake-model", "-c", "model_provider=fake"]
        words += ["-c", f"model_providers.fake={provider}"]
        words += ["--dangerously-bypass-approvals-and-sandbox", prompt]
        return self._run(words, {"FAKE_KEY": "x"}, **options)

    def _run(
        self,
        agent: list[str],
        settings: dict[str, str],
        *,
        signal_after: tuple[signal.Signals, float] | None = None,
        typed: Sequence[tuple[float, bytes]] = (),
        beside: Path | None = None,
        native: str | None = None,
        **watchdog: float | str,
    ) -> Session:
        state = self.home / "state"
        environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "OTEL_UNTETHER_STATE_DIR": str(state),
            "OTEL_UNTETHER_EXIT_TIMEOUT": "60",  # what is told at the end is what is looked at
            **{f"OTEL_UNTETHER_{key.upper()}": str(value) for key, value in watchdog.items()},
            **settings,
            **({**TELEMETRY, "OTEL_UNTETHER_NATIVE": native} if native else {}),
        }
        command = ["env", "-i", *(f"{k}={v}" for k, v in environment.items())]
        if beside is not None:  # a program that was there before us
            start = '"$0" -SE "$1" </dev/null >/dev/null 2>&1 & shift; exec "$0" "$@"'
            command += ["sh", "-c", start, sys.executable, str(beside)]
            command += ["-m", "otel_untether", "run", "--", *agent]
        else:
            command += [sys.executable, "-m", "otel_untether", "run", "--", *agent]
        process = subprocess.Popen(
            [*namespace(), sys.executable, str(ISOLATED), str(self._script), *command],
            cwd=self.project,
            stdin=subprocess.PIPE if typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for pause, line in typed:
            assert process.stdin is not None
            time.sleep(pause)
            process.stdin.write(line)
            process.stdin.flush()
        if signal_after is not None:
            signal_wrapper(state, *signal_after)
        stdout, stderr = process.communicate(timeout=400 if watchdog else 110)
        return Session(
            process.returncode,
            stdout,
            stderr.decode(),
            state,
            read_spans(state),
            read_received(self.home),
        )


def namespace() -> list[str]:
    """Enter a network namespace in which nothing but loopback exists."""
    if shutil.which("unshare") is None:
        unavailable("unshare (util-linux) is missing: real CLIs run without a network only")
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--net", "-r"]


def signal_wrapper(state: Path, number: signal.Signals, after: float) -> None:
    """Signal the wrapper, the agent's parent, some seconds after the agent has begun."""
    deadline = time.monotonic() + 60
    while (agent := recorded_agent(state)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agent is not None, "no agent was started"
    time.sleep(after)
    fields = Path(f"/proc/{agent}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(fields[1]), number)


def recorded_agent(state: Path) -> int | None:
    """Return the agent's pid as `run.json` has it, None until it has."""
    for path in state.glob("runs/*/run.json"):
        process = json.loads(path.read_text()).get("process")
        return int(process["pid"]) if process else None
    return None


def read_received(home: Path) -> list[dict[str, Any]]:
    """What the receiver in an isolated run took, a request each."""
    path = home / "otlp.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def read_spans(state: Path) -> list[dict[str, Any]]:
    (path,) = state.glob("runs/*/traces.jsonl")
    return [
        span
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.fixture
def agents(tmp_path: Path, clis: Callable[[str], Path]) -> Agents:
    return Agents(tmp_path / "home", clis)
