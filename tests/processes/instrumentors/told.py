"""What a program under `opentelemetry-instrument` told: spans, as the console exporter has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass
class Told:
    """A program's spans, and what it said on standard error."""

    spans: list[dict[str, Any]]
    said: str = ""
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
    """Return the JSON documents that follow one another in a text."""
    found, decoder = [], json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found
