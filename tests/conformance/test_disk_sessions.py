"""What CLIs write down about their sessions becomes the same trace as what they print."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_untether import Recorder, RunInfo
from otel_untether.session.summary import Summary
from otel_untether.sources import recordings

from .traces import MS, RECORDINGS, Trace, attribute, play, requests

CODEX = "codex/disk/rollout-2026-11-26T04-43-28-01a2162a-6c37-7293-ac3c-93962081c14d.jsonl"
GEMINI = "gemini/disk/chats/session-2026-11-25T23-05-539efffa.jsonl"
QWEN = "qwen/disk/chats/9057d0bf-b897-47a2-8ca4-d1f502652dc6.jsonl"
OPENCODE = "opencode/disk/opencode.db"
COPILOT = "copilot/disk/ed285e96-f97d-4a1f-9715-9c4b17c600cf/events.jsonl"


SHELLS = {"execute_tool run_shell_command", "execute_tool bash"}


class Disk:
    """A session as it is on disk, and the trace made of it."""

    def __init__(self, path: str) -> None:
        self.path = RECORDINGS / path
        recording = recordings.inspect(self.path)
        kept, tracers = InMemorySpanExporter(), TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(kept))
        run = RunInfo("run", recording.started, engine=recording.scan.engine)
        self.recorder = Recorder(run, tracer_provider=tracers)
        for event in recording.events():
            self.recorder.event(event)
        self.summary: Summary = self.recorder.finish()
        self.spans = kept.get_finished_spans()

    @cached_property
    def by_id(self) -> dict[int, ReadableSpan]:
        return {span.context.span_id: span for span in self.spans if span.context}

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        return self.by_id.get(span.parent.span_id) if span.parent else None

    def named(self, prefix: str) -> list[ReadableSpan]:
        found = [span for span in self.spans if span.name.startswith(prefix)]
        return sorted(found, key=lambda span: span.start_time or 0)

    def tools(self) -> dict[str, ReadableSpan]:
        return {str(attribute(s, "gen_ai.tool.call.id")): s for s in self.named("execute_tool")}

    @property
    def lines(self) -> list[dict[str, Any]]:
        if self.path.suffix == ".db":
            return [{"id": self.rows("SELECT id FROM session WHERE parent_id IS NULL")[0][0]}]
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"{self.path.as_uri()}?immutable=1", uri=True)) as database:
            return database.execute(query).fetchall()


ALL = [CODEX, GEMINI, QWEN, COPILOT, OPENCODE]


@pytest.fixture(params=ALL, ids=lambda path: path.partition("/")[0])
def disk(request: pytest.FixtureRequest) -> Disk:
    return Disk(request.param)


def test_it_is_one_tree_whose_parents_enclose_their_children(disk: Disk) -> None:
    assert [span.name for span in disk.spans if disk.parent(span) is None] == [
        f"invoke_agent {disk.summary.engine}"
    ]
    for span in disk.spans:
        above = disk.parent(span)
        if above is not None:
            assert (above.start_time or 0) <= (span.start_time or 0)
            assert (span.end_time or 0) <= (above.end_time or 0)


def test_it_is_understood_to_its_end(disk: Disk) -> None:
    assert disk.summary.outcome.word == "completed"
    assert disk.summary.turns == 1
    assert not disk.summary.oddities
    first = disk.lines[0]
    header = first.get("payload") or first.get("data") or first
    assert disk.summary.session_id == (header.get("sessionId") or header.get("id"))


@pytest.mark.parametrize(
    ("path", "call"), [(GEMINI, b'"toolCalls":[{'), (QWEN, b'"functionCall":')]
)
def test_a_session_that_was_cut_off_in_a_call_is_not_called_completed(
    path: str, call: bytes, tmp_path: Path
) -> None:
    """Whichever call its file ends with: it is those sessions that one wants to look at."""
    whole = (RECORDINGS / path).read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(whole, 1) if call in line]
    assert ends
    for end in ends:
        cut = tmp_path / str(end) / Path(path).name
        cut.parent.mkdir()
        cut.write_bytes(b"".join(whole[:end]))
        assert Disk(str(cut)).summary.outcome.word != "completed", end


def test_no_content_leaves_unasked(disk: Disk) -> None:
    for span in disk.spans:
        told = span.to_json() or ""
        assert not any(word in told for word in ("hello.py", "MAIN-", "SUB-", "/home/dev", "oops"))


def test_each_is_recognised_by_more_than_a_key() -> None:
    for path in ALL:
        assert recordings.inspect(RECORDINGS / path).scan.kind == "transcript"


def test_a_folder_of_them_is_a_session_each() -> None:
    """Subagents' files belong to their session's."""
    for path, count in ((CODEX, 1), (GEMINI, 1), (QWEN, 1), (COPILOT, 1), (OPENCODE, 1)):
        folder = RECORDINGS / path.partition("/")[0] / "disk"
        assert len(list(recordings.find(folder))) == count


@pytest.mark.parametrize(
    ("path", "stream"),
    [(GEMINI, "gemini_ok"), (QWEN, "qwen_ok"), (OPENCODE, "opencode_ok")],
)
class TestLiveAndReplayed:
    """The stream and the file of one and the same session."""

    @staticmethod
    def streamed(path: str, stream: str) -> Trace:
        return play(RECORDINGS / path.partition("/")[0] / f"{stream}.timed.jsonl")

    def test_agree_on_the_main_agents_calls(self, path: str, stream: str) -> None:
        disk, live = Disk(path), self.streamed(path, stream)
        told = {str(attribute(s, "gen_ai.tool.call.id")): s for s in live.where("execute_tool")}
        found = disk.tools()
        assert set(told) <= set(found)
        for call, span in told.items():
            assert found[call].name == span.name
            failed = span.status.status_code is StatusCode.ERROR
            assert (found[call].status.status_code is StatusCode.ERROR) == failed

    def test_agree_on_session_tokens_and_outcome(self, path: str, stream: str) -> None:
        disk, live = Disk(path).summary, self.streamed(path, stream).summary
        assert disk.session_id == live.session_id
        assert disk.turns == live.turns
        assert (disk.usage.input or 0) >= (live.usage.input or 0)

    def test_the_file_knows_what_its_subagents_did(self, path: str, stream: str) -> None:
        disk, live = Disk(path), self.streamed(path, stream)
        (agent,) = [s for s in disk.named("invoke_agent") if disk.parent(s) is not None]
        below = [s for s in disk.spans if disk.parent(s) is agent]
        assert any(s.name in SHELLS for s in below)
        assert len(disk.tools()) > len(live.where("execute_tool"))

    def test_chats_are_the_requests_that_the_endpoint_answered(
        self, path: str, stream: str
    ) -> None:
        """Every one of them, the subagents' included."""
        disk = Disk(path)
        asked = [r for r in requests(path.partition("/")[0], stream) if r.answered]
        ends = sorted(span.end_time or 0 for span in disk.named("chat"))
        assert len(ends) == len(asked)
        for end, request in zip(ends, sorted(asked, key=lambda r: r.answered or 0), strict=True):
            assert end >= (request.answered or 0) - MS


class TestOpenCode:
    def test_each_call_is_a_span_with_the_times_of_its_row(self) -> None:
        disk = Disk(OPENCODE)
        parts = [json.loads(data) for (data,) in disk.rows("SELECT data FROM part")]
        calls = {part["callID"]: part["state"] for part in parts if part["type"] == "tool"}
        tools = disk.tools()
        assert set(tools) == set(calls)
        for call, state in calls.items():
            assert tools[call].start_time == state["time"]["start"] * MS
            assert tools[call].end_time == state["time"]["end"] * MS
            failed = state["status"] == "error" or state.get("metadata", {}).get("exit")
            assert (tools[call].status.status_code is StatusCode.ERROR) == bool(failed)

    def test_each_answer_is_a_chat_with_its_tokens_its_subagents_too(self) -> None:
        disk = Disk(OPENCODE)
        said = {
            key: data
            for key, text in disk.rows("SELECT id, data FROM message")
            if (data := json.loads(text))["role"] == "assistant"
        }
        chats = {attribute(s, "gen_ai.response.id"): s for s in disk.named("chat")}
        assert set(chats) == set(said)
        for key, message in said.items():
            told, cached = message["tokens"], message["tokens"]["cache"]
            assert attribute(chats[key], "gen_ai.usage.output_tokens") == told["output"]
            sent = told["input"] + cached["read"] + cached["write"]
            assert attribute(chats[key], "gen_ai.usage.input_tokens") == sent

    def test_it_is_not_written_to(self, tmp_path: Path) -> None:
        copy = tmp_path / "opencode.db"
        copy.write_bytes(Disk(OPENCODE).path.read_bytes())
        before = copy.read_bytes()
        assert list(recordings.inspect(copy).events())
        assert [path.name for path in tmp_path.iterdir()] == ["opencode.db"]
        assert copy.read_bytes() == before

    def test_what_is_no_database_after_all_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        torn = tmp_path / "opencode.db"
        torn.write_bytes(Disk(OPENCODE).path.read_bytes()[:5000] + b"\xff" * 5000)
        with pytest.raises(OSError, match="opencode"):
            list(recordings.inspect(torn).events())

    def test_a_question_without_end_is_given_up(self, tmp_path: Path) -> None:
        """A view in a table's place may never come to an end."""
        trap = tmp_path / "opencode.db"
        with closing(sqlite3.connect(trap)) as database:
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            columns = (
                "i AS id, NULL AS parent_id, i AS time_created, '' AS directory, '' AS version"
            )
            database.execute(f"CREATE VIEW session AS {endless} SELECT {columns} FROM n")
        with pytest.raises(OSError, match="interrupted"):
            list(recordings.inspect(trap).events())


class TestCodex:
    def test_each_call_of_each_thread_is_a_span_that_ends_with_its_item(self) -> None:
        disk = Disk(CODEX)
        threads = [*disk.path.parent.glob("rollout-*.jsonl")]
        entries = [json.loads(line) for path in threads for line in path.read_text().splitlines()]
        calls = [e["payload"] for e in entries if e["payload"].get("type") == "function_call"]
        items = [e["payload"] for e in entries if e["payload"].get("type") == "item_completed"]
        tools = disk.tools()
        assert set(tools) == {call["call_id"] for call in calls}
        for item in items:
            if item["item"]["id"] in tools and item["item"].get("tool") != "spawn_agent":
                assert tools[item["item"]["id"]].end_time == item["completed_at_ms"] * MS

    def test_a_subagent_lies_below_the_call_that_spawned_it(self) -> None:
        disk = Disk(CODEX)
        (agent,) = [s for s in disk.named("invoke_agent") if disk.parent(s) is not None]
        spawn = disk.parent(agent)
        assert spawn is not None
        assert spawn.name == "execute_tool spawn_agent"
        below = sorted(s.name for s in disk.spans if disk.parent(s) is agent)
        assert [name.partition(" ")[0] for name in below] == ["chat", "chat", "execute_tool"]

    def test_each_answer_is_a_chat_with_its_tokens(self) -> None:
        disk = Disk(CODEX)
        told = [e["payload"] for e in disk.lines if e["type"] == "token_usage_record"]
        main = [s for s in disk.named("chat") if (disk.parent(s) or s).name == "invoke_agent codex"]
        assert {attribute(s, "gen_ai.response.id") for s in main} == {
            record["response_id"] for record in told
        }
        assert {attribute(s, "gen_ai.usage.output_tokens") for s in main} == {20}
        assert disk.summary.usage.input == 4000

    def test_a_turn_that_was_aborted_is_interrupted(self, tmp_path: Path) -> None:
        lines = Disk(CODEX).path.read_text().splitlines()
        aborted = {
            "type": "event_msg",
            "payload": {"type": "turn_aborted", "reason": "interrupted"},
        }
        stamp = {"timestamp": "2026-11-26T04:43:31.900Z", **aborted}
        path = tmp_path / "rollout-x.jsonl"
        path.write_text("\n".join([*lines[:12], json.dumps(stamp)]) + '\n{"timest')
        recorder = Recorder(RunInfo("run", 1, engine="codex"))
        for event in recordings.inspect(path).events():
            recorder.event(event)
        assert recorder.finish().outcome.word == "interrupted"


def test_copilots_file_tells_tokens_that_its_stream_does_not() -> None:
    disk = Disk(COPILOT)
    assert (disk.summary.usage.input, disk.summary.usage.output) == (4000, 80)
    assert {attribute(s, "gen_ai.usage.input_tokens") for s in disk.named("chat")} == {1000}


@pytest.mark.parametrize("engine", ["claude", "codex", "gemini", "qwen", "pi", "copilot"])
@pytest.mark.parametrize(
    ("old", "new"), [(b"\n", b"\r\n"), (b"", b"\xef\xbb\xbf"), (b"\n", b"\n\n")]
)
def test_what_an_editor_or_another_system_did_to_a_file_changes_nothing(
    engine: str, old: bytes, new: bytes, tmp_path: Path
) -> None:
    """Carriage returns, a mark of byte order, empty lines."""
    kept = RECORDINGS / engine / "disk"
    shutil.copytree(kept, tmp_path / "disk")
    for path in recordings.find(kept):
        other = tmp_path / "disk" / path.relative_to(kept)
        other.chmod(0o600)
        whole = path.read_bytes()
        other.write_bytes(whole.replace(old, new) if old else new + whole)
        mended, as_it_was = recordings.inspect(other), recordings.inspect(path)
        assert mended.scan.engine == engine
        assert list(mended.events()) == list(as_it_was.events())
