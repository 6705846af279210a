"""What holds of every engine that has a decoder, over all its recordings."""

from __future__ import annotations

import json
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.engines import registry
from otel_untether.engines.engine import TELLS
from otel_untether.session import events as ev
from otel_untether.session.events import StrayLine
from tests.unit.engines.recordings import RECORDINGS, lines, streams

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.engines.engine import Engine

AT = 1_800_000_000 * 10**9
ENGINES = [engine for engine in registry.engines() if engine.understood]
RECORDED = [(engine, path) for engine in ENGINES for path in streams(engine.name)]


def typed_decoder(engine: Engine) -> Any:
    module = resolve_name(str(engine.decoder or engine.dialogue).partition(":")[0])
    return module._reader.decoder if hasattr(module, "_reader") else module._decoder


def quiet_types(engine: Engine) -> frozenset[str]:
    module = resolve_name(str(engine.decoder or engine.dialogue).partition(":")[0])
    return getattr(module, "_QUIET", frozenset())


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_there_are_recordings_of_each(engine: Engine) -> None:
    assert streams(engine.name)


@pytest.mark.parametrize(
    ("engine", "path"), RECORDED, ids=["/".join(p.parts[-2:]) for _, p in RECORDED]
)
class TestRecording:
    def test_each_line_is_read_in_the_typed_pass(self, engine: Engine, path: Path) -> None:
        """A line that needs salvaging is a shape we have wrong, unless its type says nothing."""
        decoder = typed_decoder(engine)
        for line in lines(path):
            if json.loads(line).get("type") not in quiet_types(engine):
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


def shown(engine: Engine) -> set[str]:
    """What the recordings of an engine show it to tell, of what can be seen in them."""
    events = []
    for path in streams(engine.name):
        read = engine.reading().output
        events += [(n, event) for n, line in enumerate(lines(path)) for event in read(line, AT)]
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
    }
    return {word for word, seen in facts.items() if seen}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_engine_tells_what_it_says_it_tells_and_no_more(engine: Engine) -> None:
    assert engine.tells <= set(TELLS)
    assert engine.tells - {"waits"} == shown(engine)


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
