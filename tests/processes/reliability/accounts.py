"""What became of each run's spans, read off a state directory: made against kept."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otel_untether.store import run_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Trace:
    """One run's spans as they are on disk."""

    folder: Path
    spans: list[dict[str, Any]] = field(default_factory=list)
    started: set[str] = field(default_factory=set)

    @property
    def ids(self) -> list[str]:
        return [span["spanId"] for span in self.spans]

    def complaints(self, root: str) -> list[str]:
        """Say what is wrong with a trace whose root was to be `root`."""
        found = []
        ids = self.ids
        if ids.count(root) != 1:
            found.append(f"{ids.count(root)} roots")
        if len(ids) != len(set(ids)):
            found.append("ids used twice")
        if missing := self.started - set(ids):
            found.append(f"{len(missing)} spans begun and never ended")
        parents = {span["parentSpanId"] for span in self.spans if span["spanId"] != root}
        if absent := parents - set(ids):
            found.append(f"{len(absent)} parents absent")
        return found


def traces(state: Path) -> dict[str, Trace]:
    """Return the traces in a state directory by their ids."""
    found: dict[str, Trace] = {}
    for folder in sorted((state / run_folder.RUNS).glob("*")):
        trace = Trace(folder)
        trace.spans = [span for part in parts(folder, "traces") for span in _spans(part)]
        for entry in _lines(folder / run_folder.JOURNAL):
            if entry.get("kind") == "start":
                trace.started.add(entry["span"]["spanId"])
                found[entry["span"]["traceId"]] = trace
        # Of a run that has ended the journal may tell nothing any more.
        found |= {span["traceId"]: trace for span in trace.spans}
    return found


def attributes(span: dict[str, Any]) -> dict[str, Any]:
    """Return a span's attributes, each value as it is written in OTLP JSON."""
    return {item["key"]: next(iter(item["value"].values())) for item in span["attributes"]}


def parts(folder: Path, stem: str) -> list[Path]:
    """Return the files that hold a signal's lines: of a part that is there twice the plain one."""
    found = sorted(folder.glob(f"{stem}*.jsonl*"))
    return [path for path in found if path.suffix != ".gz" or path.with_suffix("") not in found]


def _spans(path: Path) -> Iterator[dict[str, Any]]:
    for request in _lines(path):
        for resource in request["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    content = path.read_bytes()
    for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue  # torn, as a killed writer may leave it
