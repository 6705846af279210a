"""Real CLIs that nobody asked for events: they print an answer, or one document, at their end.

Each runs a command that takes longer than a silence may last, in seconds for minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from .conftest import Agents, Session, attribute, find_cli
from .open_clis import PATIENT, QUICK, plain

pytestmark = pytest.mark.timeout(600)


class Mode(NamedTuple):
    """A CLI, the arguments that make it print no events, and whether its files may be read."""

    name: str
    flags: tuple[str, ...] = ()
    files: bool = False

    def __str__(self) -> str:
        return " ".join((self.name, *self.flags))


JSON = ("--output-format", "json")
TEXT = [
    Mode("claude", ("--output-format", "text")),
    Mode("codex", ("--color", "never")),
    *map(Mode, ("gemini", "qwen", "opencode", "copilot", "pi")),
]
DOCUMENTS = [Mode(name, JSON, files=True) for name in ("claude", "gemini", "qwen")]


def run(mode: Mode, home: Path) -> Session:
    files = "true" if mode.files else "false"
    if mode.name not in ("claude", "codex"):
        return plain(home, mode.name, *mode.flags, OTEL_UNTETHER_SESSION_FILES=files)
    agents = Agents(home, find_cli)
    call: dict[str, list[Any]] = {
        "claude": ["Bash", {"command": PATIENT, "description": "x"}],
        "codex": ["exec_command", {"cmd": PATIENT, "yield_time_ms": 30000}],
    }
    agents.script(MAINWORK=[{"tools": [call[mode.name]]}, {"text": "Done."}])
    start = {"claude": agents.claude, "codex": agents.codex}[mode.name]
    return start("MAINWORK please", *mode.flags, session_files=files, **QUICK)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Mode, Future[Session]]]:
    """All of them, a few at a time: they mostly sleep."""
    home = tmp_path_factory.mktemp("plain")
    with ThreadPoolExecutor(4) as pool:
        modes = enumerate([*DOCUMENTS, *TEXT])
        yield {mode: pool.submit(run, mode, home / str(number)) for number, mode in modes}


@pytest.fixture
def ran(runs: dict[Mode, Future[Session]], request: pytest.FixtureRequest) -> Session:
    return runs[request.param].result()


@pytest.mark.parametrize("ran", [*DOCUMENTS, *TEXT], indirect=True, ids=str)
class TestEither:
    def test_what_would_show_more_is_said_once(self, ran: Session) -> None:
        assert ran.returncode == 0
        assert b"Done." in ran.stdout
        assert ran.stderr.count("says what it does only with") == 1

    def test_to_print_at_the_end_alone_is_no_stall(self, ran: Session) -> None:
        assert ran.causes == []
        assert attribute(ran.root, "untether.session.stalled") is False

    def test_it_is_completed_and_nothing_about_it_is_odd(self, ran: Session) -> None:
        assert attribute(ran.root, "untether.session.outcome") == "completed"
        assert attribute(ran.root, "untether.session.oddities") is None


@pytest.mark.parametrize("ran", TEXT, indirect=True, ids=str)
def test_where_nothing_tells_nothing_is_invented(ran: Session) -> None:
    """A text, and files that are not to be read: there is a process, and that is all."""
    names = sorted(span["name"].split(" ")[0] for span in ran.spans)
    assert names == ["invoke_agent", "untether.session.started"]
    told = {item["key"] for item in ran.root["attributes"]}
    assert not [name for name in told if name.startswith("gen_ai.usage.")]
    counted = ("turns", "tools", "cost_usd")
    assert not told & {f"untether.session.{name}" for name in counted}


@pytest.mark.parametrize("ran", DOCUMENTS, indirect=True, ids=str)
def test_beside_a_document_its_files_tell_the_rest(ran: Session) -> None:
    assert json.loads(ran.stdout)
    (tool,) = (s for s in ran.spans if s["name"].startswith("execute_tool "))
    assert int(tool["endTimeUnixNano"]) - int(tool["startTimeUnixNano"]) >= 8.9e9
    chats = [span for span in ran.spans if span["name"].startswith("chat ")]
    assert len(chats) == 2
    taken = [attribute(span, "gen_ai.usage.output_tokens") for span in (*chats, ran.root)]
    assert taken == [20, 20, 40]
    assert attribute(ran.root, "untether.session.turns") == 1
