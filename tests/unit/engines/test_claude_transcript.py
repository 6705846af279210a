"""Claude Code's transcripts on disk, in the four ways its versions kept subagents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines.claude.transcript import reader as claude_transcript
from otel_untether.engines.claude.transcript.answers import Answers
from otel_untether.session import events as ev
from otel_untether.session.merging import is_below
from tests.unit.engines.recordings import RECORDINGS, lines, streams

if TYPE_CHECKING:
    from pathlib import Path

SESSION = "5338d48e-38f1-4f79-8c2b-07650ca282a1"
DISK = RECORDINGS / "claude" / "disk" / "claude_ok" / "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a.jsonl"
SECOND = 10**9
START = 1_795_326_660 * SECOND


def stamp(second: float) -> str:
    return f"2026-11-22T05:51:{second:06.3f}Z"


def entry(second: float, type_: str, **members: Any) -> dict[str, Any]:
    return {
        "type": type_,
        "uuid": f"u{second}",
        "timestamp": stamp(second),
        "sessionId": SESSION,
        "version": "2.0.60",
        "isSidechain": False,
        **members,
    }


def prompt(second: float, text: str, **members: Any) -> dict[str, Any]:
    return entry(second, "user", message={"role": "user", "content": text}, **members)


def says(second: float, message_id: str, block: dict[str, Any], **members: Any) -> dict[str, Any]:
    message = {
        "id": message_id,
        "model": "opus",
        "content": [block],
        "stop_reason": "end_turn" if block["type"] == "text" else "tool_use",
        "usage": {"input_tokens": 10, "output_tokens": 2},
    }
    return entry(second, "assistant", message=message, **members)


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def use(tool_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": tool_id, "name": name, "input": arguments}


def got(second: float, tool_id: str, structured: Any = None, **members: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": tool_id, "content": "ok"}
    message = {"role": "user", "content": [block]}
    return entry(second, "user", message=message, toolUseResult=structured, **members)


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(each) + "\n" for each in entries))
    return path


def read(path: Path) -> list[ev.Event]:
    return list(claude_transcript.read(path))


def calls(events: list[ev.Event]) -> dict[str, str | None]:
    """Each call's id and the call it was made under."""
    return {e.id: e.parent for e in events if isinstance(e, ev.ToolStarted)}


def of(events: list[ev.Event], type_: type[ev.Event]) -> list[Any]:
    return [event for event in events if isinstance(event, type_)]


def test_the_recorded_session_is_what_its_files_say() -> None:
    events = read(DISK)
    agent = next((DISK.with_suffix("") / "subagents").glob("*.jsonl"))
    expected: dict[str, str | None] = {}
    times: dict[str, tuple[str, str]] = {}
    for path, parent in ((DISK, None), (agent, "toolu_e282edb2c56646b39e868f21")):
        for line in map(json.loads, path.read_text().splitlines()):
            content = line.get("message", {}).get("content", ())
            for block in content if isinstance(content, list) else ():
                if block["type"] == "tool_use":
                    expected[block["id"]] = parent
                    times[block["id"]] = (line["timestamp"], "")
                if block["type"] == "tool_result":
                    began = times[block["tool_use_id"]][0]
                    times[block["tool_use_id"]] = (began, line["timestamp"])
    assert calls(events) == expected
    for event in events:
        if isinstance(event, ev.ToolStarted):
            assert event.at == START + round(float(times[event.id][0][17:-1]) * 1000) * 10**6
        if isinstance(event, ev.ToolFinished):
            assert event.at == START + round(float(times[event.id][1][17:-1]) * 1000) * 10**6


def test_the_recorded_agent_runs_until_its_notice_is_queued() -> None:
    events = read(DISK)
    (started,) = of(events, ev.TaskStarted)
    (ended,) = of(events, ev.TaskFinished)
    assert (started.id, started.depth, started.background) == ("a49c5dfe3bb2135fc", 1, True)
    assert started.tool_id == ended.tool_id == "toolu_e282edb2c56646b39e868f21"
    assert (ended.at, ended.tokens, ended.tool_uses) == (START + 2_941 * 10**6, 1220, 2)


def test_the_recorded_turns_have_usage_and_the_last_the_cost() -> None:
    events = read(DISK)
    first, last = of(events, ev.TurnFinished)
    assert len(of(events, ev.TurnStarted)) == 2
    assert first.usage == ev.Usage(
        input=6000, output=100, cache_read=1000, cache_write=0, reasoning=0
    )
    assert last.session_usage.output == 180
    assert (first.session_cost_usd, last.session_cost_usd) == (None, 0.03996)


def test_events_come_in_order_of_time() -> None:
    times = [event.at for event in read(DISK)]
    assert times == sorted(times)


def test_the_session_starts_first_even_where_the_clock_stepped_back(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", prompt(9, "go"), says(1, "m1", text("done")))
    events = read(path)
    assert isinstance(events[0], ev.SessionStarted)
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_a_message_is_complete_once_on_its_last_line() -> None:
    complete = [e.id for e in of(read(DISK), ev.ModelMessage) if e.complete]
    assert len(complete) == len(set(complete)) == 9


def test_requests_kept_on_disk_are_never_told(tmp_path: Path) -> None:
    """They hold the whole system prompt."""
    kept = {"request": {"system": "SECRET"}, "message": {"content": [text("SECRET")]}}
    path = write(
        tmp_path / "s.jsonl",
        prompt(0, "go"),
        *(entry(n, t, **kept) for n, t in enumerate(("api-request", "api-request-blob"), 1)),
    )
    assert "SECRET" not in repr(read(path))


def test_sidechains_in_the_same_file_are_joined_by_their_prompt(tmp_path: Path) -> None:
    """Up to 2.0; here two at once, interleaved."""
    side = {"isSidechain": True}
    path = write(
        tmp_path / f"{SESSION}.jsonl",
        prompt(0, "go"),
        says(1, "m1", use("A", "Task", prompt="count", subagent_type="Plan")),
        says(2, "m1", use("B", "Task", prompt="look")),
        prompt(3, "look", parentUuid=None, **side),
        prompt(3.1, "count", parentUuid=None, **side),
        says(4, "m2", use("b1", "Read"), parentUuid="u3", **side),
        says(4.1, "m3", use("a1", "Read"), parentUuid="u3.1", **side),
        got(5, "b1", parentUuid="u4", **side),
        got(5.1, "a1", parentUuid="u4.1", **side),
        got(6, "B"),
        got(7, "A"),
        says(8, "m4", text("done")),
    )
    events = read(path)
    assert calls(events) == {"A": None, "B": None, "a1": "A", "b1": "B"}
    assert len(of(events, ev.TurnStarted)) == len(of(events, ev.TurnFinished)) == 1
    assert [e.subagent for e in of(events, ev.ToolStarted)][:2] == ["Plan", "general-purpose"]


def test_agents_with_the_same_prompt_are_told_apart(tmp_path: Path) -> None:
    side = {"isSidechain": True}
    path = write(
        tmp_path / "s.jsonl",
        says(1, "m1", use("A", "Task", prompt="same")),
        says(2, "m1", use("B", "Task", prompt="same")),
        prompt(3, "same", **side),
        prompt(4, "same", **side),
        says(5, "m2", use("x", "Read"), parentUuid="u4", **side),
        says(6, "m3", use("y", "Read"), parentUuid="u3", **side),
    )
    assert calls(read(path)) == {"A": None, "B": None, "x": "B", "y": "A"}


def beside(tmp_path: Path) -> Path:
    agent = {"isSidechain": True, "agentId": "a1"}
    write(
        tmp_path / "agent-a1.jsonl",
        prompt(3, "count", **agent),
        says(4, "m2", use("a-call", "Read"), **agent),
        got(5, "a-call", **agent),
        says(6, "m3", text("two"), **agent),
    )
    write(tmp_path / "agent-zz.jsonl", {**prompt(3, "x"), "sessionId": "another"})
    return write(
        tmp_path / f"{SESSION}.jsonl",
        {"type": "summary", "summary": "x", "leafUuid": "y"},
        prompt(0, "go"),
        says(1, "m1", use("A", "Task", prompt="another wording")),
        got(7, "A", {"status": "completed", "agentId": "a1", "totalTokens": 12}),
        says(8, "m4", text("done")),
    )


def test_agents_beside_the_session_are_joined_by_the_result(tmp_path: Path) -> None:
    """About 2.0.7x to 2.1.13: the folder holds the agents of every session."""
    events = read(beside(tmp_path))
    assert calls(events) == {"A": None, "a-call": "A"}
    (ended,) = of(events, ev.TaskFinished)
    assert (ended.id, ended.at, ended.tokens) == ("a1", START + 7 * SECOND, 12)
    assert events[0].at == START


def progress(second: float, nested: dict[str, Any], **members: Any) -> dict[str, Any]:
    data = {"type": "agent_progress", "agentId": "a1", "message": nested}
    return entry(second, "progress", data=data, parentToolUseID="A", **members)


def test_progress_entries_stand_in_for_an_agents_missing_file(tmp_path: Path) -> None:
    """From 2.1.14 to about 2.1.4x."""
    path = write(
        tmp_path / "s.jsonl",
        says(1, "m1", use("A", "Task", prompt="count")),
        progress(2, says(2, "m2", use("p", "Read"))),
        progress(3, got(3, "p")),
        entry(
            3.5,
            "progress",
            data={"type": "bash_progress", "elapsedTimeSeconds": 3},
            parentToolUseID="p",
        ),
    )
    events = read(path)
    assert calls(events) == {"A": None, "p": "A"}
    assert [e.at for e in of(events, ev.ToolFinished)] == [START + 3 * SECOND]
    assert [(e.id, e.elapsed) for e in of(events, ev.ToolUpdated)] == [("p", 3.0)]


def test_progress_entries_are_not_read_twice(tmp_path: Path) -> None:
    """They repeat the agent's own file and, where nothing else does, name its call."""
    path = write(
        tmp_path / f"{SESSION}.jsonl",
        says(1, "m1", use("A", "Task", prompt="another wording")),
        progress(2, says(2, "m2", use("p", "Read"))),
    )
    side = {"isSidechain": True, "agentId": "a1"}
    write(tmp_path / "agent-a1.jsonl", says(2, "m2", use("p", "Read"), **side))
    events = read(path)
    assert [e.id for e in of(events, ev.ToolStarted)] == ["A", "p"]
    assert calls(events)["p"] == "A"


def test_agents_of_agents_are_joined_by_their_meta_files(tmp_path: Path) -> None:
    """Now: below the session, at any depth."""
    agents = tmp_path / SESSION / "subagents"
    write(agents / "agent-a.jsonl", says(3, "m2", use("B", "Agent", prompt="deeper")))
    write(agents / "agent-b.jsonl", says(4, "m3", use("b1", "Bash")))
    (agents / "agent-a.meta.json").write_text('{"toolUseId":"A","spawnDepth":1}')
    (agents / "agent-b.meta.json").write_text(
        '{"toolUseId":"B","spawnDepth":2,"parentAgentId":"a","agentType":"Plan"}'
    )
    path = write(tmp_path / f"{SESSION}.jsonl", says(1, "m1", use("A", "Agent", prompt="go")))
    events = read(path)
    assert calls(events) == {"A": None, "B": "A", "b1": "B"}
    deep = of(events, ev.TaskStarted)[1]
    assert (deep.id, deep.tool_id, deep.name) == ("b", "B", "Plan")
    assert (deep.depth, deep.parent_task) == (2, "a")


def test_a_subagents_own_subagent_ends_with_the_call_that_waited_for_it(tmp_path: Path) -> None:
    """Subagents' files have no structured results that would say so."""
    agents = tmp_path / "s" / "subagents"
    write(
        agents / "agent-a.jsonl",
        says(3, "m2", use("B", "Agent", prompt="deeper")),
        got(6, "B"),
    )
    write(agents / "agent-b.jsonl", says(4, "m3", text("done")))
    (agents / "agent-b.meta.json").write_text('{"toolUseId":"B"}')
    path = write(tmp_path / "s.jsonl", says(1, "m1", use("A", "Agent", prompt="go")))
    (ended,) = of(read(path), ev.TaskFinished)
    assert (ended.id, ended.tool_id, ended.at) == ("b", "B", START + 6 * SECOND)


def test_an_agent_nothing_tells_of_is_still_not_the_main_agent(tmp_path: Path) -> None:
    write(tmp_path / "s" / "subagents" / "agent-q.jsonl", says(2, "m2", use("x", "Read")))
    path = write(tmp_path / "s.jsonl", prompt(1, "go"))
    assert calls(read(path)) == {"x": "q"}


def test_background_work_without_a_file_begins_with_its_receipt(tmp_path: Path) -> None:
    notice = (
        "<task-notification>\n<task-id>b1</task-id>\n<status>failed</status>\n"
        '<summary>Background command "x" failed with exit code 5</summary>\n</task-notification>'
    )
    path = write(
        tmp_path / "s.jsonl",
        says(1, "m1", use("A", "Bash", command="sleep 9", run_in_background=True)),
        got(2, "A", {"stdout": "", "interrupted": False, "backgroundTaskId": "b1"}),
        prompt(5, notice),
    )
    events = read(path)
    (started,) = of(events, ev.TaskStarted)
    assert (started.id, started.kind, started.tool_id) == ("b1", "shell", "A")
    (ended,) = of(events, ev.TaskFinished)
    assert (ended.id, ended.error, ended.at) == ("b1", "failed", START + 5 * SECOND)
    assert ended.exit_code == 5


def test_a_subagent_that_waited_for_its_own_work_ends_at_its_last_notice(tmp_path: Path) -> None:
    notice = "<task-notification><task-id>a1</task-id><status>completed</status>"
    queued = {"operation": "enqueue", "content": notice}
    path = write(
        tmp_path / "s.jsonl",
        *(entry(second, "queue-operation", **queued) for second in (3, 6)),
    )
    assert [e.at for e in of(read(path), ev.TaskFinished)] == [START + 6 * SECOND]


def test_a_session_cut_off_in_a_tool_leaves_its_turn_open(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", prompt(0, "go"), says(1, "m1", use("A", "Bash")))
    assert of(read(path), ev.TurnFinished) == []


def test_an_interrupted_turn_says_so(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        prompt(0, "go"),
        says(1, "m1", use("A", "Bash")),
        prompt(2, "[Request interrupted by user for tool use]"),
    )
    (turn,) = of(read(path), ev.TurnFinished)
    assert (turn.interrupted, turn.error) == (True, "interrupted")


def test_what_the_user_did_not_ask_begins_no_turn(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        prompt(0, "Caveat: The messages below were generated by the user", isMeta=True),
        prompt(1, "This session is being continued", isCompactSummary=True),
        prompt(2, "<local-command-stdout>x</local-command-stdout>"),
    )
    assert of(read(path), ev.TurnStarted) == []


def test_retries_and_compactions_are_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        entry(
            1,
            "system",
            subtype="api_error",
            error={"status": 529},
            retryAttempt=1,
            maxRetries=10,
            retryInMs=500.5,
        ),
        entry(
            2,
            "system",
            subtype="compact_boundary",
            compactMetadata={"trigger": "auto", "preTokens": 9},
        ),
    )
    _, retry, compaction = read(path)
    assert isinstance(retry, ev.Retry)
    assert (retry.attempt, retry.delay, retry.status) == (1, 0.5005, 529)
    assert isinstance(compaction, ev.Compaction)
    assert (compaction.phase, compaction.trigger, compaction.tokens_before) == ("ended", "auto", 9)


def test_a_denied_call_is_known_by_the_entrys_decision(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        says(1, "m1", use("A", "Bash")),
        got(2, "A", "Error: no", permissionDecision={"decision": "reject"}),
    )
    (result,) = of(read(path), ev.ToolFinished)
    assert result.denied


def test_a_line_still_in_the_writing_is_ignored(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", prompt(0, "go"))
    whole = read(path)
    with path.open("a") as file:
        file.write('{"type":"assistant","message":{"id":"m')
    assert read(path) == whole


def test_a_broken_line_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    good = json.dumps(prompt(0, "go")).encode()
    path.write_bytes(b"\n".join([good, b"\x00\xff{", b"[1]", good.replace(b"u0", b"u1"), b""]))
    events = read(path)
    assert [e.reason for e in of(events, ev.StrayLine)] == ["not_json", "not_json"]
    assert len(of(events, ev.TurnStarted)) == 2


def test_an_entry_written_twice_counts_once(tmp_path: Path) -> None:
    twice = says(1, "m1", use("A", "Bash"))
    assert len(of(read(write(tmp_path / "s.jsonl", twice, twice)), ev.ToolStarted)) == 1


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(write(tmp_path / "s.jsonl")) == []


def test_a_missing_file_is_the_callers_business(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.jsonl")


def test_a_transcript_is_told_from_a_stream() -> None:
    assert claude_transcript.is_transcript(DISK.read_bytes().splitlines()[:5])
    old = [b'{"type":"summary","summary":"x","leafUuid":"y"}']
    assert claude_transcript.is_transcript(old)
    for name in ("claude", "codex"):
        for path in streams(name):
            assert not claude_transcript.is_transcript(list(lines(path))), path
    assert not claude_transcript.is_transcript([b"\xff", b"[]", b"", b'{"type":7}'])


def test_qwens_chats_look_like_it_and_are_not() -> None:
    entry = {
        "uuid": "3bf2", "parentUuid": None, "sessionId": "9057", "type": "user", "cwd": "/",
        "timestamp": "2026-11-25T22:57:23.955Z", "version": "0.24.4",
    }  # fmt: skip
    assert claude_transcript.is_transcript([json.dumps(entry).encode()])
    qwens = {**entry, "provenance": "real_user", "message": {"role": "user", "parts": []}}
    assert not claude_transcript.is_transcript([json.dumps(qwens).encode()])


def test_what_the_output_hides_is_what_is_below_and_what_answers_took() -> None:
    """Two readings of one file, of which one keeps nothing, agree."""
    whole, told = list(claude_transcript.read(DISK)), list(claude_transcript.hidden(DISK, None))
    below = [event for event in whole if is_below(event)]
    assert below
    assert [event for event in told if not isinstance(event, ev.MessageUsage)] == below
    took = {
        event.id: event.usage
        for event in whole
        if isinstance(event, ev.ModelMessage) and event.parent is None and event.usage
    }
    assert took
    assert {e.id: e.usage for e in told if isinstance(e, ev.MessageUsage)} == took


def test_a_file_without_subagents_is_not_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"{SESSION}.jsonl"
    path.write_bytes(DISK.read_bytes())
    monkeypatch.setattr(claude_transcript, "read", lambda _: pytest.fail("read as a whole"))
    assert all(isinstance(e, ev.MessageUsage) for e in claude_transcript.hidden(path, None))


@pytest.mark.parametrize("nested", [{"isSidechain": True}, {"type": "progress"}])
def test_subagents_in_the_file_itself_are_found(tmp_path: Path, nested: dict[str, Any]) -> None:
    path = tmp_path / f"{SESSION}.jsonl"
    more = json.dumps({**entry(1, "user"), **nested}).encode()
    path.write_bytes(DISK.read_bytes() + more + b"\n")
    answers = Answers(path)
    assert list(answers.took())
    assert answers.nested
