"""A session that was forked from another begins with a copy of it: that is told there, once."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from otel_untether.engines.claude.transcript import reader as claude
from otel_untether.engines.codex.transcript import reader as codex
from otel_untether.engines.opencode.transcript import reader as opencode
from otel_untether.engines.pi.transcript import reader as pi
from otel_untether.session import events as ev
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from tests.unit.engines.recordings import RECORDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CLAUDE = RECORDINGS / "claude" / "disk" / "claude_ok"
ROLLOUT = "rollout-2026-11-26T04-43-28-01a2162a-6c37-7293-ac3c-93962081c14d.jsonl"


def told(events: Iterable[ev.Event]) -> tuple[list[str], list[str | None]]:
    """Its calls, and its answers by their ids."""
    every = list(events)
    answers = [e.id for e in every if isinstance(e, ev.ModelMessage) and e.complete]
    return [e.id for e in every if isinstance(e, ev.ToolStarted)], answers


def written(path: Path, entries: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def pi_message(at: str, call: str) -> dict[str, Any]:
    block = {"type": "toolCall", "id": call, "name": "bash", "arguments": {}}
    said = {"role": "assistant", "content": [block], "usage": {"input": 9, "output": 1}}
    stamp = f"2026-11-26T19:30:{at}Z"
    return {"type": "message", "id": call, "parentId": None, "timestamp": stamp, "message": said}


def test_of_pis_what_lies_before_its_beginning_is_anothers(tmp_path: Path) -> None:
    header = {"type": "session", "version": 3, "id": "b", "timestamp": "2026-11-26T19:30:20Z"}
    forked = {**header, "parentSession": "/home/a.jsonl"}
    both = [pi_message("17", "old"), pi_message("21", "new")]
    assert told(pi.read(written(tmp_path / "b.jsonl", [forked, *both])))[0] == ["new"]
    assert told(pi.read(written(tmp_path / "a.jsonl", [header, *both])))[0] == ["old", "new"]


def claude_fork(tmp_path: Path, **mark: object) -> list[str]:
    """The calls told of a transcript that begins with another's entries, and goes on."""
    (main,) = CLAUDE.glob("*.jsonl")
    past = [{**entry, "sessionId": "b", **mark} for entry in entries(main) if entry.get("uuid")]
    (day,) = {entry["timestamp"][:11] for entry in past}
    first = {"type": "queue-operation", "sessionId": "b", "timestamp": f"{day}23:59:50.000Z"}
    block = {"type": "tool_use", "id": "toolu_new", "name": "Bash", "input": {}}
    said = {"role": "assistant", "id": "msg_new", "model": "m", "content": [block]}
    new = {"type": "assistant", "uuid": "new", "sessionId": "b", "message": said}
    new["timestamp"] = f"{day}23:59:59.000Z"
    # Where each entry says that it was copied, nothing else is needed.
    entries_ = [*([] if mark else [first]), *past, new]
    return told(claude.read(written(tmp_path / "b.jsonl", entries_)))[0]


def test_of_claude_codes_what_lies_before_its_first_prompt_is_anothers(tmp_path: Path) -> None:
    assert claude_fork(tmp_path) == ["toolu_new"]


def test_of_claude_codes_what_says_that_it_was_copied_is_anothers(tmp_path: Path) -> None:
    assert claude_fork(tmp_path, forkedFrom={"sessionId": "a"}) == ["toolu_new"]


def test_a_session_that_was_not_forked_has_all_its_calls() -> None:
    (main,) = CLAUDE.glob("*.jsonl")
    blocks = [
        block["id"]
        for entry in entries(main)
        if entry["type"] == "assistant"
        for block in entry["message"]["content"]
        if block["type"] == "tool_use"
    ]
    assert set(blocks) <= set(told(claude.read(main))[0])


def test_of_opencodes_what_was_said_before_it_was_made_is_anothers(tmp_path: Path) -> None:
    """The copies have new ids, and the old times."""
    path = tmp_path / "opencode.db"
    shutil.copy(RECORDINGS / "opencode" / "disk" / "opencode.db", path)
    calls, answers = told(opencode.read(path))
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "UPDATE session SET time_created = (SELECT max(time_created) FROM message"
            " WHERE session_id = session.id) WHERE parent_id IS NULL"
        )
        database.commit()
    forked = told(opencode.read(path))
    assert len(forked[1]) < len(answers)
    assert forked[1][-1] == answers[-1]
    assert set(forked[0]) < set(calls)


def codex_fork(tmp_path: Path, *, inherited: int) -> Path:
    """A thread whose totals begin with what the one took that it was forked from."""
    past = {"input_tokens": inherited, "output_tokens": inherited}
    forked = entries(RECORDINGS / "codex" / "disk" / ROLLOUT)
    forked[0]["payload"]["forked_from_id"] = "01a21954-e0c8-71b2-a7d8-91dcb58368ec"
    for entry in forked:
        total = (entry["payload"].get("info") or {}).get("total_token_usage") or {}
        total |= {name: total.get(name, 0) + more for name, more in past.items() if total}
    return written(tmp_path / ROLLOUT, forked)


def used(events: Iterable[ev.Event]) -> ev.Usage:
    state = SessionState("run", started=0)
    for event in events:
        apply(state, event)
    return state.tokens


def test_of_codexs_what_it_took_over_is_no_usage_of_its_own(tmp_path: Path) -> None:
    own = used(codex.read(RECORDINGS / "codex" / "disk" / ROLLOUT))
    assert own.input
    assert used(codex.read(codex_fork(tmp_path, inherited=7000))) == own


def test_its_past_is_told_beside_its_output(tmp_path: Path) -> None:
    ends = [e for e in codex.hidden(codex_fork(tmp_path, inherited=7000), "x")
            if isinstance(e, ev.TurnFinished)]  # fmt: skip
    (end,) = ends
    assert end.session_usage is not None
    assert end.new_usage is not None
    assert (end.session_usage - end.new_usage).input == 7000
