"""What an agent writes down is found, read when it changes, and harmless whatever it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.session.activity import Change
from otel_untether.session.events import (
    MessageUsage,
    ModelMessage,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    Usage,
)
from otel_untether.session.fold.apply import apply
from otel_untether.session.merging import is_lacking
from otel_untether.session.state import SessionState
from otel_untether.watching.follower import Follower
from otel_untether.watching.surroundings import Inquiry, Surroundings

SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"
STARTED = (int(time.time()) - 1_000) * 10**9  # files are as old as they are
SECOND = 10**9


def stamp(second: float) -> str:
    moment = STARTED / 1e9 + second
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1000):03}Z"


def entry(kind: str, second: float, content: object, **more: Any) -> str:
    message = {"role": kind, "content": content, **more}
    if kind == "assistant":
        message |= {"id": f"msg_{second}", "model": "m", "usage": {"output_tokens": 7}}
    document = {"type": kind, "uuid": f"{kind}{second}", "sessionId": SESSION, "cwd": "/project"}
    return json.dumps({**document, "timestamp": stamp(second), "message": message}) + "\n"


def call(second: float, name: str) -> str:
    block = {"type": "tool_use", "id": f"toolu_{name}", "name": "Bash", "input": {}}
    return entry("assistant", second, [block], stop_reason="tool_use")


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = Surroundings({"HOME": str(tmp_path)}, "/project")
    monkeypatch.setattr(Inquiry, "ask", lambda _self, _pid: told)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / ".claude" / "projects" / "-project"
    folder.mkdir(parents=True)
    return folder


def following(*, plain: bool = True, session_id: str | None = None, pid: int = 4242) -> Follower:
    state = SessionState("run", STARTED, engine="claude", headless=not plain, followed=True)
    state.pid, state.session_id = pid, session_id
    found = Follower.of(
        registry.get("claude"), state, plain=plain, tree=lambda: None, limit=1_000_000
    )
    assert found is not None
    return found


def tools(found: Follower, *, now: int = STARTED, last: bool = True) -> list[str]:
    events = found.read(now, last=last)
    return [e.id for e in found.news(events, last=last) if isinstance(e, ToolStarted)]


def test_the_one_file_begun_since_and_here_is_its_own(project: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(following()) == ["toolu_a"]


def test_of_two_neither_is_guessed_at(project: Path) -> None:
    for name in (SESSION, SESSION.replace("b", "c")):
        (project / f"{name}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(following()) == []


def test_of_two_the_one_that_its_process_names_is_read(project: Path, tmp_path: Path) -> None:
    for name, said in ((SESSION, "a"), (SESSION.replace("b", "c"), "c")):
        (project / f"{name}.jsonl").write_text(entry("user", 1, "hi") + call(2, said))
    processes = tmp_path / ".claude" / "sessions"
    processes.mkdir()
    (processes / "4242.json").write_text(json.dumps({"pid": 4242, "sessionId": SESSION}))
    assert tools(following()) == ["toolu_a"]


@pytest.mark.parametrize("first", [-100.0, -3.0])
def test_an_older_file_is_another_sessions(project: Path, first: float) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", first, "hi") + call(2, "a"))
    assert tools(following()) == []


def test_another_folders_file_is_another_sessions(project: Path) -> None:
    text = (entry("user", 1, "hi") + call(2, "a")).replace('"/project"', '"/elsewhere"')
    (project / f"{SESSION}.jsonl").write_text(text)
    assert tools(following()) == []


def test_what_was_before_it_resumed_is_not_told(project: Path) -> None:
    text = entry("user", -9, "hi") + call(-8, "old") + entry("user", 1, "on") + call(2, "new")
    (project / f"{SESSION}.jsonl").write_text(text)
    assert tools(following(session_id=SESSION)) == ["toolu_new"]


@pytest.mark.parametrize(
    "end",
    [
        TurnFinished(at=STARTED - 1, session_usage=Usage(input=7000)),
        TurnFinished(
            at=STARTED + 1, session_usage=Usage(input=9000), new_usage=Usage(input=2000)
        ),
    ],
    ids=["resumed", "forked"],
)  # fmt: skip
def test_what_its_past_took_is_learnt_beside_its_output(end: TurnFinished) -> None:
    """The output tells totals that go on from there; its turns' ends are the output's to tell."""
    found = following(plain=False, session_id=SESSION)
    assert list(found.news([end])) == []
    assert found._state.usage_before == Usage(input=7000)


def test_what_is_appended_is_told_once(project: Path) -> None:
    path, found = project / f"{SESSION}.jsonl", following()
    path.write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(found, last=False) == ["toolu_a"]
    with path.open("a") as file:
        file.write(call(3, "b"))
    assert tools(found, now=STARTED + 9 * SECOND, last=False) == ["toolu_b"]
    assert tools(found) == []


def test_the_output_tells_all_of_the_main_agent(project: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(following(plain=False, session_id=SESSION)) == []


def said(found: Follower, second: float, *, over: bool = False) -> None:
    """Have the output tell of the message of that second, without what it took."""
    at = STARTED + int(second * SECOND)
    apply(found._state, ModelMessage(at=at, id=f"msg_{second}", model="m"))
    if over:
        apply(found._state, TurnFinished(at=at))


def learnt(found: Follower) -> list[Change]:
    events = found.read(STARTED, last=True)
    return [change for e in found.news(events, last=True) for change in apply(found._state, e)]


def test_what_a_message_took_is_told_by_the_file_while_it_is_spoken(project: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found = following(plain=False, session_id=SESSION)
    said(found, 2)
    assert learnt(found) == []
    assert found._state.main.chat is not None
    assert found._state.main.chat.usage == Usage(output=7)


def test_what_a_message_took_that_is_over_is_in_the_totals_once(project: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found = following(plain=False, session_id=SESSION)
    said(found, 2, over=True)
    for _ in range(2):
        assert learnt(found) == []
        assert found._state.tokens == Usage(output=7)


def test_what_the_last_answer_of_a_subagent_took_that_is_over_is_in_the_totals() -> None:
    state = SessionState("run", STARTED, followed=True)
    started = ToolStarted(at=STARTED, id="call", name="task")
    task = TaskStarted(at=STARTED, id="agent", kind="agent", tool_id="call")
    spoken = ModelMessage(at=STARTED + 1, id="m", parent="call", complete=True)
    over = TaskFinished(at=STARTED + 2, id="agent", tool_id="call")
    for event in (started, task, spoken, over, ToolFinished(at=STARTED + 3, id="call")):
        apply(state, event)
    told = MessageUsage(at=STARTED + 1, id="m", usage=Usage(output=7), parent="call")
    state.recalling = True
    assert is_lacking(state, told)
    apply(state, told)
    assert state.tokens == Usage(output=7)
    assert not is_lacking(state, told)


def test_what_nobody_heard_of_took_is_not_counted(project: Path) -> None:
    """A fork's file has its past under another name, an older file that of another process."""
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found = following(plain=False, session_id=SESSION)
    said(found, 3)
    assert learnt(found) == []
    assert found._state.tokens == Usage()


def test_a_session_whose_name_is_not_known_yet_is_not_guessed_at(project: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(following(plain=False)) == []


def test_unchanged_files_are_not_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found = following()
    assert found.read(STARTED)
    monkeypatch.setattr(Follower, "_events", lambda *_: pytest.fail("read again"))
    for second in range(1, 100):
        assert found.read(STARTED + second * 100 * SECOND) == ()


def test_what_a_look_costs_is_waited_for_more_than_a_hundred_times(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that following takes less than one per cent of a core, its calls included."""
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found, spent = following(), iter(range(0, 10**12, SECOND))
    monkeypatch.setattr(time, "thread_time_ns", lambda: next(spent))
    assert found.read(STARTED)
    with (project / f"{SESSION}.jsonl").open("a") as file:
        file.write(call(3, "b"))
    assert found.read(STARTED + 124 * SECOND) == ()
    assert found.read(STARTED + 126 * SECOND)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    elsewhere = path.parents[4] / "elsewhere.jsonl"
    elsewhere.write_text(entry("user", 1, "hi") + call(2, "a"))
    path.symlink_to(elsewhere)


def loop(path: Path) -> None:
    path.symlink_to(path)


def folder(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    path.write_text(entry("user", 1, "hi") + call(2, "a"))
    os.truncate(path, 10 * 2**30)  # a hole, no bytes of a disk


def nested(path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    path.write_text(f'{{"type": "user", "message": {deep}}}\n' + entry("user", 1, "hi"))


def nobodys(path: Path) -> None:
    path.write_bytes(b'\xff\x00{"cwd": "/project"' * 1000)


HOSTILE = [pipe, link, loop, folder, huge, nested, nobodys]


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("session_id", [None, SESSION])
def test_whatever_lies_in_its_files_place_does_no_harm(
    project: Path, make: Callable[[Path], None], session_id: str | None
) -> None:
    make(project / f"{SESSION}.jsonl")
    assert tools(following(session_id=session_id)) == []


@pytest.mark.parametrize("make", [pipe, link, loop, huge])
def test_nor_does_what_lies_in_a_subagents_place(
    project: Path, make: Callable[[Path], None]
) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    subagents = project / SESSION / "subagents"
    subagents.mkdir(parents=True)
    make(subagents / "agent-1.jsonl")
    assert tools(following(plain=False, session_id=SESSION)) == []


def test_a_name_that_is_gone_when_it_is_looked_at_was_a_file_being_written(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing odd: the CLI has renamed it meanwhile to what it is called."""
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    found = following(session_id=SESSION)
    gone = project / SESSION / "subagents" / "agent-1.meta.json.tmp.3f7a0b11"
    monkeypatch.setattr(found._reader, "parts", lambda _path: [gone])
    assert tools(found) == ["toolu_a"]
    assert found._state.oddities == {}


def test_a_link_out_of_its_home_in_a_subagents_place_is_told(project: Path, tmp_path: Path) -> None:
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    (project / SESSION / "subagents").mkdir(parents=True)
    (tmp_path / "elsewhere.jsonl").write_text(entry("user", 1, "hi") + call(2, "b"))
    (project / SESSION / "subagents" / "agent-1.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    found = following(session_id=SESSION)
    assert tools(found) == []
    assert found._state.oddities["session_files_not_read"] > 0


def test_a_loop_of_processes_files_does_no_harm(project: Path, tmp_path: Path) -> None:
    processes = tmp_path / ".claude" / "sessions"
    processes.mkdir()
    os.mkfifo(processes / "4242.json")
    (project / f"{SESSION}.jsonl").write_text(entry("user", 1, "hi") + call(2, "a"))
    assert tools(following()) == ["toolu_a"]


def test_what_waits_for_a_look_makes_it_due(project: Path) -> None:
    found = following(session_id=SESSION)
    found.read(STARTED)
    found.read(STARTED + 2 * SECOND)
    assert not found.is_due(STARTED + 3 * SECOND)
    found.hurry()
    assert found.is_due(STARTED + 3 * SECOND)
    assert project.exists()
