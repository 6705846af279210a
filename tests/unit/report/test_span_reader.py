"""Spans read many lines at once: the same as line by line, and of each all that it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report import attribute_text, json_document
from otel_untether.report.span_node import SpanNode
from otel_untether.report.span_reader import SpanReader
from otel_untether.store.otlp_values import decode_attributes, encode_attributes

RESOURCE = {"attributes": encode_attributes([("service.name", "otel-untether")])}


def request(*spans: dict[str, Any], **resource: Any) -> bytes:
    """Return a line as our exporter writes it."""
    scope = {"scope": {"name": "otel_untether"}, "spans": list(spans), "schemaUrl": "https://x/1"}
    whole = {"resourceSpans": [{"resource": RESOURCE | resource, "scopeSpans": [scope]}]}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def call(number: int, tool: str = "Bash", **attributes: Any) -> dict[str, Any]:
    """Return the span of a call."""
    facts = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool, "n": number}
    return {
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "spanId": f"{number + 1:016x}",
        "name": f"execute_tool {tool}",
        "startTimeUnixNano": str(10**18 + number),
        "attributes": encode_attributes((facts | attributes).items()),
        "endTimeUnixNano": str(10**18 + number + 5),
        "status": {"code": 2, "message": "failed"} if number % 3 == 0 else {},
    }


def told(nodes: list[SpanNode]) -> list[tuple[Any, ...]]:
    return [(n.span_id, n.kind, n.tool, n.start, n.end, n.failed, n.message, n.raw) for n in nodes]


LINES = st.sampled_from(
    [
        *(request(call(number)) for number in range(4)),
        request(call(5), call(6, "Read")),
        request(call(7), service="another"),
        request(call(8))[:-40],  # torn
        request(call(9))[50:],
        request({**call(10), "startTimeUnixNano": 10**18}),
        request({**call(11), "attributes": None}),  # not as OTLP has it
        request(call(12), {"spanId": 7}),
        json.dumps(json.loads(request(call(13)))).encode(),  # with blanks
        request(call(14, text='}},{"key":"x"\\')),
        request(call(15)).replace(b"Bash", b"Ba\xffsh"),
        request(),
        b"",
        b"\0\0\0",
        b"[]",
        b'{"resourceSpans":[]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[]}]}]}',
    ]
)


@given(st.lists(LINES, max_size=12))
def test_many_lines_at_once_say_what_each_says(lines: list[bytes]) -> None:
    together, alone = SpanReader(), SpanReader()
    found = together.nodes(b"\n".join(lines))
    assert told(found) == told([node for line in lines for node in alone.nodes(line)])
    assert together.torn == alone.torn


def test_a_torn_line_is_counted_and_costs_itself() -> None:
    reader = SpanReader()
    lines = [request(call(0)), request(call(1))[:-9], request(call(2)), b"\0\0", b" "]
    assert [node.attribute("n") for node in reader.nodes(b"\n".join(lines))] == [0, 2]
    assert reader.torn == 2


def test_lines_that_say_the_same_of_their_resource_are_decoded_as_one() -> None:
    """That is what makes a long session's report quick."""
    reader = SpanReader()
    assert len(reader._together(b"\n".join(request(call(n)) for n in range(9)))) == 1


TEXTS = st.sampled_from(["", "a", "Bash", 'a "quote"', "b\\", "ä\u2028", "}},{", "toolu_01", "[]"])
VALUES = TEXTS | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.lists(TEXTS)
KEYS = st.sampled_from(["gen_ai.operation.name", "gen_ai.tool.name", "id", "key", 'q"', "ü"])


@given(st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=5), max_size=9))
def test_what_is_kept_once_for_many_spans_is_in_each(many: list[list[tuple[str, Any]]]) -> None:
    """Whatever they have in common at their beginning and their end."""
    reader = SpanReader()
    spans = [
        {"spanId": str(n), "name": "x", "startTimeUnixNano": 5, "attributes": encode_attributes(it)}
        for n, it in enumerate(many)
    ]
    nodes = [node for span in spans for node in reader.nodes(request(span))]
    assert len(nodes) == len(many)
    arounds = json_document._Arounds()
    for node, span in zip(nodes, spans, strict=True):
        raw = json.dumps(span["attributes"], separators=(",", ":"), ensure_ascii=False)
        assert node.raw.decode() == raw
        assert node.attributes == decode_attributes(span["attributes"])
        assert json_document._attributes(node, arounds) == json.dumps(node.attributes)


def test_what_most_calls_say_is_written_as_json_from_what_is_kept_once() -> None:
    """A split within a key, a value, and none: nothing is said twice or forgotten."""
    many: list[dict[str, Any]] = [
        {"gen_ai.tool.call.id": f"toolu_{n}", "gen_ai.tool.call.result": "x", "end": n % 2 == 0}
        if n % 5
        else {"gen_ai.tool.call.arguments": "{}", "gen_ai.tool.call.id": "a", "end": True}
        for n in range(50)
    ]
    nodes = SpanReader().nodes(b"\n".join(request(call(n, **it)) for n, it in enumerate(many)))
    arounds = json_document._Arounds()
    written = [json_document._attributes(node, arounds) for node in nodes]
    assert written == [json.dumps(node.attributes) for node in nodes]
    around = arounds[nodes[-1].frame]
    assert around is not None
    assert around.keys >= {'"gen_ai.operation.name"', '"gen_ai.tool.name"'}


def test_most_of_what_calls_say_is_kept_once() -> None:
    nodes = SpanReader().nodes(
        b"\n".join(request(call(n, text="x" * 300)) for n in range(100, 200))
    )
    assert {len(node.own) for node in nodes[2:]} <= set(range(3))
    assert {node.tool for node in nodes} == {"Bash"}


@pytest.mark.parametrize("blanks", [(",", ":"), (", ", ": ")])
@given(pairs=st.lists(st.tuples(KEYS | st.text(), VALUES | st.text())))
def test_attributes_are_written_as_json_from_their_text(
    blanks: tuple[str, str], pairs: list[tuple[str, Any]]
) -> None:
    raw = json.dumps(encode_attributes(pairs), separators=blanks).encode()
    assert attribute_text.as_json(raw) == json.dumps(attribute_text.all_of(raw))


@given(
    pairs=st.lists(st.tuples(KEYS | st.text(), VALUES | st.text()), min_size=1),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_wherever_attributes_are_cut_they_are_written_the_same(
    pairs: list[tuple[str, Any]], cuts: tuple[float, float]
) -> None:
    """Within a key, a value, an escape or between: what is known of both ends is left as it is."""
    whole = json.dumps(encode_attributes(pairs), separators=(",", ":"), ensure_ascii=False)
    raw = whole.encode(errors="replace")
    first, last = sorted(round(cut * len(raw)) for cut in cuts)
    around = attribute_text.around(raw[:first], raw[last:])
    if around is not None:
        written = attribute_text.framed_as_json(around, raw[first:last])
        assert written in (None, attribute_text.as_json(raw))


@pytest.mark.parametrize(
    ("own", "written"),
    [
        (b"0123", '{"x": 1, "id": "toolu_0123!", "y": 2}'),
        (b"", '{"x": 1, "id": "toolu_!", "y": 2}'),
        (
            b'1"}},{"key":"n","value":{"stringValue":"2',
            '{"x": 1, "id": "toolu_1", "n": "2!", "y": 2}',
        ),
        (b'1"}},{"key":"y","value":{"stringValue":"2', None),  # told twice: the last one counts
        (b'1"}},{"key":"id","value":{"stringValue":"2', '{"x": 1, "id": "2!", "y": 2}'),
        (b'1"}},{"key":"n","value":{"stringValue":"\\', None),
        (b'1"}},{"n', None),
        (b"\\u00fc", '{"x": 1, "id": "toolu_\\u00fc!", "y": 2}'),
    ],
)
def test_what_is_a_spans_own_within_a_text(own: bytes, written: str | None) -> None:
    around = attribute_text.around(
        b'[{"key":"x","value":{"intValue":"1"}},{"key":"id","value":{"stringValue":"toolu_',
        b'!"}},{"key":"y","value":{"intValue":"2"}}]',
    )
    assert around is not None
    assert attribute_text.framed_as_json(around, own) == written


def test_an_attribute_told_twice_counts_as_it_is_told_last() -> None:
    raw = json.dumps(encode_attributes([("a", "1"), ("b", "2"), ("a", "3")])).replace(" ", "")
    assert attribute_text.as_json(raw.encode()) == '{"a": "3", "b": "2"}'


def test_attributes_that_are_no_unicode_can_be_read() -> None:
    raw = b'[{"key":"a","value":{"stringValue":"\xff"}}]'
    assert attribute_text.all_of(raw) == {"a": "\ufffd"}
