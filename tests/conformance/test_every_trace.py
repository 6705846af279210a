"""What holds of every recording's trace, whatever the engine."""

from __future__ import annotations

import re

import pytest
from opentelemetry.trace import StatusCode

from otel_untether import semconv

from .traces import RECORDINGS, Trace, attribute, play, recordings

ALL = [
    path
    for engine in ("claude", "codex", "opencode", "gemini", "pi", "qwen", "copilot")
    for path in recordings(engine)
]


@pytest.fixture(params=ALL, ids=lambda path: str(path.relative_to(RECORDINGS)))
def trace(request: pytest.FixtureRequest) -> Trace:
    return play(request.param)


def test_there_are_recordings() -> None:
    assert len(ALL) >= 12


def test_the_engine_is_recognised_from_its_first_lines(
    trace: Trace, request: pytest.FixtureRequest
) -> None:
    engine = request.node.callspec.params["trace"].relative_to(RECORDINGS).parts[0]
    assert attribute(trace.root, semconv.ENGINE) == engine


def test_it_is_one_tree_in_one_trace(trace: Trace) -> None:
    assert len(trace.by_id) == len(trace.spans)
    assert len({span.context.trace_id for span in trace.spans if span.context}) == 1
    assert [span for span in trace.spans if not trace.parent(span)] == [trace.root]


def test_parents_enclose_children(trace: Trace) -> None:
    for span in trace.spans:
        parent = trace.parent(span)
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
        if parent is not None:
            assert parent.start_time is not None
            assert parent.end_time is not None
            assert parent.start_time <= span.start_time, span.name
            assert span.end_time <= parent.end_time, span.name


def test_an_error_has_a_type_and_a_type_is_an_error(trace: Trace) -> None:
    for span in trace.spans:
        failed = span.status.status_code is StatusCode.ERROR
        assert failed == (attribute(span, "error.type") is not None), span.name


def test_no_content_leaves_unasked(trace: Trace) -> None:
    """Prompts, commands, paths and results are in the file and must not be in the trace."""
    secret = re.compile("hello.py|/home/dev|SUB-COUNT|oops|Delegating|ls -la")
    for span in trace.spans:
        assert not secret.search(span.to_json() or "")


def test_every_name_is_in_the_registry(trace: Trace) -> None:
    for span in trace.spans:
        assert span.name.split(" ")[0] in semconv.SPANS
        assert set(span.attributes or {}) <= set(semconv.ATTRIBUTES)
        for event in span.events:
            assert event.name in semconv.EVENTS
            assert set(event.attributes or {}) <= set(semconv.ATTRIBUTES)
    assert set(trace.events) <= set(semconv.EVENTS)


def test_attribute_values_have_the_registered_type(trace: Trace) -> None:
    types = {"string": str, "int": int, "double": float, "boolean": bool, "string[]": tuple}
    for span in trace.spans:
        for name, value in (span.attributes or {}).items():
            assert type(value) is types[semconv.ATTRIBUTES[name].type], (name, value)
