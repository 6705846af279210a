"""Where the time of a session went.

Every moment is counted once, however many spans cover it: a stall explains it before a wait,
a wait before a tool, a tool before the model. What runs in the background counts only while
nothing else does. What no span explains is the agent's own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from otel_untether import semconv
from otel_untether.report.silences import silences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.span_node import SpanNode

Category: TypeAlias = Literal["model", "tools", "waits", "stalls", "other"]
CATEGORIES: Final[tuple[Category, ...]] = ("model", "tools", "waits", "stalls", "other")


@dataclass(frozen=True, slots=True)
class ToolTotal:
    """All calls of one tool; durations in ns, `total` being their sum, overlaps and all."""

    name: str
    calls: int
    errors: int
    total: int
    longest: int


def wall_time(root: SpanNode, until: int) -> dict[Category, int]:
    """Return the ns of each category; together they are the session's duration."""
    start, end = root.start, root.end or until
    spent = dict.fromkeys(CATEGORIES, 0)
    covered: list[tuple[int, int]] = []
    known = 0
    for category, found in _explained(root, until):
        covered = _united([*covered, *_within(found, start, end)])
        length = sum(last - first for first, last in covered)
        spent[category] += length - known
        known = length
    spent["other"] += max(end - start, 0) - known
    return spent


def _explained(root: SpanNode, until: int) -> Iterator[tuple[Category, Iterable[tuple[int, int]]]]:
    """Yield what explains the session's time, what explains it best first, as (start, end).

    A tool that only waits for its subagent, and background work, explain what nothing else
    explains.
    """
    yield "stalls", ((silence.start, silence.end) for silence in silences(root, until))
    yield "waits", ((node.start, node.end or until) for node in root.every("wait"))
    tools: list[tuple[int, int]] = []
    below: list[tuple[int, int]] = []
    for node in root.every("tool"):
        aside = node.children or node.attribute(semconv.BACKGROUND)
        (below if aside else tools).append((node.start, node.end or until))
    yield "tools", tools
    yield "model", ((node.start, node.end or until) for node in root.every("chat"))
    yield "tools", below


def _within(found: Iterable[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield of some intervals what is between a start and an end."""
    for interval in found:
        first, last = interval
        if first < start or last > end:
            first, last = max(first, start), min(last, end)
        if first < last:
            yield first, last


def _united(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put together those of some intervals that touch each other, in order of time."""
    united: list[tuple[int, int]] = []
    found.sort()
    start, end = found[0] if found else (0, 0)
    for first, last in found:
        if first > end:
            united.append((start, end))
            start, end = first, last
        elif last > end:
            end = last
    return [*united, (start, end)]


def tool_totals(root: SpanNode, until: int) -> list[ToolTotal]:
    """Return what each tool took, the longest first."""
    calls: dict[str, list[SpanNode]] = defaultdict(list)
    for node in root.every("tool"):
        calls[node.tool].append(node)
    totals = [_total(name, nodes, until) for name, nodes in calls.items()]
    return sorted(totals, key=lambda total: (-total.total, total.name))


def slowest(root: SpanNode, until: int, most: int) -> list[SpanNode]:
    """Return the longest calls of tools and of the model, the longest first.

    A call that contains others is not among them: what took long there is one of these.
    """
    calls = (node for node in root.walk() if node.kind in ("tool", "chat") and not node.children)
    return heapq.nlargest(most, calls, key=lambda node: node.duration(until))


def _total(name: str, nodes: list[SpanNode], until: int) -> ToolTotal:
    durations = [node.duration(until) for node in nodes]
    errors = sum(node.failed for node in nodes)
    return ToolTotal(name, len(nodes), errors, sum(durations), max(durations))
