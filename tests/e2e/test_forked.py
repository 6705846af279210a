"""Real CLIs go on from a fork of another session: what that said and took is not told again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import (
    CLAUDE_SETTINGS,
    ISOLATED,
    Session,
    attribute,
    find_cli,
    namespace,
    read_spans,
)
from .open_clis import CLIS, ROOT, files_written, install_cli, install_node

pytestmark = pytest.mark.timeout(600)
FORKING = Path(__file__).with_name("forking.py")
PROVIDER = '{name="fake",base_url="{url}/v1",env_key="FAKE_KEY",wire_api="responses"}'
CODEX = [
    "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
    "-m", "fake-model", "-c", "model_provider=fake", "-c", f"model_providers.fake={PROVIDER}",
]  # fmt: skip
PI = ["-p", "--provider", "fake", "--model", "fake-model"]
CLAUDE = ["-p", "--permission-mode", "bypassPermissions"]
# What begins a session and says which it is; what goes on from a fork of it.
WORDS = {
    "claude": (
        [*CLAUDE, "--output-format", "json", "{prompt}"],
        [*CLAUDE, "--resume", "{session}", "--fork-session", "{prompt}"],
    ),
    "codex": ([*CODEX, "--json", "{prompt}"], [*CODEX, "fork", "{session}", "{prompt}"]),
    "codex --json": (
        [*CODEX, "--json", "{prompt}"], [*CODEX, "--json", "fork", "{session}", "{prompt}"],
    ),
    "pi": ([*PI, "--mode", "json", "{prompt}"], [*PI, "--fork", "{session}", "{prompt}"]),
    "opencode": (
        ["run", "--format", "json", "{prompt}"], ["run", "-s", "{session}", "--fork", "{prompt}"],
    ),
}  # fmt: skip
CALLS: dict[str, list[Any]] = {
    "claude": ["Bash", {"command": "echo x", "description": "x"}],
    "codex": ["exec_command", {"cmd": "echo x", "yield_time_ms": 5000}],
    "pi": ["bash", {"command": "echo x"}],
    "opencode": ["bash", {"command": "echo x", "description": "x"}],
}


def program(name: str) -> tuple[list[str], dict[str, str]]:
    """Return how a CLI is started, and what its environment must hold."""
    if name in ("claude", "codex"):
        settings = CLAUDE_SETTINGS if name == "claude" else {"FAKE_KEY": "x"}
        return [str(find_cli(name))], settings
    node = [str(install_node())] if CLIS[name].node else []
    return [*node, str(install_cli(name))], CLIS[name].settings


def forked(mode: str, home: Path) -> Session:
    name = mode.partition(" ")[0]
    command, settings = program(name)
    (home / "project").mkdir(parents=True)
    calls = {"tools": [CALLS[name]]}
    # Asked with the first prompt before it, whose call is counted, too.
    script = {
        "MAINAGAIN": [calls, calls, {"text": "Again."}],
        "MAINWORK": [calls, {"text": "Done."}],
    }
    (home / "script.json").write_text(json.dumps(script))
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OTEL_UNTETHER_STATE_DIR": str(home / "state"),
        "OTEL_UNTETHER_EXIT_TIMEOUT": "60",
        **settings,
    }
    first, second = (
        [*command, *(word.replace("{prompt}", prompt) for word in words)]
        for words, prompt in zip(WORDS[mode], ("MAINWORK please", "MAINAGAIN now"), strict=True)
    )
    ours = [sys.executable, "-m", "otel_untether", "run", "--"]
    files = files_written(CLIS[name], home) if name in CLIS else []
    done = subprocess.run(
        [*namespace(), sys.executable, str(ISOLATED), str(home / "script.json"), *files,
         "env", "-i", *(f"{key}={value}" for key, value in environment.items()),
         sys.executable, str(FORKING), *first, "--", *ours, *second],
        cwd=home / "project",
        capture_output=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    spans = read_spans(home / "state")
    return Session(done.returncode, done.stdout, done.stderr.decode(), home / "state", spans)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Session]]]:
    home = tmp_path_factory.mktemp("forks")
    with ThreadPoolExecutor(3) as pool:
        modes = enumerate(WORDS)
        yield {mode: pool.submit(forked, mode, home / str(number)) for number, mode in modes}


@pytest.mark.parametrize("mode", WORDS)
def test_only_its_own_is_told(runs: dict[str, Future[Session]], mode: str) -> None:
    session = runs[mode].result()
    assert session.returncode == 0, session.stderr
    answers = 1 if mode == "claude" else 2  # its model goes on with what was asked first
    assert len([s for s in session.spans if s["name"].startswith("execute_tool ")]) == answers - 1
    assert len([s for s in session.spans if s["name"].startswith("chat")]) == answers
    assert attribute(session.root, "untether.session.turns") == 1
    assert attribute(session.root, "untether.session.resumed") is True
    taken = [attribute(session.root, f"gen_ai.usage.{way}put_tokens") for way in ("in", "out")]
    assert taken == ([1200, 20] if mode == "claude" else [2000, 40])
