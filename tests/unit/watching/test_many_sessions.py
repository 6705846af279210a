"""Of a home in which thousands of sessions lie, following one looks at that one."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.session.state import SessionState
from otel_untether.sources.recordings import find, inspect
from otel_untether.watching.follower import Follower
from otel_untether.watching.surroundings import Inquiry, Surroundings

MANY = 400
FEW = 20  # looks at files, of whatever kind, that a tick may take where nothing has changed
OLD = 1_700_000_000
CODEX = {"type": "session_meta", "payload": {"id": "", "cwd": "/p"}}
PLACES = {
    "claude": ".claude/projects/-p/{0}.jsonl",
    "codex": ".codex/sessions/2026/11/20/rollout-2026-11-20T10-00-00-{0}.jsonl",
    "copilot": ".copilot/session-state/{0}/events.jsonl",
    "gemini": ".gemini/tmp/p/chats/session-2026-11-20T10-00-{1}.jsonl",
    "pi": ".pi/agent/sessions/--p--/2026-11-20T10-00-00-000Z_{0}.jsonl",
    "qwen": ".qwen/projects/-p/chats/{0}.jsonl",
}


@pytest.fixture(params=PLACES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sessions(tmp_path: Path, engine: str) -> list[str]:
    """Old ones, all in one folder as far as the CLI has it so."""
    ids = [str(uuid.UUID(int=(number << 96) + 1)) for number in range(1, MANY + 1)]
    for session in ids:
        path = tmp_path / PLACES[engine].format(session, session[:8])
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = {**CODEX, "timestamp": "2026-11-20T10:00:00Z", "payload": {"id": session}}
        path.write_text(json.dumps(entry) + "\n")
        os.utime(path, (OLD, OLD))
    return ids


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is asked of the file system."""
    found: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            found[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "stat", counted("stat", os.stat))
    monkeypatch.setattr(os, "scandir", counted("scandir", os.scandir))
    monkeypatch.setattr(Path, "open", counted("open", Path.open))
    return found


@pytest.fixture
def following(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | None], Follower]:
    told = Surroundings({"HOME": str(tmp_path)}, "/p")
    monkeypatch.setattr(Inquiry, "ask", lambda _self, _pid: told)

    def follow(session_id: str | None) -> Follower:
        state = SessionState("run", time.time_ns(), engine=engine, followed=True)
        state.pid, state.session_id = 4242, session_id
        found = Follower.of(
            registry.get(engine), state, plain=session_id is None, tree=lambda: None, limit=1 << 20
        )
        assert found is not None
        return found

    return follow


def test_a_tick_without_news_looks_at_its_own_files_alone(
    sessions: list[str], looks: Counter[str], following: Callable[[str | None], Follower]
) -> None:
    follower = following(sessions[MANY // 2])
    for _ in range(3):  # finds it, and learns what lies around it
        follower.read(0, last=True)
    looks.clear()
    follower._due = 0
    follower.read(1)
    assert 0 < looks.total() <= FEW
    assert looks["open"] <= 1


def test_a_search_looks_at_old_files_without_opening_them(
    sessions: list[str], looks: Counter[str], following: Callable[[str | None], Follower]
) -> None:
    assert len(sessions) == MANY
    follower = following(None)
    follower.read(time.time_ns(), last=True)
    assert MANY <= looks["stat"] <= 2 * MANY + FEW
    assert looks["open"] <= 1


@pytest.mark.parametrize("engine", ["codex"], indirect=True)
def test_of_a_folder_of_codex_each_file_is_opened_a_few_times(
    sessions: list[str], tmp_path: Path, looks: Counter[str]
) -> None:
    """Beside each session its subagents are looked for, among all the others."""
    recordings = [inspect(path) for path in find(tmp_path / ".codex")]
    assert len(recordings) == len(sessions)
    assert all(list(recording.events()) for recording in recordings)
    assert looks["open"] <= 8 * MANY
    assert looks["scandir"] <= 50
