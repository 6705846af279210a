"""The tables of engines are made from the registry, and each of their cells is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.acp.dialogue import AcpDialogue
from otel_untether.session.events import ToolFinished, ToolStarted, WaitBegan
from otel_untether.sources import recordings
from otel_untether.watching.subject import RunInfo
from scripts import engine_docs
from tests.unit.engines.recordings import RECORDINGS

ENGINES = [engine for engine in registry.engines() if engine.understood]
WITH_DISK = [engine.name for engine in ENGINES if engine.transcripts is not None]

# A line in which each says that somebody is asked.
ASKS: dict[str, dict[str, Any]] = {
    "claude": {
        "type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool"},
    },
    "codex": {"type": "request_user_input", "call_id": "c"},
    "qwen": {
        "type": "control_request", "request_id": "r", "request": {"subtype": "can_use_tool"},
    },
    "copilot": {
        "type": "permission.requested", "id": "1", "timestamp": "2026-11-25T22:57:23.955Z",
        "parentId": None, "data": {"requestId": "r"},
    },
    "acp": {"jsonrpc": "2.0", "id": 0, "method": "session/request_permission", "params": {}},
}  # fmt: skip


def test_the_pages_are_up_to_date() -> None:
    for page, text in engine_docs.pages().items():
        assert page.read_text() == text, "python -m scripts.engine_docs"


def test_who_says_that_somebody_is_asked_does() -> None:
    """What else they tell, the recordings show: see `test_every_engine`."""
    assert {engine.name for engine in ENGINES if "waits" in engine.tells} == set(ASKS)
    for name, line in ASKS.items():
        events = registry.get(name).decode(json.dumps(line).encode(), 1)
        assert any(isinstance(event, WaitBegan) for event in events), name
        key = "type" if "type" in line else "method"
        gone = registry.get(name).decode(json.dumps({**line, key: "gone"}).encode(), 1)
        assert not any(isinstance(event, WaitBegan) for event in gone), name


# What makes each one's record one, or a call in it a call.
WRITTEN = {
    "claude": b"tool_use", "codex": b"response_item", "gemini": b"toolCalls", "qwen": b"parts",
    "pi": b"toolCall", "copilot": b"tool.execution_start",
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_by_what_a_record_tells_of_calls(name: str, tmp_path: Path) -> None:
    """Without that word no record of it does."""
    for path in (RECORDINGS / name / "disk").rglob("*.jsonl"):
        target = tmp_path / path.relative_to(RECORDINGS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes().replace(b'"%b"' % WRITTEN[name], b'"gone"'))
    found = [recordings.inspect(path) for path in recordings.find(tmp_path)]
    kinds = {type(event) for each in found if each.scan.engine for event in each.events()}
    assert ToolStarted not in kinds


def test_who_has_no_record_to_read_is_not_followed() -> None:
    without = {engine.name for engine in ENGINES} - set(WITH_DISK)
    assert without == {"amp", "cursor", "antigravity", "acp"}
    assert all(registry.get(name).session_files is None for name in without)


def test_who_serves_no_acp_is_read_as_itself() -> None:
    others = [
        engine for engine in ENGINES if engine.commands and not engine_docs.speaks_acp(engine)
    ]
    assert others
    for engine in others:
        for word in ("--acp", "acp"):
            info = RunInfo.of_command("run", 1, [min(engine.commands), word])
            assert info.serves != "acp"


@pytest.mark.parametrize("name", WITH_DISK)
def test_whose_records_are_replayed_has_one_that_is(name: str) -> None:
    kinds = set()
    for path in recordings.find(RECORDINGS / name / "disk"):
        recording = recordings.inspect(path)
        assert (recording.scan.engine, recording.scan.kind) == (name, "transcript")
        kinds |= {type(event) for event in recording.events()}
    assert {ToolStarted, ToolFinished} <= kinds


@pytest.mark.parametrize(
    "name", [engine.name for engine in ENGINES if engine_docs.speaks_acp(engine)]
)
def test_who_serves_acp_is_read_as_such_under_its_own_name(name: str) -> None:
    engine = registry.get(name)
    program = min(engine.commands)
    found = [RunInfo.of_command("run", 1, [program, word]) for word in ("--acp", "acp")]
    info = next(run for run in found if run.serves == "acp")
    assert (info.engine, info.multi_prompt, info.plain) == (name, True, False)
    served = registry.speaking(engine, info.serves)
    assert served.name == name
    assert served.dialogue == f"{AcpDialogue.__module__}:{AcpDialogue.__name__}"
