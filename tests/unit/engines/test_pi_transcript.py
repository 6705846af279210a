"""Pi's sessions on disk tell what its streams of the same sessions told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from otel_untether.engines import registry
from otel_untether.engines.pi import stream
from otel_untether.engines.pi.transcript import reader
from otel_untether.session import events as ev
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
