"""The spans of one run as a tree, made of OTLP-JSON that may be torn, doubled or incomplete.

The encoding is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
ids in hex, 64-bit integers as strings. Every reader here takes what it can and says None to
the rest: a report about a crash must survive the crash.
"""

from __future__ import annotations

import functools
import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from otel_untether import semconv
from otel_untether.store.otlp_values import decode, decode_attributes, integer, items, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_untether.store.otlp_values import Attributes, Value

Kind: TypeAlias = Literal[
    "session", "turn", "agent", "chat", "tool", "wait", "stall", "marker", "other"
]

_NOTHING: Final = msgspec.Raw(b"[]")
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
    span named a parent that is not among the spans of the run. `raw` is its attributes as they
    were read: a long session has a hundred thousand calls, of which few are looked at closely.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start: int
    end: int | None = None
    raw: bytes = b"[]"
    events: tuple[SpanEvent, ...] = ()
    links: tuple[SpanLink, ...] = ()
    failed: bool = False
    message: str = ""
    kind: Kind = "other"
    adrift: bool = False
    children: list[SpanNode] = field(default_factory=list)
    _decoded: Attributes | None = field(default=None, repr=False)
    _tool: str | None = field(default=None, repr=False)
    _order: list[SpanNode] | None = field(default=None, repr=False)

    @property
    def attributes(self) -> Attributes:
        """All of its attributes."""
        if self._decoded is None:
            self._decoded = _all_attributes(self.raw)
        return self._decoded

    def unkept_attributes(self) -> Attributes:
        """Return all of its attributes, for who goes through all spans once."""
        return _all_attributes(self.raw) if self._decoded is None else self._decoded

    def attribute(self, name: str) -> Value:
        """Return one of its attributes, None where it has none of that name.

        It costs less than all of them, and is not kept.
        """
        return _attribute(self.raw, name)

    @property
    def tool(self) -> str:
        """The name of the tool that it is a call of, from its attribute or else from its name."""
        if self._tool is None:
            told = self.attribute(semconv.TOOL_NAME)
            self._tool = sys.intern(str(told or self.name.partition(" ")[2] or self.name))
        return self._tool

    def walk(self) -> Iterator[SpanNode]:
        """Yield this span and all below it, parents first, each level in order of time."""
        if self._order is not None:
            return iter(self._order)
        return self._walk() if self.children else iter((self,))

    def _walk(self) -> Iterator[SpanNode]:
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            if node.children:
                stack.extend(reversed(node.children))

    def settle(self) -> None:
        """Note that nothing will be put below it any more, so that walking it is cheap."""
        self._order = list(self._walk())

    def last(self) -> int:
        """Return the latest moment known of this span and of all below it."""
        moments = (node.end or node.start for node in self.walk())
        return max(moments)

    def duration(self, until: int) -> int:
        """Return its duration, in ns; that of an open span lasts `until` then."""
        return max((self.end or until) - self.start, 0)


class _Span(msgspec.Struct):
    """A span of OTLP JSON, as far as it is read at once."""

    spanId: str  # noqa: N815  names of OTLP's
    startTimeUnixNano: str | int  # noqa: N815
    traceId: str = ""  # noqa: N815
    parentSpanId: str = ""  # noqa: N815
    name: str = ""
    endTimeUnixNano: str | int = 0  # noqa: N815
    attributes: msgspec.Raw = _NOTHING
    events: list[Any] = []
    links: list[Any] = []
    status: dict[str, Any] = {}


class _InScope(msgspec.Struct):
    spans: list[_Span] = []


class _InResource(msgspec.Struct):
    scopeSpans: list[_InScope] = []  # noqa: N815


class _Request(msgspec.Struct):
    resourceSpans: list[_InResource] = []  # noqa: N815


_REQUESTS: Final = msgspec.json.Decoder(_Request)


def spans(line: bytes) -> Iterator[SpanNode]:
    """Yield the spans of one line of OTLP JSON, those that can be told from noise.

    Raises ValueError for what is no JSON.
    """
    try:
        request = _REQUESTS.decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        yield from _odd_spans(line)
        return
    for resource in request.resourceSpans:
        for scope in resource.scopeSpans:
            for span in scope.spans:
                node = _node(span)
                if node is not None:
                    yield node


def _odd_spans(line: bytes) -> Iterator[SpanNode]:
    """Yield the spans of a line in which something is not as OTLP has it."""
    for resource in items(json.loads(line), "resourceSpans"):
        for scope in items(resource, "scopeSpans"):
            for span in items(scope, "spans"):
                node = span_node(span)
                if node is not None:
                    yield node


def span_node(span: Any) -> SpanNode | None:
    """Read one OTLP-JSON span; None where its identity or its start is missing."""
    if not isinstance(span, dict):
        return None
    span_id, status = span.get("spanId"), span.get("status")
    return _node(
        _Span(
            spanId=span_id if isinstance(span_id, str) else "",
            startTimeUnixNano=span.get("startTimeUnixNano") or 0,
            traceId=str(span.get("traceId") or ""),
            parentSpanId=str(span.get("parentSpanId") or ""),
            name=str(span.get("name") or ""),
            endTimeUnixNano=span.get("endTimeUnixNano") or 0,
            attributes=msgspec.Raw(json.dumps(span.get("attributes")).encode()),
            events=items(span, "events"),
            links=items(span, "links"),
            status=status if isinstance(status, dict) else {},
        )
    )


def _node(span: _Span) -> SpanNode | None:
    start = moment(span.startTimeUnixNano)
    if not start or not span.spanId:
        return None
    raw = bytes(span.attributes)
    return SpanNode(
        span.traceId,
        span.spanId,
        span.parentSpanId or None,
        sys.intern(span.name),
        start,
        moment(span.endTimeUnixNano),
        raw,
        tuple(_events(span.events)) if span.events else (),
        tuple(_links(span.links)) if span.links else (),
        integer(span.status.get("code")) == STATUS_ERROR if span.status else False,
        str(span.status.get("message") or "") if span.status else "",
        _kind(span.name, raw),
    )


def _kind(name: str, raw: bytes) -> Kind:
    """Return what a span is, which its operation says; one of ours has it in its name, too."""
    kind, told = _told_by(name)
    if told is not None and told in raw:
        return kind
    operation = _attribute(raw, semconv.OPERATION_NAME) or name.partition(" ")[0]
    return _KINDS.get(str(operation), "other")


@functools.lru_cache(1024)
def _told_by(name: str) -> tuple[Kind, bytes | None]:
    """Return what a span of a name should be, and how its attributes say so."""
    operation = name.partition(" ")[0]
    if operation not in _KINDS:
        return "other", None
    text = f'{{"stringValue":"{operation}"'
    return _KINDS[operation], f'"key":"{semconv.OPERATION_NAME}","value":{text}'.encode()


def _attribute(raw: bytes, name: str) -> Value:
    """Return one of the attributes that are in a list of OTLP JSON, as we write it or otherwise.

    Most are plain text, which needs no parser::

        {"key":"gen_ai.tool.name","value":{"stringValue":"Bash"}}
    """
    begin = _before_text(name)
    at = raw.find(begin)
    if at >= 0:
        first = at + len(begin)
        text = raw[first : raw.index(b'"', first)]
        if b"\\" not in text:
            return text.decode("utf-8", "replace")
    elif f'"{name}"'.encode() not in raw:
        return None
    return _all_attributes(raw).get(name)


@functools.cache
def _before_text(name: str) -> bytes:
    return f'"key":"{name}","value":{{"stringValue":"'.encode()


class _Value(msgspec.Struct, rename="camel", omit_defaults=True):
    """An AnyValue, of which nearly all are text."""

    string_value: str | None = None
    int_value: str | int | None = None
    bool_value: bool | None = None
    double_value: float | str | None = None
    array_value: Any = None
    kvlist_value: Any = None


class _Pair(msgspec.Struct):
    key: str
    value: _Value


_PAIRS: Final = msgspec.json.Decoder(list[_Pair])


def _all_attributes(raw: bytes) -> Attributes:
    """Return the attributes in a list of OTLP JSON."""
    try:
        pairs = _PAIRS.decode(raw)
    except (msgspec.MsgspecError, UnicodeError):
        return _odd_attributes(raw)
    return {pair.key: _decoded(pair.value) for pair in pairs}


def _decoded(value: _Value) -> Value:
    text = value.string_value
    return decode(msgspec.to_builtins(value)) if text is None else text


def _odd_attributes(raw: bytes) -> Attributes:
    """Return those of a list in which something is not as OTLP has it."""
    try:
        return decode_attributes(msgspec.json.decode(raw))
    except (msgspec.MsgspecError, UnicodeError):
        return decode_attributes(json.loads(raw))


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
    root.settle()
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
    for node in reversed([node for node in root.walk() if node.children]):
        ends = {
            child.span_id: latest.get(child.span_id) or child.end or child.start
            for child in node.children
        }
        node.children.sort(key=lambda child: (child.start, child.end or ends[child.span_id]))
        latest[node.span_id] = max(node.end or node.start, *ends.values(), 0)


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


def _events(found: list[Any]) -> Iterator[SpanEvent]:
    for event in found:
        if isinstance(event, dict):
            at = moment(event.get("timeUnixNano")) or 0
            yield SpanEvent(
                str(event.get("name") or ""), at, decode_attributes(event.get("attributes"))
            )


def _links(found: list[Any]) -> Iterator[SpanLink]:
    for link in found:
        if isinstance(link, dict) and isinstance(link.get("traceId"), str):
            yield SpanLink(link["traceId"], decode_attributes(link.get("attributes")))
