"""The real Claude Code and Codex with telemetry of their own switched on, as the page says.

That of the others is looked at in `test_open_clis`, in the runs that are made there anyway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .conftest import OURS, Agents, Session, attribute

pytestmark = pytest.mark.timeout(600)

WAYS = ("join", "pass", "off")
NOTICE = "the agent's own spans of its answers and calls join this trace, not ours"
OTLP_HTTP = """{otlp-http={endpoint="{otlp}/v1/PATH",protocol="binary"}}"""


def claude(home: Path, clis: Callable[[str], Path], native: str) -> Session:
    agents = Agents(home, clis)
    bash = ["Bash", {"command": "echo oops >&2; exit 3", "description": "a command"}]
    agents.script(MAINWORK=[{"text": "First.", "tools": [bash]}, {"text": "Done."}])
    return agents.claude("MAINWORK please", native=native)


def codex(home: Path, clis: Callable[[str], Path], native: str) -> Session:
    agents = Agents(home, clis)
    command = ["exec_command", {"cmd": "exit 3", "yield_time_ms": 5000}]
    agents.script(MAINWORK=[{"text": "First.", "tools": [command]}, {"text": "Done."}])
    to = {name: OTLP_HTTP.replace("PATH", name) for name in ("logs", "traces")}
    own = ("-c", f"otel.exporter={to['logs']}", "-c", f"otel.trace_exporter={to['traces']}")
    return agents.codex("MAINWORK please", "--json", *own, native=native)


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, clis: Callable[[str], Path]
) -> dict[tuple[str, str], Future[Session]]:
    """All of them, two at a time."""
    clis("claude"), clis("codex")
    pool = ThreadPoolExecutor(2)
    home = tmp_path_factory.mktemp("native")
    begun = {
        ("claude", native): pool.submit(claude, home / f"claude-{native}", clis, native)
        for native in WAYS
    }
    begun["codex", "join"] = pool.submit(codex, home / "codex", clis, "join")
    pool.shutdown(wait=False)
    return begun


@pytest.fixture
def run(runs: dict[tuple[str, str], Future[Session]]) -> Callable[[str, str], Session]:
    return lambda name, native: runs[name, native].result()


def operations(spans: list[dict[str, Any]]) -> Counter[str]:
    """How many spans of answers and calls there are, ours by what they do, theirs by name."""
    names = {"claude_code.llm_request": "chat", "claude_code.tool": "execute_tool"}
    found = (attribute(s, "gen_ai.operation.name") or names.get(s["name"]) for s in spans)
    return Counter(told for told in found if told in ("chat", "execute_tool"))


class TestClaudeCode:
    def test_its_spans_join_our_trace_below_our_root(self, run: Any) -> None:
        for native in ("join", "pass"):
            session = run("claude", native)
            (top,) = (s for s in session.theirs if s["name"] == "claude_code.interaction")
            assert top["traceId"] == session.root["traceId"]
            assert top["parentSpanId"] == session.root["spanId"]

    def test_joined_each_answer_and_call_is_there_once(self, run: Any) -> None:
        session = run("claude", "join")
        everything = [*session.theirs, *session.exported[OURS]]
        assert operations(session.exported[OURS]) == {}
        assert operations(everything) == {"chat": 2, "execute_tool": 1}
        assert session.stderr.count(NOTICE) == 1

    def test_joined_they_are_counted_all_the_same(self, run: Any) -> None:
        root = run("claude", "join").root
        assert attribute(root, "untether.session.tool_errors") == 1
        assert attribute(root, "gen_ai.usage.output_tokens") == 40

    def test_passed_both_accounts_are_there_and_agree(self, run: Any) -> None:
        session = run("claude", "pass")
        ours, theirs = operations(session.exported[OURS]), operations(session.theirs)
        assert ours == theirs == {"chat": 2, "execute_tool": 1}
        assert NOTICE not in session.stderr

    def test_off_it_sends_nothing_and_ours_are_whole(self, run: Any) -> None:
        session = run("claude", "off")
        assert session.exporters == {OURS}
        assert operations(session.exported[OURS]) == {"chat": 2, "execute_tool": 1}
        assert NOTICE not in session.stderr


class TestCodex:
    def test_its_spans_are_in_our_trace_and_none_stands_for_ours(self, run: Any) -> None:
        session = run("codex", "join")
        assert session.root["traceId"] in {span["traceId"] for span in session.theirs}
        assert operations(session.theirs) == {}
        assert operations(session.exported[OURS]) == {"chat": 2, "execute_tool": 1}
        assert NOTICE not in session.stderr
