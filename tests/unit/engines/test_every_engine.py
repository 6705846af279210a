"""What holds of every engine that has a decoder, over all its recordings."""

from __future__ import annotations

import re
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.engine import TELLS
from otel_untether.session import events as ev
from otel_untether.session.events import StrayLine
from tests.unit.engines.recordings import RECORDINGS, lines, streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from otel_untether.engines.engine import Engine

AT = 1_800_000_000 * 10**9
ENGINES = [engine for engine in registry.engines() if engine.understood]
RECORDED = [(engine, path) for engine in ENGINES for path in streams(engine.name)]


def typed_decoder(engine: Engine) -> Any:
    module = resolve_name(str(engine.decoder or engine.dialogue).partition(":")[0])
    return module._reader.decoder if hasattr(module, "_reader") else module._decoder


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_there_are_recordings_of_each(engine: Engine) -> None:
    assert streams(engine.name)


@pytest.mark.parametrize(
    ("engine", "path"), RECORDED, ids=["/".join(p.parts[-2:]) for _, p in RECORDED]
)
class TestRecording:
    def test_each_line_is_read_in_the_typed_pass(self, engine: Engine, path: Path) -> None:
        """A line that needs salvaging is a shape we have wrong, also where its type is quiet."""
        decoder = typed_decoder(engine)
        for line in lines(path):
            decoder.decode(line)

    def test_no_line_is_a_stranger(self, engine: Engine, path: Path) -> None:
        for line in lines(path):
            events = engine.decode(line, AT)
            assert not [event for event in events if isinstance(event, StrayLine)], line[:200]

    def test_no_engine_takes_it_for_its_own_but_the_one_that_wrote_it(
        self, engine: Engine, path: Path
    ) -> None:
        found = {owner.name for owner in map(registry.detect_line, lines(path)) if owner}
        assert found == {engine.name}


def removed(line: bytes, words: Sequence[str]) -> bytes:
    """Return a line in which each of the words is another, that means nothing."""
    for word in words:
        line = line.replace(f'"{word}"'.encode(), b'"gone"')
    return line


def shown(engine: Engine, *, without: Sequence[str] = ()) -> set[str]:
    """What the recordings of an engine show it to tell, of what can be seen in them.

    `without` are words of its format, names or values, that its lines do not have then.
    """
    events = []
    for path in streams(engine.name):
        read = engine.reading().output
        told = (removed(line, without) for line in lines(path))
        events += [(n, event) for n, line in enumerate(told) for event in read(line, AT)]
    starts = {e.id: number for number, e in events if isinstance(e, ev.ToolStarted)}
    ends = {e.id: number for number, e in events if isinstance(e, ev.ToolFinished)}
    every = [event for _, event in events]
    usages = [getattr(e, name, None) for e in every for name in ("usage", "session_usage")]
    costs = [getattr(e, name, None) for e in every for name in ("cost_usd", "session_cost_usd")]
    facts = {
        "starts": any(starts[key] < ends[key] for key in starts.keys() & ends.keys()),
        "ends": bool(ends),
        "subagents": any(getattr(event, "parent", None) for event in every),
        "retries": any(isinstance(event, ev.Retry) for event in every),
        "times": any(event.happened for event in every),
        "usage": any(usages),
        "cost": any(cost is not None for cost in costs),
        "waits": any(isinstance(event, ev.WaitBegan) for event in every),
    }
    return {word for word, seen in facts.items() if seen}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_engine_tells_what_it_says_it_tells_and_no_more(engine: Engine) -> None:
    assert engine.tells <= set(TELLS)
    assert engine.tells - {"waits"} == shown(engine) - {"waits"}


# By which words of its format an engine tells what the table says it does.
CARRIED = {
    ("claude", "starts"): ["tool_use"],
    ("claude", "ends"): ["tool_result"],
    ("claude", "subagents"): ["parent_tool_use_id"],
    ("claude", "retries"): ["api_retry"],
    ("claude", "waits"): [
        "control_request",
        "hook_started",
        "ScheduleWakeup",
        "Monitor",
        "scheduledFor",
    ],
    ("claude", "times"): ["timestamp"],
    ("claude", "usage"): ["usage", "modelUsage", "model_usage_since_last_result"],
    ("claude", "cost"): ["total_cost_usd"],
    ("codex", "starts"): ["item.started"],
    ("codex", "ends"): ["item.completed"],
    ("codex", "retries"): ["error"],
    ("codex", "usage"): ["usage"],
    ("opencode", "ends"): ["tool_use"],
    ("opencode", "times"): ["timestamp", "time"],
    ("opencode", "usage"): ["tokens"],
    ("opencode", "cost"): ["cost"],
    ("gemini", "starts"): ["tool_use"],
    ("gemini", "ends"): ["tool_result"],
    ("gemini", "times"): ["timestamp"],
    ("gemini", "usage"): ["stats"],
    ("qwen", "starts"): ["tool_use"],
    ("qwen", "ends"): ["tool_result"],
    ("qwen", "retries"): ["retry"],
    ("qwen", "usage"): ["usage"],
    ("pi", "starts"): ["tool_execution_start"],
    ("pi", "ends"): ["tool_execution_end"],
    ("pi", "retries"): ["auto_retry_start"],
    ("pi", "times"): ["timestamp"],
    ("pi", "usage"): ["usage"],
    ("pi", "cost"): ["cost"],
    ("copilot", "starts"): ["tool.execution_start"],
    ("copilot", "ends"): ["tool.execution_complete"],
    ("copilot", "subagents"): ["parentToolCallId"],
    ("copilot", "retries"): ["model.call_failure", "assistant.turn_retry"],
    ("copilot", "times"): ["timestamp"],
    ("amp", "starts"): ["tool_use"],
    ("amp", "ends"): ["tool_result"],
    ("amp", "subagents"): ["parent_tool_use_id"],
    ("amp", "usage"): ["usage"],
    ("cursor", "starts"): ["started"],
    ("cursor", "ends"): ["completed"],
    ("cursor", "times"): ["timestamp_ms", "startedAtMs", "completedAtMs"],
    ("cursor", "usage"): ["usage"],
    ("antigravity", "starts"): ["tool", "subagent"],
    ("antigravity", "ends"): ["DONE", "ERROR"],
    ("antigravity", "usage"): ["usage"],
    ("acp", "starts"): ["tool_call", "tool_call_update", "session/request_permission"],
    ("acp", "ends"): ["completed", "failed"],
    ("acp", "waits"): ["session/request_permission"],
    ("acp", "usage"): ["usage", "quota"],
    ("acp", "cost"): ["usage_update"],
}
# What would carry it, whoever it was that told: where the table says no, there is nothing of it.
WOULD_CARRY = {
    "starts": rb'"(running|pending|in_progress|ACTIVE|started|tool_execution_start)"',
    "subagents": rb'"parent_?[tT]ool_?([uU]se|[cC]all)_?[iI]d": *"'
    rb'(?![^"]*","message":{"role":"user","content":\[{"type":"text")',  # what it is asked to do
    "retries": rb'"(type|subtype|event|method)": *"[^"]*(retry|reconnect)',
    "waits": rb'"(type|subtype|method)": *"[^"]*(control_request|permission|approval|user_input)',
    "times": rb'"(timestamp|timestamp_ms|startedAtMs)":',
    "usage": rb'"(in|out)put_?[tT]okens":',
    "cost": rb'"[a-zA-Z_]*[cC]ost[a-zA-Z_]*":',
}


@pytest.mark.parametrize(("name", "cell"), CARRIED, ids=str)
def test_what_the_table_says_is_told_is_so_by_these_words(name: str, cell: str) -> None:
    """Without them the cell would be empty."""
    engine = registry.get(name)
    left = shown(engine, without=CARRIED[name, cell])
    assert cell in shown(engine)
    assert cell not in left


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_where_the_table_says_nothing_the_recordings_have_nothing(engine: Engine) -> None:
    cells = {cell for name, cell in CARRIED if name == engine.name}
    assert engine.tells - {"waits"} == cells - {"waits"}
    for cell in WOULD_CARRY.keys() - engine.tells:
        sign = re.compile(WOULD_CARRY[cell])
        found = [line for path in streams(engine.name) for line in lines(path) if sign.search(line)]
        assert not found, (cell, found[0][:300])


def test_the_page_about_engines_says_what_they_tell() -> None:
    page = (RECORDINGS.parents[2] / "docs" / "engines.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    table = {row[0].strip("`"): row[1:] for row in rows if row and row[0].startswith("`")}
    assert list(table) == [engine.name for engine in ENGINES]
    for engine in ENGINES:
        flags, *cells, disk = table[engine.name]
        assert flags == f"`{engine.json_flags}`"
        told = {word for word, cell in zip(TELLS, cells, strict=True) if cell == "yes"}
        assert told == engine.tells
        assert (disk == "yes") == (engine.transcripts is not None)
