"""What a program under `opentelemetry-instrument` told: spans, as the console exporter has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass
class Told:
    """A program's spans, what it said on standard error, and all of its standard output."""

    spans: list[dict[str, Any]]
    said: str = ""
    printed: str = ""
    lines: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = self.said.splitlines()

    @cached_property
    def by_id(self) -> dict[str, dict[str, Any]]:
        return {span["context"]["span_id"]: span for span in self.spans}

    def named(self, name: str) -> list[dict[str, Any]]:
        """Return the spans of a name, in the order in which they began."""
        found = [span for span in self.spans if span["name"] == name]
        return sorted(found, key=lambda span: str(span["start_time"]))

    def above(self, span: dict[str, Any]) -> dict[str, Any]:
        """Return a span's parent, which the program told of, too."""
        return self.by_id[span["parent_id"]]


def decoded(text: str) -> list[dict[str, Any]]:
    """Return the spans in a program's output, whatever it has printed between them."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while (at := text.find("{\n", at)) >= 0:
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found
