"""What CLIs write down otherwise than in the recordings: other versions, odd moments."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.codex.transcript import reader as codex
from otel_untether.engines.gemini.transcript import reader as gemini
from otel_untether.engines.qwen.transcript import reader as qwen
from otel_untether.session import events as ev
from tests.unit.engines.recordings import RECORDINGS

THREAD = "01a2162a-6c37-7293-ac3c-93962081c14d"


def at(second: float) -> str:
    return f"2026-11-26T10:00:{second:06.3f}Z"


def written(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def turns(events: list[ev.Event]) -> list[str]:
    return [type(e).__name__ for e in events if isinstance(e, ev.TurnStarted | ev.TurnFinished)]


class TestOlderCodex:
    """Its rollouts say what was asked, and not that a turn begins or is over."""

    def rollout(self, folder: Path, *messages: dict[str, Any]) -> list[ev.Event]:
        meta = {"id": THREAD, "instructions": "SECRET", "cli_version": "0.40.0"}
        entries: list[dict[str, Any]] = [
            {"timestamp": at(0), "type": "session_meta", "payload": meta}
        ]
        entries += [
            {"timestamp": at(number + 1), "type": "event_msg", "payload": message}
            for number, message in enumerate(messages)
        ]
        name = f"rollout-2026-11-26T10-00-00-{THREAD}.jsonl"
        return list(codex.read(written(folder / name, entries)))

    def test_each_prompt_is_a_turn_until_the_next(self, tmp_path: Path) -> None:
        prompt = {"type": "user_message", "message": "SECRET", "images": ["data:SECRET"]}
        events = self.rollout(tmp_path, prompt, prompt)
        assert turns(events) == 2 * ["TurnStarted", "TurnFinished"]
        assert "SECRET" not in repr(events)

    def test_one_that_was_aborted_is_over_once(self, tmp_path: Path) -> None:
        aborted = {"type": "turn_aborted", "reason": "interrupted"}
        events = self.rollout(tmp_path, {"type": "user_message"}, aborted)
        assert turns(events) == ["TurnStarted", "TurnFinished"]

    def test_where_turns_are_told_a_word_in_between_is_none(self, tmp_path: Path) -> None:
        word = {"type": "user_message"}
        begun, over = {"type": "task_started"}, {"type": "task_complete"}
        assert turns(self.rollout(tmp_path, begun, word, word, over)) == [
            "TurnStarted", "TurnFinished",
        ]  # fmt: skip


def test_a_prompt_to_gemini_may_be_a_plain_string(tmp_path: Path) -> None:
    header = {"sessionId": "s", "projectHash": "p", "startTime": at(0), "kind": "main"}
    prompts: list[dict[str, Any]] = [
        {"id": "u1", "timestamp": at(1), "type": "user", "content": "go"},
        {"id": "u2", "timestamp": at(2), "type": "user", "content": [{"text": "on"}]},
        {"id": "u3", "timestamp": at(3), "type": "user", "content": None},
    ]
    events = list(gemini.read(written(tmp_path / "chats" / "session-1.jsonl", [header, *prompts])))
    assert turns(events) == ["TurnStarted", "TurnFinished", "TurnStarted"]


def test_an_image_alone_is_a_prompt_to_gemini_and_a_tools_answer_is_none(tmp_path: Path) -> None:
    header = {"sessionId": "s", "projectHash": "p", "startTime": at(0), "kind": "main"}
    image, file = {"inlineData": {"mimeType": "image/png"}}, {"fileData": {"fileUri": "x"}}
    said: list[list[dict[str, Any]]] = [
        [image],
        [{"text": ""}, file],
        [{"functionResponse": {"name": "read_file"}}],
        [{"text": "<session_context>…"}, image],
    ]
    prompts = [
        {"id": f"u{n}", "timestamp": at(n), "type": "user", "content": content}
        for n, content in enumerate(said, 1)
    ]
    events = list(gemini.read(written(tmp_path / "chats" / "session-1.jsonl", [header, *prompts])))
    assert turns(events) == ["TurnStarted", "TurnFinished", "TurnStarted"]


def test_that_qwen_compressed_its_chat_is_told_without_the_chat(tmp_path: Path) -> None:
    info = {"originalTokenCount": 900, "newTokenCount": 90, "compressionStatus": 1}
    payload = {"info": info, "compressedHistory": [{"role": "user", "parts": [{"text": "SECRET"}]}]}
    entry = {
        "uuid": "1", "sessionId": "s", "timestamp": at(1), "type": "system",
        "provenance": "system", "subtype": "chat_compression", "systemPayload": payload,
    }  # fmt: skip
    events = list(qwen.read(written(tmp_path / "chats" / "s.jsonl", [entry])))
    (compacted,) = [event for event in events if isinstance(event, ev.Compaction)]
    assert (compacted.phase, compacted.tokens_before, compacted.tokens_after) == ("ended", 900, 90)
    assert "SECRET" not in repr(events)


@pytest.mark.parametrize("engine", ["claude", "codex", "copilot", "gemini", "pi", "qwen"])
@pytest.mark.parametrize("whole", [False, True], ids=["each line", "all lines"])
def test_what_is_written_down_twice_is_told_once(
    tmp_path: Path, engine: str, *, whole: bool
) -> None:
    reader = registry.get(engine).transcripts_reader
    assert reader is not None
    folder = tmp_path / "disk"
    shutil.copytree(RECORDINGS / engine / "disk", folder)
    for path in sorted(folder.rglob("*.jsonl")):
        if reader.is_part(path):
            continue
        before = list(map(repr, reader.read(path)))
        lines = path.read_bytes().splitlines(keepends=True)
        twice = [*lines, *lines] if whole else [line for line in lines for _ in range(2)]
        path.write_bytes(b"".join(twice))
        assert list(map(repr, reader.read(path))) == before
