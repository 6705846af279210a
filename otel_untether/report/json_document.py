"""The report as one JSON object, for programs.

`schema` changes when a name or a meaning does; names may be added without. Durations are
seconds, moments ns since the epoch, and what is unknown is null.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import islice
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.report import attribute_text
from otel_untether.report.breakdown import slowest, tool_totals, wall_time
from otel_untether.report.session_facts import facts
from otel_untether.report.silences import silences
from otel_untether.report.verdict import verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.report.run import Recorded
    from otel_untether.report.span_node import Frame, SpanNode

SCHEMA: Final = 1
_SLOWEST: Final = 10
_AT_ONCE: Final = 500


def text(recorded: Recorded) -> Iterator[str]:
    """Yield the report as JSON, in pieces: a session may have a hundred thousand spans.

    They come last, a line each; what people look at first is indented.
    """
    whole = json.dumps({**document(recorded), "spans": []}, indent=2)
    yield whole.removesuffix("]\n}")
    between, arounds = "\n", _Arounds()
    nodes = recorded.root.walk() if recorded.root else iter(())
    while some := ",\n    ".join(_span(node, arounds) for node in islice(nodes, _AT_ONCE)):
        yield f"{between}    {some}"
        between = ",\n"
    yield "\n  ]\n}\n"


def document(recorded: Recorded) -> dict[str, Any]:
    """Return the report without its spans, as what `json` can write."""
    root, until = recorded.root, recorded.until
    return {
        "schema": SCHEMA,
        "run": recorded.name,
        "verdict": _verdict(recorded),
        "session": _session(recorded, root) if root else None,
        "time": _time(root, until) if root else None,
        "tools": list(_tools(root, until)) if root else [],
        "slowest": list(_slowest(root, until)) if root else [],
        "silences": list(_silences(root, until)) if root else [],
        "stalls": list(_stalls(root)) if root else [],
        "problems": list(recorded.problems),
    }


def _session(recorded: Recorded, root: SpanNode) -> dict[str, Any]:
    told = asdict(facts(recorded, root))
    return {**told, "duration_s": _seconds(told["ended"] - told["started"])}


def _time(root: SpanNode, until: int) -> dict[str, float]:
    spent = wall_time(root, until)
    return {f"{category}_s": _seconds(nanoseconds) for category, nanoseconds in spent.items()}


def _tools(root: SpanNode, until: int) -> Iterator[dict[str, Any]]:
    for total in tool_totals(root, until):
        yield {
            "name": total.name,
            "calls": total.calls,
            "errors": total.errors,
            "total_s": _seconds(total.total),
            "longest_s": _seconds(total.longest),
        }


def _verdict(recorded: Recorded) -> dict[str, Any]:
    judged = verdict(recorded)
    before = recorded.before
    return {
        "how": judged.how,
        "why": judged.why,
        "next": judged.next,
        "cause": judged.cause,
        "evidence": list(judged.evidence),
        "stderr": list(judged.stderr),
        "resumes": before._asdict() if before else None,
    }


def _slowest(root: SpanNode, until: int) -> Iterator[dict[str, Any]]:
    for node in slowest(root, until, _SLOWEST):
        yield {
            "span_id": node.span_id,
            "name": node.tool if node.kind == "tool" else node.name,
            "start": node.start,
            "duration_s": _seconds(node.duration(until)),
            "failed": node.failed,
            "open": node.end is None,
        }


def _silences(root: SpanNode, until: int) -> Iterator[dict[str, Any]]:
    for silence in silences(root, until):
        yield {
            "cause": silence.cause,
            "start": silence.start,
            "end": None if silence.ongoing else silence.end,
            "length_s": _seconds(silence.length),
            "warnings": len(silence.warnings),
            "evidence": list(silence.evidence),
        }


def _stalls(root: SpanNode) -> Iterator[dict[str, Any]]:
    for node in root.every("stall"):
        yield {
            "cause": node.attributes.get(semconv.STALL_CAUSE),
            "number": node.attributes.get(semconv.STALL_NUMBER),
            "idle_s": node.attributes.get(semconv.STALL_IDLE),
            "evidence": node.attributes.get(semconv.STALL_EVIDENCE),
            "start": node.start,
            "end": node.end,
        }


class _Arounds(dict["Frame", "attribute_text.Around | None"]):
    """What is around the attributes of spans, by their frames."""

    def __missing__(self, frame: Frame) -> attribute_text.Around | None:
        found = self[frame] = attribute_text.around(frame.head, frame.tail)
        return found


def _attributes(node: SpanNode, arounds: _Arounds) -> str:
    around = arounds[node.frame]
    known = None if around is None else attribute_text.framed_as_json(around, node.own)
    return attribute_text.as_json(node.raw) if known is None else known


def _span(node: SpanNode, arounds: _Arounds) -> str:
    """Write a span as `json.dumps` does, but its attributes from the text that was read."""
    parent = "null" if node.parent_id is None else _quoted(node.parent_id)
    end = "null" if node.end is None else node.end
    events = json.dumps([asdict(event) for event in node.events]) if node.events else "[]"
    return (
        f'{{"span_id": {_quoted(node.span_id)}, "parent_span_id": {parent}, "kind": "{node.kind}", '
        f'"name": {_quoted(node.name)}, "start": {node.start}, "end": {end}, '
        f'"failed": {"true" if node.failed else "false"}, '
        f'"attributes": {_attributes(node, arounds)}, "events": {events}}}'
    )


def _seconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e9, 6)
