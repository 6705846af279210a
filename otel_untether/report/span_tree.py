"""The spans of one run as a tree, whatever they say of their parents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.report.span_node import SpanNode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def unite(nodes: dict[str, SpanNode], found: Iterable[SpanNode]) -> None:
    """Put spans to those of the run, by id: of two with one id the ended one counts."""
    for node in found:
        known = nodes.setdefault(node.span_id, node)
        if known is not node and known.end is None:
            nodes[node.span_id] = node


def tree(found: Iterable[SpanNode]) -> SpanNode | None:
    """Put the spans of one run below their session; None if there are none."""
    nodes: dict[str, SpanNode] = {}
    unite(nodes, found)
    return tree_of(nodes)


def tree_of(nodes: Mapping[str, SpanNode]) -> SpanNode | None:
    """Put the spans of one run, by id, below their session; None if there are none.

    A span whose parent is missing goes below the session and is `adrift`, so that nothing that
    was recorded is hidden.
    """
    if not nodes:
        return None
    root = _root(nodes)
    root.kind = "session"
    circling = _circling(nodes)
    for span_id, node in nodes.items():
        if node is not root:
            parent = nodes.get(node.parent_id or "")
            if parent is None or span_id in circling:
                node.adrift = node.parent_id is not None
                parent = root
            parent.put(node)
    _sort(root)
    root.settle()
    return root


def _circling(nodes: Mapping[str, SpanNode]) -> set[str]:
    """Return the spans whose parents' parents lead in a circle: ids may be nonsense.

    Each span that has any below it is looked at once, however long the chains that it is in.
    """
    verdicts: dict[str, bool] = {}
    parents = {node.parent_id or "" for node in nodes.values()}
    for span_id in parents & nodes.keys():
        path: dict[str, None] = {}
        current = span_id
        while current in nodes and current not in path and current not in verdicts:
            path[current] = None
            current = nodes[current].parent_id or ""
        verdicts |= dict.fromkeys(path, current in path or verdicts.get(current, False))
    circling = {span_id for span_id, circles in verdicts.items() if circles}
    if circling:
        circling |= {id_ for id_, node in nodes.items() if node.parent_id in circling}
    return circling


def _sort(root: SpanNode) -> None:
    """Put the children of each span in order of their start, then of their end."""
    latest: dict[str, int] = {}

    def key(node: SpanNode) -> tuple[int, int]:
        return node.start, node.end or latest.get(node.span_id) or node.start

    for node in reversed([node for node in root.walk() if node.children]):
        node.children = sorted(node.children, key=key)
        ends = (latest.get(it.span_id) or it.end or it.start for it in node.children)
        latest[node.span_id] = max(node.end or node.start, *ends)


def _root(nodes: Mapping[str, SpanNode]) -> SpanNode:
    tops = [node for node in nodes.values() if node.parent_id not in nodes] or list(nodes.values())
    sessions = [node for node in tops if node.kind == "agent"]
    if sessions:
        return min(sessions, key=lambda node: node.start)
    first = min(tops, key=lambda node: node.start)
    return SpanNode(first.trace_id, "", None, "session", first.start, max(_ends(nodes)))


def _ends(nodes: Mapping[str, SpanNode]) -> Iterator[int]:
    return (node.end or node.start for node in nodes.values())
