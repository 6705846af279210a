"""The recordings, and a second, plain reading of their lines to hold the decoders against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDINGS = Path(__file__).parents[2] / "conformance" / "recordings"


def streams(engine: str) -> list[Path]:
    """All recorded streams of an engine, timed ones included."""
    folder = RECORDINGS / engine
    folders = (folder, folder / "hang", folder / "live")
    described = (Path(__file__).parent / "described").glob(f"{engine}.jsonl")
    return sorted([*described, *(path for each in folders for path in each.glob("*.jsonl"))])


def lines(path: Path) -> Iterator[bytes]:
    """The lines the CLI printed."""
    for line in path.read_bytes().split(b"\n"):
        if path.name.endswith(".both.jsonl"):
            message = json.loads(line or b'{"dir":""}')
            if message["dir"] == "out":
                yield json.dumps(message["line"]).encode()
        elif path.name.endswith(".timed.jsonl"):
            record = json.loads(line or b"{}")
            if "line" in record:
                yield record["line"].encode()
        elif line:
            yield line


def objects(path: Path) -> Iterator[dict[str, Any]]:
    """The lines as plain objects."""
    yield from map(json.loads, lines(path))
