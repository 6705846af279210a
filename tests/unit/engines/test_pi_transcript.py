"""Pi's sessions on disk tell what its streams of the same sessions told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from otel_untether import semconv
from otel_untether.engines import registry
from otel_untether.engines.pi import stream
from otel_untether.engines.pi.transcript import reader
from otel_untether.session import events as ev
from otel_untether.session.activity import Activity, Opened
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from tests.unit.engines.recordings import RECORDINGS, lines, streams

if TYPE_CHECKING:
    from pathlib import Path

DISK = {
    json.loads(path.read_text().splitlines()[0])["id"]: path
    for path in sorted((RECORDINGS / "pi" / "disk").glob("*.jsonl"))
}
STREAMS = {json.loads(next(lines(path)))["id"]: path for path in streams("pi")}
PAIRS = [(STREAMS[key], path) for key, path in DISK.items()]


def told(events: list[ev.Event]) -> dict[str, object]:
    """What both must agree on."""
    answers = [e for e in events if isinstance(e, ev.ModelMessage) and e.complete]
    ends = [e for e in events if isinstance(e, ev.ToolFinished)]
    return {
        "tools": [(e.id, e.name) for e in events if isinstance(e, ev.ToolStarted)],
        "results": sorted((e.id, e.error or "", e.exit_code or 0) for e in ends),
        "answers": [(e.model, e.usage, e.cost_usd, e.finish_reason, e.error) for e in answers],
        "session": [e.session_id for e in events if isinstance(e, ev.SessionStarted)],
        "ended": [e.error for e in events if isinstance(e, ev.TurnFinished)],
    }


@pytest.mark.parametrize(("printed", "kept"), PAIRS, ids=lambda path: path.name)
def test_a_session_is_the_same_on_disk_as_it_was_on_stdout(printed: Path, kept: Path) -> None:
    live = [event for line in lines(printed) for event in stream.decode(line, 1)]
    assert told(list(reader.read(kept))) == told(live)


@pytest.mark.parametrize("path", DISK.values(), ids=lambda path: path.name)
def test_events_keep_their_entries_times_in_order(path: Path) -> None:
    times = [event.at for event in reader.read(path)]
    assert times == sorted(times)
    assert min(times) > 1_795_000_000 * 10**9


def test_a_stream_is_no_transcript_though_it_begins_like_one() -> None:
    for path in streams("pi"):
        assert not reader.is_transcript(list(lines(path))[:32])
    for path in DISK.values():
        head = path.read_bytes().splitlines()[:32]
        assert reader.is_transcript(head)
        assert registry.detect_transcript(head) is registry.get("pi")


@pytest.mark.parametrize("head", [[], [b""], [b"\xff"], [b"[1]"], [b'{"type":"session"}']])
def test_anything_else_is_none(head: list[bytes]) -> None:
    assert not reader.is_transcript(head)


def test_a_torn_line_costs_itself(tmp_path: Path) -> None:
    whole = next(iter(DISK.values()))
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(whole.read_bytes() + b'{"type":"message","id":"x","parentId":null,"mess')
    assert len(list(reader.read(torn))) == len(list(reader.read(whole)))


def entry(kind: str, name: str | None, parent: str | None, second: int, **more: object) -> str:
    ids = {"id": name, "parentId": parent} if name else {}
    at = f"2026-11-25T23:00:{second:02}.000Z"
    return json.dumps({"type": kind, **ids, "timestamp": at, **more})


def said(name: str, parent: str | None, second: int, role: str, **more: object) -> str:
    return entry("message", name, parent, second, message={"role": role, "content": [], **more})


def answer(name: str, parent: str | None, second: int, tokens: int, stop: str = "stop") -> str:
    usage = {"input": tokens, "output": 1, "cost": {"total": 0.5}}
    more = {"model": "m", "usage": usage, "stopReason": stop}
    return said(name, parent, second, "assistant", **more)


HEADER = json.dumps({
    "type": "session", "version": 3, "id": "s", "timestamp": "2026-11-25T23:00:00Z", "cwd": "/p",
})  # fmt: skip
SPENT = {"input": 64, "output": 1}
# A prompt, gone back from twice: to its answer, and to before all of it.
TREE = (
    HEADER,
    said("u1", None, 1, "user"),
    answer("a1", "u1", 2, 1),
    said("u2", "a1", 3, "user"),
    answer("a2", "u2", 4, 2, "error"),
    entry("branch_summary", "b1", "a1", 5, fromId="a2", summary="SECRET", usage=SPENT),
    said("u3", "b1", 6, "user"),
    answer("a3", "u3", 7, 4),
    entry("compaction", "c1", "a3", 8, summary="SECRET", tokensBefore=5000, firstKeptEntryId="u3"),
    said("u4", None, 9, "user"),
    answer("a4", "u4", 10, 8, "aborted"),
)


def played(path: Path, lines: tuple[str, ...]) -> list[ev.Event]:
    path.write_text("".join(f"{line}\n" for line in lines))
    return list(reader.read(path))


class TestBranches:
    """A session's file is a tree: who goes back to an earlier entry goes on from there."""

    def test_each_prompt_is_a_turn_that_says_from_where_it_went_on(self, tmp_path: Path) -> None:
        events = played(tmp_path / "s.jsonl", TREE)
        begun = [e.branched_from for e in events if isinstance(e, ev.TurnStarted)]
        assert begun == [None, None, "a1", "start"]
        ended = [(e.error, e.interrupted) for e in events if isinstance(e, ev.TurnFinished)]
        assert ended == [(None, False), ("error", False), (None, False), ("interrupted", True)]

    def test_whatever_was_asked_of_the_model_is_counted_once(self, tmp_path: Path) -> None:
        events = played(tmp_path / "s.jsonl", (*TREE, *TREE[1:]))
        answers = [e for e in events if isinstance(e, ev.ModelMessage)]
        assert sum(e.usage.input or 0 for e in answers if e.usage) == 64 + 15
        assert sum(e.cost_usd or 0 for e in answers) == 2.0
        (compacted,) = [e for e in events if isinstance(e, ev.Compaction)]
        assert (compacted.phase, compacted.tokens_before) == ("ended", 5000)

    def test_no_summary_is_told(self, tmp_path: Path) -> None:
        assert "SECRET" not in repr(played(tmp_path / "s.jsonl", TREE))

    def test_the_session_is_told_as_a_user_expects(self, tmp_path: Path) -> None:
        state = SessionState("run", started=1)
        opened: list[Activity] = []
        for event in played(tmp_path / "s.jsonl", TREE):
            changes = apply(state, event)
            opened += [change.activity for change in changes if isinstance(change, Opened)]
        turns = [each for each in opened if each.kind == "turn"]
        assert [turn.attributes.get(semconv.BRANCHED_FROM) for turn in turns] == [
            None, None, "a1", "start",
        ]  # fmt: skip
        assert (state.turns, state.interrupted) == (4, True)
        assert not state.oddities

    def test_a_word_to_an_agent_at_work_is_no_other_turn(self, tmp_path: Path) -> None:
        steered = (*TREE[:2], answer("a1", "u1", 2, 1, "toolUse"), *TREE[3:4])
        events = played(tmp_path / "s.jsonl", steered)
        assert ev.TurnFinished not in map(type, events)

    def test_a_clock_that_goes_back_costs_no_entry(self, tmp_path: Path) -> None:
        forked = json.dumps({**json.loads(HEADER), "parentSession": "/p/other.jsonl"})
        late = (forked, said("u1", None, 1, "user"), answer("a1", "u1", 2, 1))
        back = said("u2", "a1", 30, "user").replace("23:00:30", "22:59:30")
        events = played(tmp_path / "s.jsonl", (*late, back, answer("a2", "u2", 3, 2)))
        assert [type(e) for e in events].count(ev.TurnStarted) == 2
        times = [event.at for event in events]
        assert times == sorted(times)


def test_what_is_no_block_costs_itself(tmp_path: Path) -> None:
    called = {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {}}
    odd = said("a1", None, 1, "assistant", content=[None, 7, {"type": 1}, called], timestamp="x")
    events = played(tmp_path / "s.jsonl", (HEADER, odd))
    assert [e.id for e in events if isinstance(e, ev.ToolStarted)] == ["c1"]
