"""Spans that are too large for Jaeger's store: they arrive, cut, and stop nobody."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from scripts.stack.backends import Stack, eventually
from scripts.stack.measure import post
from tests.stack.agents import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HUGE = 70_000  # an index key of Badger's may have 65,000 bytes


@pytest.fixture(scope="module")
def own_stack(
    binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A stack that can be stopped for good."""
    with Stack(binaries, tmp_path_factory.mktemp("limits")) as running:
        yield running


def _string(pairs: Any, key: str, value: str) -> None:
    pairs.add(key=key).value.string_value = value


def _list(pairs: Any) -> None:
    items = pairs.add(key="list").value.array_value.values
    for _ in range(HUGE // 100):
        items.add(string_value="x" * 100)


def _list_beside_no_number(pairs: Any) -> None:
    """JSON has no word for it, and the size of the attributes is that of their JSON."""
    pairs.add(key="ratio").value.double_value = float("nan")
    _list(pairs)


def _map(pairs: Any) -> None:
    inner = pairs.add(key="map").value.kvlist_value.values
    _string(inner, "inner", "x" * HUGE)


def _bytes(pairs: Any) -> None:
    pairs.add(key="bytes").value.bytes_value = b"x" * HUGE


def _many(span: Any) -> None:
    """Ten megabytes in one span, each attribute of a size that is let through."""
    for number in range(320):
        _string(span.attributes, f"many.{number}", "x" * 32_000)


LARGE: dict[str, Callable[[Any, Any, Any], object]] = {
    "attribute": lambda _r, _s, span: _string(span.attributes, "big", "é" * HUGE),
    "key": lambda _r, _s, span: _string(span.attributes, "k" * HUGE, "value"),
    "list": lambda _r, _s, span: _list(span.attributes),
    "list beside no number": lambda _r, _s, span: _list_beside_no_number(span.attributes),
    "event's list beside no number": lambda _r, _s, span: _list_beside_no_number(
        span.events.add().attributes
    ),
    "map": lambda _r, _s, span: _map(span.attributes),
    "bytes": lambda _r, _s, span: _bytes(span.attributes),
    "name": lambda _r, _s, span: setattr(span, "name", "n" * HUGE),
    "status": lambda _r, _s, span: setattr(span.status, "message", "m" * HUGE),
    "event name": lambda _r, _s, span: span.events.add(name="e" * HUGE),
    "event": lambda _r, _s, span: _string(span.events.add().attributes, "big", "x" * HUGE),
    "resource": lambda resource, _s, _p: _string(resource.attributes, "big", "x" * HUGE),
    "scope name": lambda _r, scope, _p: setattr(scope, "name", "s" * HUGE),
    "scope": lambda _r, scope, _p: _string(scope.attributes, "big", "x" * HUGE),
    "ten megabytes": lambda _r, _s, span: _many(span),
}


def large(enlarge: Callable[[Any, Any, Any], object]) -> tuple[str, bytes]:
    """Return a trace id, and a request of one span that is too large somewhere."""
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    _string(part.resource.attributes, "service.name", "large")
    scope = part.scope_spans.add()
    now = time.time_ns()
    span = scope.spans.add(
        name="work",
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        start_time_unix_nano=now - 10**9,
        end_time_unix_nano=now,
    )
    enlarge(part.resource, scope.scope, span)
    return span.trace_id.hex(), request.SerializeToString()


@pytest.mark.parametrize("where", LARGE)
def test_a_span_that_is_too_large_arrives_all_the_same(own_stack: Stack, where: str) -> None:
    trace_id, body = large(LARGE[where])
    post(f"{own_stack.endpoint()}/v1/traces", body)
    eventually("it is in Jaeger", lambda: own_stack.trace(trace_id))


def test_a_session_after_four_large_ones_is_whole(own_stack: Stack, tmp_path: Path) -> None:
    """Four requests that are refused again and again would hold all who could send the fifth."""
    for where in ("attribute", "list", "event", "resource"):
        post(f"{own_stack.endpoint()}/v1/traces", large(LARGE[where])[1])
    runner = Runner(own_stack, tmp_path)
    session = runner.run(
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
        OTEL_UNTETHER_CAPTURE_MAX_LENGTH="32768",
    )
    assert session.process.returncode == 0, session.errors
    eventually(
        "the root is in Jaeger",
        lambda: "invoke_agent claude" in [s["name"] for s in own_stack.spans_of(session.service)],
    )
