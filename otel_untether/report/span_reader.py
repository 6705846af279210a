"""Spans read from lines of OTLP-JSON that may be torn, doubled or foreign.

The encoding is OTLP's JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding):
ids in hex, 64-bit integers as strings. Every reader here takes what it can and says None to
the rest: a report about a crash must survive the crash.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.report.frames import NONE_SHARED, Frames, kind_of
from otel_untether.report.span_node import SpanEvent, SpanLink, SpanNode
from otel_untether.store.otlp_values import decode_attributes, integer, items, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTHING: Final = msgspec.Raw(b"[]")
_LATEST: Final = 2**63  # ns since the epoch
_SHORTEST: Final = len(b'[{"spanId":""}]')
STATUS_ERROR = 2  # of opentelemetry.proto.trace.v1.Status.StatusCode


class _Span(msgspec.Struct, gc=False):
    """A span of OTLP JSON, as far as it is read at once."""

    spanId: str  # noqa: N815  names of OTLP's
    startTimeUnixNano: int  # noqa: N815
    traceId: str = ""  # noqa: N815
    parentSpanId: str = ""  # noqa: N815
    name: str = ""
    endTimeUnixNano: int = 0  # noqa: N815
    attributes: msgspec.Raw = _NOTHING
    events: list[Any] | None = None
    links: list[Any] | None = None
    status: dict[str, Any] | None = None


class _InScope(msgspec.Struct):
    spans: list[_Span] = []


class _InResource(msgspec.Struct):
    scopeSpans: list[_InScope] = []  # noqa: N815


class _Request(msgspec.Struct):
    resourceSpans: list[_InResource] = []  # noqa: N815


class _UnreadScope(msgspec.Struct):
    spans: msgspec.Raw


class _UnreadResource(msgspec.Struct):
    scopeSpans: list[_UnreadScope]  # noqa: N815


class _Unread(msgspec.Struct):
    resourceSpans: list[_UnreadResource]  # noqa: N815


# Not strict: 64-bit integers are strings.
_REQUESTS: Final = msgspec.json.Decoder(_Request, strict=False)
_UNREAD: Final = msgspec.json.Decoder(_Unread)


class SpanReader:
    """Reads the spans of one run, many lines at once.

    `torn` counts the lines that were no JSON. Lines that say the same of resource and scope, as
    a run's do, are put together before they are decoded::

        {"resourceSpans":[{…"spans":[{A}]}]}
        {"resourceSpans":[{…"spans":[{B}]}]}     becomes   {"resourceSpans":[{…"spans":[{A},{B}]}]}
    """

    def __init__(self) -> None:
        self.torn = 0
        self._around = b"", b""
        self._frames = Frames()

    def nodes(self, block: bytes) -> list[SpanNode]:
        """Return the spans of some whole lines, those that can be told from noise."""
        try:
            requests = list(map(_REQUESTS.decode, self._together(block)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return [node for line in block.split(b"\n") for node in self._of_line(line)]
        return [node for request in requests for node in self._of_request(request)]

    def _together(self, block: bytes) -> list[bytes]:
        """Return the lines of a block: as one, where they say the same of resource and scope."""
        lines = list(filter(bytes.strip, block.split(b"\n")))
        begin, end = self._around
        if lines and not (begin and lines[0].startswith(begin)):
            begin, end = self._around = _around(lines[0])
        first, last = len(begin), -len(end)
        spans = [it[first:last] for it in lines if it.startswith(begin) and it.endswith(end)]
        if not begin or len(spans) < len(lines):
            return lines
        return [begin + b",".join(spans) + end]

    def _of_line(self, line: bytes) -> Iterator[SpanNode]:
        try:
            yield from list(self._of_request(_REQUESTS.decode(line)))
        except (msgspec.MsgspecError, UnicodeError):
            yield from self._of_odd_line(line)
        except RecursionError:
            self.torn += 1

    def _of_odd_line(self, line: bytes) -> Iterator[SpanNode]:
        """Yield the spans of a line in which something is not as OTLP has it."""
        try:
            for resource in items(json.loads(line), "resourceSpans"):
                for scope in items(resource, "scopeSpans"):
                    yield from filter(None, map(span_node, items(scope, "spans")))
        except (ValueError, RecursionError):
            self.torn += bool(line.strip())

    def _of_request(self, request: _Request) -> Iterator[SpanNode]:
        for resource in request.resourceSpans:
            for scope in resource.scopeSpans:
                for span in scope.spans:
                    if 0 < span.startTimeUnixNano < _LATEST and span.spanId:
                        yield _node(span, self._frames)


def _around(line: bytes) -> tuple[bytes, bytes]:
    """Return what a line says before its spans and behind them; nothing where that is not plain."""
    try:
        (resource,) = _UNREAD.decode(line).resourceSpans
        (scope,) = resource.scopeSpans
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return b"", b""
    spans = bytes(scope.spans)
    before, _, after = line.partition(spans)
    plain = len(spans) >= _SHORTEST and spans.startswith(b"[") and spans not in after
    return (before + b"[", b"]" + after) if plain else (b"", b"")


def span_node(span: Any) -> SpanNode | None:
    """Read one OTLP-JSON span; None where its identity or its start is missing."""
    if not isinstance(span, dict):
        return None
    span_id, status = span.get("spanId"), span.get("status")
    started = moment(span.get("startTimeUnixNano"))
    if not started or not isinstance(span_id, str) or not span_id:
        return None
    return _node(
        _Span(
            spanId=span_id,
            startTimeUnixNano=started,
            traceId=str(span.get("traceId") or ""),
            parentSpanId=str(span.get("parentSpanId") or ""),
            name=str(span.get("name") or ""),
            endTimeUnixNano=moment(span.get("endTimeUnixNano")) or 0,
            attributes=msgspec.Raw(json.dumps(span.get("attributes")).encode()),
            events=items(span, "events"),
            links=items(span, "links"),
            status=status if isinstance(status, dict) else {},
        ),
        NONE_SHARED,
    )


def _node(span: _Span, frames: Frames) -> SpanNode:
    name, end, raw = sys.intern(span.name), span.endTimeUnixNano, bytes(span.attributes)
    own, frame = frames.split(name, raw)
    node = SpanNode(
        sys.intern(span.traceId),
        span.spanId,
        sys.intern(span.parentSpanId) or None,
        name,
        span.startTimeUnixNano,
        end if 0 < end < _LATEST else None,
        own,
        frame,
        kind=frame.kind or kind_of(name, raw),
    )
    if span.status:
        node.failed = integer(span.status.get("code")) == STATUS_ERROR
        node.message = str(span.status.get("message") or "")
    if span.events:
        node.events = tuple(_events(span.events))
    if span.links:
        node.links = tuple(_links(span.links))
    return node


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
