"""The spans of one run as a tree, made of OTLP-JSON that may be torn, doubled or incomplete.

The encoding is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
ids in hex, 64-bit integers as strings. Every reader here takes what it can and says None to
the rest: a report about a crash must survive the crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from otel_untether import semconv
from otel_untether.store.otlp_values import decode_attributes, integer, items, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_untether.store.otlp_values import Attributes

Kind: TypeAlias = Literal[
    "session", "turn", "agent", "chat", "tool", "wait", "stall", "marker", "other"
]

STATUS_ERROR = 2  # of opentelemetry.proto.trace.v1.Status.StatusCode
_KINDS: dict[str, Kind] = {
    semconv.SPAN_INVOKE_AGENT: "agent",
    semconv.SPAN_TURN: "turn",
    semconv.SPAN_CHAT: "chat",
    semconv.SPAN_EXECUTE_TOOL: "tool",
    semconv.SPAN_WAIT: "wait",
    semconv.SPAN_STALL: "stall",
    semconv.SPAN_STARTED: "marker",
}


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span, at a moment (ns since the epoch)."""

    name: str
    at: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanLink:
    """Another trace that a span points at."""

    trace_id: str
    attributes: Attributes


@dataclass(slots=True, eq=False)
class SpanNode:
    """One span and what is below it.

    Times in ns since the epoch; `end` is None while the span is open. `adrift` says that the
    span named a parent that is not among the spans of the run.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int | None = None
    attributes: Attributes = field(default_factory=dict)
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    failed: bool = False
    message: str = ""
    kind: Kind = "other"
    adrift: bool = False
    children: list[SpanNode] = field(default_factory=list)

    def walk(self) -> Iterator[SpanNode]:
        """Yield this span and all below it, parents first, each level in order of time."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def last(self) -> int:
        """Return the latest moment known of this span and of all below it."""
        moments = (node.end or node.start for node in self.walk())
        return max(moments)

    def duration(self, until: int) -> int:
        """Return its duration, in ns; that of an open span lasts `until` then."""
        return max((self.end or until) - self.start, 0)


def spans(export: Any) -> Iterator[SpanNode]:
    """Yield the spans of one line of OTLP-JSON, those that can be told from noise."""
    for resource in items(export, "resourceSpans"):
        for scope in items(resource, "scopeSpans"):
            for span in items(scope, "spans"):
                node = span_node(span)
                if node is not None:
                    yield node


def span_node(span: Any) -> SpanNode | None:
    """Read one OTLP-JSON span; None where its identity or its start is missing."""
    if not isinstance(span, dict):
        return None
    start, span_id = moment(span.get("startTimeUnixNano")), span.get("spanId")
    if not start or not isinstance(span_id, str) or not span_id:
        return None
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    name, found = str(span.get("name") or ""), decode_attributes(span.get("attributes"))
    return SpanNode(
        trace_id=str(span.get("traceId") or ""),
        span_id=span_id,
        parent_id=str(span.get("parentSpanId") or "") or None,
        name=name,
        start=start,
        end=moment(span.get("endTimeUnixNano")),
        attributes=found,
        events=tuple(_events(span)),
        links=tuple(_links(span)),
        failed=integer(status.get("code")) == STATUS_ERROR,
        message=str(status.get("message") or ""),
        kind=_kind(name, found),
    )


def tree(found: Iterable[SpanNode]) -> SpanNode | None:
    """Put the spans of one run below their session; None if there are none.

    Of two spans with one id the ended one counts. A span whose parent is missing goes below
    the session and is `adrift`, so that nothing that was recorded is hidden.
    """
    nodes = _unique(found)
    if not nodes:
        return None
    root = _root(nodes)
    root.kind = "session"
    circling = _circling(nodes)
    for node in nodes.values():
        if node is not root:
            _attach(node, nodes, circling, root)
    _sort(root)
    return root


def _attach(
    node: SpanNode, nodes: Mapping[str, SpanNode], circling: set[str], root: SpanNode
) -> None:
    parent = nodes.get(node.parent_id or "")
    if parent is None or node.span_id in circling:
        node.adrift = node.parent_id is not None
        parent = root
    parent.children.append(node)


def _circling(nodes: Mapping[str, SpanNode]) -> set[str]:
    """Return the spans whose parents' parents lead in a circle: ids may be nonsense.

    Each span is looked at once, however long the chains that it is in.
    """
    verdicts: dict[str, bool] = {}
    for span_id in nodes:
        path: dict[str, None] = {}
        current = span_id
        while current in nodes and current not in path and current not in verdicts:
            path[current] = None
            current = nodes[current].parent_id or ""
        verdicts |= dict.fromkeys(path, current in path or verdicts.get(current, False))
    return {span_id for span_id, circles in verdicts.items() if circles}


def _sort(root: SpanNode) -> None:
    """Put the children of each span in order of their start, then of their end."""
    latest: dict[str, int] = {}
    for node in reversed(list(root.walk())):
        node.children.sort(key=lambda child: (child.start, child.end or latest[child.span_id]))
        known = (latest[child.span_id] for child in node.children)
        latest[node.span_id] = max(node.end or node.start, *known, 0)


def _unique(found: Iterable[SpanNode]) -> dict[str, SpanNode]:
    nodes: dict[str, SpanNode] = {}
    for node in found:
        known = nodes.get(node.span_id)
        if known is None or known.end is None:
            nodes[node.span_id] = node
    return nodes


def _root(nodes: Mapping[str, SpanNode]) -> SpanNode:
    tops = [node for node in nodes.values() if node.parent_id not in nodes] or list(nodes.values())
    sessions = [node for node in tops if node.kind == "agent"]
    if sessions:
        return min(sessions, key=lambda node: node.start)
    first = min(tops, key=lambda node: node.start)
    return SpanNode(first.trace_id, "", None, "session", first.start, max(_ends(nodes)))


def _ends(nodes: Mapping[str, SpanNode]) -> Iterator[int]:
    return (node.end or node.start for node in nodes.values())


def _kind(name: str, found: Attributes) -> Kind:
    operation = found.get(semconv.OPERATION_NAME) or name.partition(" ")[0]
    return _KINDS.get(str(operation), "other")


def _events(span: dict[str, Any]) -> Iterator[SpanEvent]:
    for event in items(span, "events"):
        if isinstance(event, dict):
            at = moment(event.get("timeUnixNano")) or 0
            yield SpanEvent(
                str(event.get("name") or ""), at, decode_attributes(event.get("attributes"))
            )


def _links(span: dict[str, Any]) -> Iterator[SpanLink]:
    for link in items(span, "links"):
        if isinstance(link, dict) and isinstance(link.get("traceId"), str):
            yield SpanLink(link["traceId"], decode_attributes(link.get("attributes")))
