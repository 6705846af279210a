"""Every recorded line of Codex against a plain reading of the same line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines.codex import stream as codex
from otel_untether.session import events as ev
from tests.unit.engines.recordings import lines, streams

if TYPE_CHECKING:
    from pathlib import Path

AT = 7
TOOLS = {"command_execution", "file_change", "mcp_tool_call", "web_search"}


def names_expected(line: dict[str, Any]) -> list[str]:
    """The names of the events that a line, read plainly, should become."""
    match line:
        case {"type": "thread.started"}:
            return ["SessionStarted"]
        case {"type": "turn.started"}:
            return ["TurnStarted"]
        case {"type": "turn.completed" | "turn.failed"}:
            return ["TurnFinished"]
        case {"type": "error", "message": message}:
            return ["Retry"] if message.startswith("Reconnecting") else ["ModelMessage"]
        case {"type": type_, "item": item}:
            return names_of_item(type_, item)
    raise AssertionError(line)


def names_of_item(type_: str, item: dict[str, Any]) -> list[str]:
    match item:
        case {"type": "collab_tool_call", "status": "in_progress"}:
            return ["ToolStarted"]
        case {"type": "collab_tool_call", "tool": "spawn_agent"}:
            return ["TaskStarted", "TaskProgress", "ToolFinished"]
        case {"type": "collab_tool_call"}:
            return ["TaskFinished", "ToolFinished"]
        case {"type": kind} if kind in TOOLS:
            return ["ToolStarted" if type_ == "item.started" else "ToolFinished"]
        case {"type": "agent_message" | "reasoning"}:
            return ["ModelMessage"]
    return []


@pytest.mark.parametrize("path", streams("codex"), ids=lambda p: p.name)
def test_each_line_becomes_the_events_it_tells_of(path: Path) -> None:
    for line in lines(path):
        names = [type(event).__name__ for event in codex.decode(line, AT)]
        assert names == names_expected(json.loads(line)), line[:200]


@pytest.mark.parametrize("path", streams("codex"), ids=lambda p: p.name)
def test_each_line_is_read_in_the_typed_pass(path: Path) -> None:
    """A line that needs salvaging is a shape we have wrong."""
    for line in lines(path):
        codex._decoder.decode(line)


@pytest.mark.parametrize("path", streams("codex"), ids=lambda p: p.name)
def test_items_keep_their_ids_and_their_outcome(path: Path) -> None:
    for line in lines(path):
        item = json.loads(line).get("item")
        for event in codex.decode(line, AT):
            if isinstance(event, ev.ToolStarted):
                assert event.id == item["id"]
                assert event.mcp_server == item.get("server")
            if isinstance(event, ev.ToolFinished):
                assert event.id == item["id"]
                assert event.exit_code == item.get("exit_code")
                assert (event.error is not None) == (item["status"] == "failed")


@pytest.mark.parametrize("path", streams("codex"), ids=lambda p: p.name)
def test_tokens_are_running_totals(path: Path) -> None:
    for line in lines(path):
        plain = json.loads(line)
        if plain["type"] == "turn.completed":
            (event,) = codex.decode(line, AT)
            assert isinstance(event, ev.TurnFinished)
            tokens = plain["usage"]
            assert event.usage is None
            assert event.session_usage == ev.Usage(
                input=tokens["input_tokens"],
                output=tokens["output_tokens"],
                cache_read=tokens["cached_input_tokens"],
                cache_write=tokens["cache_write_input_tokens"],
                reasoning=tokens["reasoning_output_tokens"],
            )
