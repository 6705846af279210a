"""Spans that are only kept: what is written of them is what would be written of the SDK's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import (
    Link,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from otel_untether.export.ids import SeededIdGenerator
from otel_untether.export.kept_resource import KeptResource
from otel_untether.export.kept_spans import MOST, KeptTracerProvider
from otel_untether.store.otlp_spans import encode_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, Tracer

RESOURCE = Resource({"service.name": "agents"})

values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
)
attributes = st.dictionaries(st.sampled_from("abcdef"), values, max_size=4)
times = st.integers(1, 2**62)
ids = st.integers(0, 2**62)  # 0 is none
statuses = st.one_of(
    st.sampled_from([Status(), Status(StatusCode.OK)]),
    st.text(max_size=5).map(lambda text: Status(StatusCode.ERROR, text)),
)


def _doing(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), st.tuples(*arguments))


done = st.lists(
    st.one_of(
        _doing("set_attributes", attributes),
        _doing("set_attribute", st.sampled_from("abc"), values),
        _doing("add_event", st.text(max_size=5), attributes, times),
        _doing("add_link", st.builds(SpanContext, ids, ids, st.booleans()), attributes),
        _doing("update_name", st.text(max_size=5)),
        _doing("set_status", statuses),
        _doing("set_status", st.sampled_from(StatusCode)),
        _doing("end", times),
    ),
    max_size=8,
)
links = st.lists(
    st.builds(Link, st.builds(SpanContext, times, times, st.booleans()), attributes), max_size=2
)


class Ended(SpanProcessor):
    """Keeps what ended."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def written(kept: bool, work: Callable[[Tracer], None]) -> list[Any]:  # noqa: FBT001
    """Do some work with a tracer, and return what would be written of its spans."""
    ended = Ended()
    ids = SeededIdGenerator(b"a seed")
    if kept:
        provider: Any = KeptTracerProvider(KeptResource({"service.name": "agents"}), ids)
    else:
        sdk_ids: Any = ids
        provider = TracerProvider(resource=RESOURCE, id_generator=sdk_ids)
    provider.add_span_processor(ended)
    work(provider.get_tracer("scope", "1.0", schema_url="https://schema"))
    return [
        {
            **encode_ended(span),
            "attributes": dict(span.attributes),
            "resource": dict(span.resource.attributes),
            "scope": (scope.name, scope.version, scope.schema_url),
        }
        for span in ended.spans
        for scope in [span.instrumentation_scope]
    ]


def alike(work: Callable[[Tracer], None]) -> None:
    """Check that it makes no difference who makes the spans."""
    assert written(kept=True, work=work) == written(kept=False, work=work)


@given(attributes, done, links, times, st.sampled_from(SpanKind))
def test_whatever_is_done_with_a_span_is_written_as_of_the_sdks(
    first: dict[str, Any], then: list[Any], linked: list[Link], start: int, kind: SpanKind
) -> None:
    def work(tracer: Tracer) -> None:
        span = tracer.start_span("a", Context(), kind, first, linked, start)
        for name, arguments in then:
            getattr(span, name)(*arguments)
        span.end(start)

    alike(work)


def test_a_span_below_another_is_in_its_trace() -> None:
    def work(tracer: Tracer) -> None:
        root = tracer.start_span("root", Context(), start_time=1)
        below = trace.set_span_in_context(root, Context())
        tracer.start_span("child", below, start_time=2).end(3)
        root.end(4)

    alike(work)
    child, root = written(kept=True, work=work)
    assert child["traceId"] == root["traceId"]
    assert child["parentSpanId"] == root["spanId"]


def test_a_parent_in_another_process_is_said_to_be_there() -> None:
    alike(lambda tracer: tracer.start_span("a", _below(1), start_time=1).end(2))


def test_a_parent_in_another_process_hands_down_its_state() -> None:
    state = TraceState([("vendor", "x")])

    def work(tracer: Tracer) -> None:
        root = tracer.start_span("a", _below(1, state), start_time=1)
        below = trace.set_span_in_context(root, Context())
        tracer.start_span("b", below, start_time=2).end(3)
        root.end(4)

    alike(work)
    assert {span["traceState"] for span in written(kept=True, work=work)} == {"vendor=x"}


def test_below_what_is_not_sampled_nothing_is_recorded() -> None:
    def work(tracer: Tracer) -> None:
        root = tracer.start_span("a", _below(0), start_time=1)
        assert not root.is_recording()
        assert root.get_span_context().trace_id == 5
        assert not root.get_span_context().trace_flags.sampled
        below = trace.set_span_in_context(root, Context())
        tracer.start_span("b", below, start_time=2).end(3)
        root.end(4)

    alike(work)
    assert written(kept=True, work=work) == []


def _below(flags: int, state: TraceState | None = None) -> Context:
    """Return a context whose span is in another process."""
    context = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(flags), trace_state=state)
    return trace.set_span_in_context(trace.NonRecordingSpan(context), Context())


def _many_attributes(span: Span) -> None:
    for number in range(MOST + 10):
        span.set_attribute(f"key.{number}", number)


def _many_attributes_at_once(span: Span) -> None:
    span.set_attributes({f"key.{number}": number for number in range(MOST + 10)})


def _many_events(span: Span) -> None:
    for number in range(MOST + 10):
        span.add_event(f"event.{number}", {"number": number}, number + 1)


def _many_links(span: Span) -> None:
    for number in range(MOST + 10):
        span.add_link(SpanContext(number + 1, 1, is_remote=False), {"number": number})


def _many_attributes_of_an_event(span: Span) -> None:
    span.add_event("event", {f"key.{number}": number for number in range(MOST + 10)}, 5)


@pytest.mark.parametrize(
    "much",
    [
        _many_attributes,
        _many_attributes_at_once,
        _many_events,
        _many_links,
        _many_attributes_of_an_event,
    ],
)
def test_what_the_sdk_bounds_by_default_is_bounded_as_there(much: Callable[[Span], None]) -> None:
    def work(tracer: Tracer) -> None:
        span = tracer.start_span("a", Context(), attributes={"first": 1}, start_time=1)
        much(span)
        span.end(2)

    alike(work)
    (span,) = written(kept=True, work=work)
    (counted,) = [each for each in (span, *span.get("events", ())[:1]) if _dropped(each)]
    assert _dropped(counted) >= 10


def _dropped(said: dict[str, Any]) -> int:
    """Return how many of its parts were dropped, of whatever kind."""
    return sum(count for key, count in said.items() if key.startswith("dropped"))


def test_an_exception_is_an_event_of_its_span() -> None:
    def work(tracer: Tracer) -> None:
        span = tracer.start_span("a", Context(), start_time=1)
        span.record_exception(ValueError("no number"), {"more": 1}, timestamp=2)
        span.end(3)

    (span,) = written(kept=True, work=work)
    (event,) = span["events"]
    assert event["name"] == "exception"
    told = {each["key"]: each["value"] for each in event["attributes"]}
    assert told["exception.message"] == {"stringValue": "no number"}
    assert told["more"] == {"intValue": "1"}
