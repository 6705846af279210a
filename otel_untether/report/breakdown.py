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
    from collections.abc import Iterator

    from otel_untether.report.span_node import SpanNode

Category: TypeAlias = Literal["model", "tools", "waits", "stalls", "other"]
CATEGORIES: Final[tuple[Category, ...]] = ("model", "tools", "waits", "stalls", "other")

# What a moment counts as when several spans cover it: the first of these that does. A tool
# that only waits for its subagent, and background work, explain what nothing else explains.
_STALL, _WAIT, _TOOL, _MODEL, _BELOW = range(5)
_BITS, _CHANGE, _BEGINS = 4, 0b1111, 1  # of an edge
_COUNTS_AS: Final[tuple[Category, ...]] = ("stalls", "waits", "tools", "model", "tools")


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
    covering = [0] * len(_COUNTS_AS)
    previous, category = start, _category(covering)
    for edge in sorted(_edges(root, until)):
        at, change = start + (edge >> _BITS), edge & _CHANGE
        if at > previous:
            spent[category] += at - previous
            previous = at
        rank = change >> 1
        covering[rank] += 1 if change & _BEGINS else -1
        category = _category(covering)
    spent["other"] += max(end - previous, 0)
    return spent


def _edges(root: SpanNode, until: int) -> Iterator[int]:
    """Yield where something that explains the session's time begins and ends, within it.

    Each is a number, by which they are in order of time: the ns since the session's start, then
    what it counts as, then whether it begins.
    """
    start, end = root.start, root.end or until
    for rank, first, last in _intervals(root, until):
        begins, ends = max(first, start) - start, min(last, end) - start
        if begins < ends:
            yield begins << _BITS | rank << 1 | _BEGINS
            yield ends << _BITS | rank << 1


def _intervals(root: SpanNode, until: int) -> Iterator[tuple[int, int, int]]:
    """Yield what explains the session's time: what it counts as, from when, and until when."""
    for silence in silences(root, until):
        yield _STALL, silence.start, silence.end
    for node in root.every("wait"):
        yield _WAIT, node.start, node.end or until
    for node in root.every("chat"):
        yield _MODEL, node.start, node.end or until
    for node in root.every("tool"):
        below = node.children or node.attribute(semconv.BACKGROUND)
        yield _BELOW if below else _TOOL, node.start, node.end or until


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


def _category(covering: list[int]) -> Category:
    for rank, count in enumerate(covering):
        if count:
            return _COUNTS_AS[rank]
    return "other"
