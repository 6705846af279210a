"""Where the time of a session went.

Every moment is counted once, however many spans cover it: a stall explains it before a wait,
a wait before a tool, a tool before the model. What runs in the background counts only while
nothing else does. What no span explains is the agent's own.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from otel_untether import semconv
from otel_untether.report.silences import silences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.span_tree import SpanNode

Category: TypeAlias = Literal["model", "tools", "waits", "stalls", "other"]
CATEGORIES: Final[tuple[Category, ...]] = ("model", "tools", "waits", "stalls", "other")

# What a moment counts as when several spans cover it: the first of these that does. A tool
# that only waits for its subagent, and background work, explain what nothing else explains.
_STALL, _WAIT, _TOOL, _MODEL, _BELOW = range(5)
_COUNTS_AS: Final[tuple[Category, ...]] = ("stalls", "waits", "tools", "model", "tools")


class Interval(NamedTuple):
    """From `start` to `end` (ns since the epoch), with what it counts as."""

    start: int
    end: int
    rank: int


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
    previous = start
    for at, rank, change in sorted(_edges(intervals(root, until), start, end)):
        if at > previous:
            spent[_category(covering)] += at - previous
            previous = at
        covering[rank] += change
    spent["other"] += max(end - previous, 0)
    return spent


def intervals(root: SpanNode, until: int) -> Iterator[Interval]:
    """Yield what explains the session's time."""
    for silence in silences(root, until):
        yield Interval(silence.start, silence.end, _STALL)
    for node in root.walk():
        rank = _rank(node)
        if rank is not None:
            yield Interval(node.start, node.end or until, rank)


def tool_totals(root: SpanNode, until: int) -> list[ToolTotal]:
    """Return what each tool took, the longest first."""
    calls: dict[str, list[SpanNode]] = defaultdict(list)
    for node in root.walk():
        if node.kind == "tool":
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


def _rank(node: SpanNode) -> int | None:
    match node.kind:
        case "wait":
            return _WAIT
        case "chat":
            return _MODEL
        case "tool" if node.children or node.attribute(semconv.BACKGROUND):
            return _BELOW
        case "tool":
            return _TOOL
    return None


def _edges(found: Iterable[Interval], start: int, end: int) -> Iterator[tuple[int, int, int]]:
    for interval in found:
        first, last, _ = interval
        if first < start or last > end:
            first, last = max(first, start), min(last, end)
        if first < last:
            yield first, interval.rank, 1
            yield last, interval.rank, -1


def _category(covering: list[int]) -> Category:
    for rank, count in enumerate(covering):
        if count:
            return _COUNTS_AS[rank]
    return "other"
