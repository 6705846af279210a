"""The spans of one run as a tree, made of OTLP-JSON that may be torn, doubled or incomplete.

The encoding is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
ids in hex, 64-bit integers as strings. Every reader here takes what it can and says None to
the rest: a report about a crash must survive the crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from otel_untether import semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Value: TypeAlias = str | bool | int | float | tuple[Any, ...] | None
Attributes: TypeAlias = dict[str, Value]
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
    for resource in _items(export, "resourceSpans"):
        for scope in _items(resource, "scopeSpans"):
            for span in _items(scope, "spans"):
                node = span_node(span)
                if node is not None:
                    yield node


def span_node(span: Any) -> SpanNode | None:
    """Read one OTLP-JSON span; None where its identity or its start is missing."""
    if not isinstance(span, dict):
        return None
    start, span_id = _integer(span.get("startTimeUnixNano")), span.get("spanId")
    if not start or not isinstance(span_id, str) or not span_id:
        return None
    status = span.get("status")
    status = status if isinstance(status, dict) else {}
    name, found = str(span.get("name") or ""), attributes(span.get("attributes"))
    return SpanNode(
        trace_id=str(span.get("traceId") or ""),
        span_id=span_id,
        parent_id=str(span.get("parentSpanId") or "") or None,
        name=name,
        start=start,
        end=_integer(span.get("endTimeUnixNano")) or None,
        attributes=found,
        events=tuple(_events(span)),
        failed=_integer(status.get("code")) == STATUS_ERROR,
        message=str(status.get("message") or ""),
        kind=_kind(name, found),
    )


def attributes(pairs: Any) -> Attributes:
    """Read OTLP-JSON's list of key and value."""
    if not isinstance(pairs, list):
        return {}
    return {
        str(pair["key"]): value(pair.get("value"))
        for pair in pairs
        if isinstance(pair, dict) and "key" in pair
    }


def value(any_value: Any) -> Value:
    """Read an OTLP-JSON AnyValue; None for what it does not say."""
    if not isinstance(any_value, dict) or not any_value:
        return None
    kind, content = next(iter(any_value.items()))
    if kind == "intValue":
        return _integer(content)
    if kind == "arrayValue":
        return tuple(value(item) for item in _items(content, "values"))
    return content if isinstance(content, str | bool | int | float) else None


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
    for node in nodes.values():
        if node is not root:
            _attach(node, nodes, root)
    for node in nodes.values():
        node.children.sort(key=lambda child: (child.start, child.end or child.last()))
    return root


def _attach(node: SpanNode, nodes: Mapping[str, SpanNode], root: SpanNode) -> None:
    parent = nodes.get(node.parent_id or "")
    if parent is None or _is_below(parent, node, nodes):
        node.adrift = node.parent_id is not None
        parent = root
    parent.children.append(node)


def _is_below(node: SpanNode, ancestor: SpanNode, nodes: Mapping[str, SpanNode]) -> bool:
    """Say whether `node` hangs from `ancestor`, or from a circle: ids may be nonsense."""
    seen: set[str] = set()
    current: SpanNode | None = node
    while current is not None and current is not ancestor and current.span_id not in seen:
        seen.add(current.span_id)
        current = nodes.get(current.parent_id or "")
    return current is not None


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
    for event in _items(span, "events"):
        if isinstance(event, dict):
            at = _integer(event.get("timeUnixNano")) or 0
            yield SpanEvent(str(event.get("name") or ""), at, attributes(event.get("attributes")))


def _items(holder: Any, key: str) -> list[Any]:
    items = holder.get(key) if isinstance(holder, dict) else None
    return items if isinstance(items, list) else []


def _integer(number: Any) -> int | None:
    try:
        return int(number)
    except (TypeError, ValueError, OverflowError):
        return None
