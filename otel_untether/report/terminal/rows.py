"""The lines of a waterfall: which spans get one of their own, and which share one.

A session of hours has hundreds of spans. The silences, what is still open and the longest calls
always have a line; then come subagents and waits, a few of the failures, and the rest by its
length. Runs of what finds no place are folded into one line each.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.report.silences import silences
from otel_untether.report.terminal import text as words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.report.silences import Silence
    from otel_untether.report.span_node import Kind, SpanNode
    from otel_untether.report.terminal.style import Role

_ROLES: Final[dict[str, Role]] = {
    "session": "title",
    "turn": "plain",
    "agent": "agent",
    "chat": "model",
    "tool": "tool",
    "wait": "wait",
    "stall": "stall",
}
# A word for each kind of span, and the attributes that name one of them.
_LABELS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "session": ("", (semconv.ENGINE, semconv.AGENT_NAME)),
    "agent": ("agent", (semconv.AGENT_NAME,)),
    "chat": ("chat", ()),
    "wait": ("wait", (semconv.WAIT_KIND,)),
    "stall": ("stall", ()),
}
# How many of a kind have their place, the longest first; others only by what they last.
_SILENCES: Final = 8
_LONGEST: Final = 6
_PARTS: Final = 14
_FAILURES: Final = 8
_CALLS: Final = ("tool", "chat")
_FOLDED: Final = 3  # fewer than so many are not worth a fold
_DEEPEST: Final = 32

Stem = tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a span, or several folded together.

    `stem` says for each level above whether more follows there. `pieces` are the (start, end)
    to draw, in ns since the epoch; `start` and `end` enclose them.
    """

    stem: Stem
    label: str
    note: str
    role: Role
    start: int
    end: int
    pieces: tuple[tuple[int, int], ...]
    folded: bool = False
    failed: bool = False


def rows(root: SpanNode, until: int, limit: int | None) -> list[Row]:
    """Lay the session out in about `limit` lines at most; all of it where that is None."""
    found = silences(root, until)
    hidden = _hidden(root, found)
    shown = _selection(root, hidden, until, limit)
    spans = {silence.last: (silence.start, silence.end) for silence in found}
    return [_row(stem, item, shown, spans, until) for stem, item in _layout(root, hidden, shown)]


def _hidden(root: SpanNode, found: list[Silence]) -> set[SpanNode]:
    """Say which spans are not drawn: the marker, and all but one of a silence's warnings."""
    return {*root.every("marker"), *root.every("stall")} - {silence.last for silence in found}


def _selection(
    root: SpanNode, hidden: set[SpanNode], until: int, limit: int | None
) -> set[SpanNode]:
    nodes = [node for node in root.walk() if node not in hidden] if hidden else list(root.walk())
    if limit is None or len(nodes) <= limit:
        return set(nodes)
    ranked = _ranked(nodes, until, limit)
    above = _above(ranked, nodes)
    below = {
        node: [child for child in node.children if child not in hidden]
        for node in {*ranked, *above.values()}
        if node.children
    }
    place = {it: at for children in below.values() for at, it in enumerate(children) if it in above}
    # Each of them has a line, if not more.
    low, high = 1, min(len(ranked), limit)
    while low < high:
        middle = (low + high + 1) // 2
        lines = _lines(_with_parents(ranked[:middle], above), above, below, place)
        low, high = (middle, high) if lines <= limit else (low, middle - 1)
    return _with_parents(ranked[:low], above)


def _ranked(nodes: list[SpanNode], until: int, limit: int) -> list[SpanNode]:
    """Return the spans that are given a line first, in this order, each once; `limit` at most."""
    lengths = [max((node.end or until) - node.start, 0) for node in nodes]
    kinds: dict[Kind, list[int]] = defaultdict(list)
    calls, still_open, failed = [], [], []
    for at, node in enumerate(nodes):
        kind = node.kind
        kinds[kind].append(at)
        if kind in _CALLS and not node.children:
            calls.append(at)
        if node.end is None:
            still_open.append(at)
        if node.failed and kind != "stall":
            failed.append(at)

    def longest(most: int, found: Iterable[int]) -> list[int]:
        return heapq.nlargest(most, found, key=lengths.__getitem__)

    order = [
        *longest(limit, kinds["session"]),
        *longest(_SILENCES, kinds["stall"]),
        *longest(_LONGEST, still_open),
        *longest(_LONGEST, calls),
        *longest(_PARTS, sorted([*kinds["agent"], *kinds["turn"], *kinds["wait"]])),
        *longest(_FAILURES, failed),
        *longest(limit, range(len(nodes))),
    ]
    return [nodes[at] for at in dict.fromkeys(order)][:limit]


def _above(ranked: Iterable[SpanNode], nodes: list[SpanNode]) -> dict[SpanNode, SpanNode]:
    """Return what is above each of some spans, and above that, up to the root."""
    above: dict[SpanNode, SpanNode] = {}
    wanted = set(ranked)
    for node in reversed(nodes):
        if node.children:
            found = wanted.intersection(node.children)
            if found:
                above.update(dict.fromkeys(found, node))
                wanted.add(node)
    return above


def _with_parents(nodes: list[SpanNode], above: dict[SpanNode, SpanNode]) -> set[SpanNode]:
    shown: set[SpanNode] = set()
    for node in nodes:
        current: SpanNode | None = node
        while current is not None and current not in shown:
            shown.add(current)
            current = above.get(current)
    return shown


def _lines(
    shown: set[SpanNode],
    above: dict[SpanNode, SpanNode],
    below: dict[SpanNode, list[SpanNode]],
    place: dict[SpanNode, int],
) -> int:
    """Return how many lines `_layout` yields, by looking at what is shown and not at all the rest.

    Between two children that are shown the others share a line, unless they are too few.
    """
    lines = 1
    places: dict[SpanNode, list[int]] = {node: [] for node in shown if node in below}
    for node in shown & place.keys():
        places[above[node]].append(place[node])
    for node, found in places.items():
        children, last = below[node], -1
        for at in (*sorted(found), len(children)):
            between = children[last + 1 : at] if at - last <= _FOLDED else ()
            alone = between and not any(child.children for child in between)
            lines += len(between) if alone else at > last + 1
            last = at
        lines += len(found)
    return lines


def _layout(
    root: SpanNode, hidden: set[SpanNode], shown: set[SpanNode]
) -> Iterator[tuple[Stem, list[SpanNode]]]:
    """Yield each line's spans: one, or those that are folded into it."""
    stack: list[tuple[Stem, list[SpanNode]]] = [((), [root])]
    while stack:
        stem, item = stack.pop()
        yield stem, item
        if len(item) == 1 and item[0] in shown:
            below = list(_groups(item[0], hidden, shown))
            levels = [(*stem, index + 1 < len(below)) for index in range(len(below))]
            parts = zip((level[-_DEEPEST:] for level in levels), below, strict=True)
            stack.extend(reversed(list(parts)))


def _groups(
    node: SpanNode, hidden: set[SpanNode], shown: set[SpanNode]
) -> Iterator[list[SpanNode]]:
    children = [child for child in node.children if child not in hidden]
    for alone, group in groupby(children, key=shown.__contains__):
        found = list(group)
        if alone or (len(found) < _FOLDED and not any(child.children for child in found)):
            yield from ([child] for child in found)
        else:
            yield found


def _row(
    stem: Stem,
    item: list[SpanNode],
    shown: set[SpanNode],
    spans: dict[SpanNode, tuple[int, int]],
    until: int,
) -> Row:
    first = item[0]
    whole = len(item) == 1 and (first in shown or not first.children)
    if not whole:
        return _fold_row(stem, item, until)
    return _span_row(stem, first, *spans.get(first, (first.start, first.end or until)))


def _span_row(stem: Stem, node: SpanNode, start: int, end: int) -> Row:
    return Row(
        stem=stem,
        label=words.safe(label(node)),
        note=words.safe(_note(node)),
        role=_ROLES.get(node.kind, "plain"),
        start=start,
        end=end,
        pieces=((start, end),),
        failed=node.failed and node.kind != "stall",
    )


def _fold_row(stem: Stem, item: list[SpanNode], until: int) -> Row:
    nodes = [
        node
        for top in item
        for node in (top.walk() if top.children else (top,))
        if node.kind != "marker"
    ]
    pieces = tuple((node.start, node.end or until) for node in nodes)
    kinds = Counter(map(label, nodes)).most_common()
    listed = ", ".join(f"{number:,} {name}" for name, number in kinds)
    failed = sum(node.failed for node in nodes)
    return Row(
        stem=stem,
        label=words.safe(f"{len(nodes):,} spans: {listed}"),
        note=f"{failed} failed" if failed else "",
        role="fold",
        start=min(start for start, _ in pieces),
        end=max(end for _, end in pieces),
        pieces=pieces,
        folded=True,
        failed=bool(failed),
    )


def label(node: SpanNode) -> str:
    """Name a span in a word or two."""
    if node.kind == "tool":
        return node.tool
    word, names = _LABELS.get(node.kind, (node.name, ()))
    if not names:
        return word.strip() or node.name
    name = next((str(found) for key in names if (found := node.attribute(key))), "")
    return f"{word} {name}".strip() or node.name


def _note(node: SpanNode) -> str:
    found = node.attributes
    if node.kind == "stall":
        number = found.get(semconv.STALL_NUMBER)
        warnings = f", {number} warnings" if isinstance(number, int) and number > 1 else ""
        return f"{found.get(semconv.STALL_CAUSE) or 'cause unknown'}{warnings}"
    notes = []
    if node.failed:
        notes.append(failure(node))
    elif node.kind == "wait" and found.get(semconv.WAIT_ANSWER):
        notes.append(str(found[semconv.WAIT_ANSWER]))
    if node.end is None:
        notes.append("open")
    if found.get(semconv.BACKGROUND):
        notes.append("background")
    if node.adrift and node.kind != "session":
        notes.append("parent missing")
    return ", ".join(notes)


def failure(node: SpanNode) -> str:
    """Say how a span failed, shortly."""
    code = node.attributes.get(semconv.PROCESS_EXIT_CODE)
    if node.kind == "tool" and code:
        return f"exit {code}"
    return str(node.attributes.get(semconv.ERROR_TYPE) or node.message or "failed")
