"""The tree of a run's spans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.report.span_node import SpanNode
from otel_untether.report.span_reader import SpanReader, span_node
from otel_untether.report.span_tree import tree
from otel_untether.store.otlp_values import decode_attributes, encode_attributes
from tests.unit.report.report_sessions import START, Session, at, healthy, nodes_of, tree_of


def names(node: SpanNode) -> list[str]:
    """Return the names of a span's children."""
    return [child.name for child in node.children]


def test_children_are_below_their_parents_in_order_of_time() -> None:
    """The order of the lines does not matter."""
    session = Session()
    session.tool("Read", 2, 3)
    session.tool("Bash", 0, 1)
    session.root(4)
    assert names(tree_of(session)) == ["execute_tool Bash", "execute_tool Read"]


def test_a_subagents_tools_are_below_it() -> None:
    """Session, call, subagent, its tools."""
    agents = [node for node in tree_of(healthy()).walk() if node.kind == "agent"]
    assert [len(agent.children) for agent in agents] == [4, 4]


def test_a_span_without_its_parent_is_shown_below_the_session() -> None:
    """Nothing that was recorded is hidden, and it is said."""
    session = Session()
    session.root(4)
    session.tool("Bash", 1, 2, parent="lost")
    (child,) = tree_of(session).children
    assert child.adrift


def test_parents_that_form_a_circle_do_not_hang_it() -> None:
    """Ids may be nonsense; every span is still there once."""
    session = Session()
    session.root(4)
    session.tool("A", 1, 2, parent="b", span_id="a")
    session.tool("B", 1, 2, parent="a", span_id="b")
    session.tool("C", 1, 2, parent="a", span_id="c")
    assert len(list(tree_of(session).walk())) == 4


def test_all_spans_in_a_circle_still_make_a_tree() -> None:
    """Even the root may be nonsense."""
    session = Session()
    session.tool("A", 1, 2, parent="b", span_id="a")
    session.tool("B", 1, 2, parent="a", span_id="b")
    assert {node.name for node in tree_of(session).walk()} >= {"execute_tool A", "execute_tool B"}


@pytest.mark.parametrize("order", [1, -1])
def test_an_ended_span_replaces_its_open_copy(order: int) -> None:
    """Whichever is read first."""
    session = Session()
    session.root(4)
    session.tool("Bash", 1, None, span_id="x")
    session.tool("Bash", 1, 2, span_id="x")
    session.spans[1:] = session.spans[1:][::order]
    (child,) = tree_of(session).children
    assert child.end == at(2)


def test_without_the_sessions_own_span_one_is_made_up() -> None:
    """It encloses what there is."""
    session = Session()
    session.tool("Bash", 1, 2)
    session.tool("Bash", 3, 5)
    root = tree_of(session)
    assert (root.kind, root.start, root.end, len(root.children)) == ("session", at(1), at(5), 2)


def test_an_ambient_parent_does_not_unseat_the_session() -> None:
    """The session may itself be below a span of whoever called us."""
    session = healthy()
    session.spans[0]["parentSpanId"] = "00f067aa0ba902b7"
    assert tree_of(session).name == "invoke_agent claude"


def test_values_keep_their_types() -> None:
    """64-bit integers travel as strings, arrays as lists."""
    session = Session()
    session.root(1, i=2**53, f=0.5, b=True, s="text", a=("x", 1))
    found = tree_of(session).attributes
    assert [found[key] for key in "ifbsa"] == [2**53, 0.5, True, "text", ("x", 1)]


def test_no_spans_make_no_tree() -> None:
    """An empty run is not an error."""
    assert tree([]) is None


def test_an_open_span_lasts_until_now() -> None:
    """And never less than nothing."""
    node = SpanNode("t", "s", None, "x", START)
    assert (node.duration(at(3)), node.duration(at(-3))) == (at(3) - START, 0)


OTLP = ("resourceSpans", "scopeSpans", "spans", "spanId", "startTimeUnixNano", "attributes")
REST = ("events", "status", "code", "key", "value", "intValue", "arrayValue", "values")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(OTLP + REST), inner, max_size=5)
    ),
    max_leaves=30,
)


def test_lines_as_others_write_them_say_the_same_as_ours() -> None:
    """Ours have no blanks, and are read faster."""
    lines = list(healthy().lines())
    ours = [json.dumps(json.loads(line), separators=(",", ":")) for line in lines]
    others = [json.dumps(json.loads(line), separators=(" , ", " : ")) for line in lines]

    def told(line: str) -> list[tuple[Any, ...]]:
        found = nodes_of(line)
        return [(n.kind, n.tool, n.start, n.end, n.failed, n.attributes, n.events) for n in found]

    assert list(map(told, ours)) == list(map(told, others))
    assert any(map(told, ours))


@pytest.mark.parametrize("text", ['a "quoted" name', "b\\c", "\u00e4\u2028", "execute_tool", ""])
def test_one_attribute_is_told_as_all_are(text: str) -> None:
    """However it is escaped, and where another's value is called like it."""
    pairs = [("before", "gen_ai.tool.name"), ("gen_ai.tool.name", text), ("n", 1)]
    session = Session()
    facts: dict[str, Any] = dict(pairs)
    session.root(1, **facts)
    for separators in ((",", ":"), (", ", ": ")):
        for line in session.lines():
            (node,) = nodes_of(json.dumps(json.loads(line), separators=separators))
            for name in (*facts, "absent"):
                assert node.attribute(name) == node.attributes.get(name)


@given(JSON)
def test_no_json_breaks_it(export: Any) -> None:
    """What is not OTLP has no spans; what is half of it has those that can be told."""
    tree(SpanReader().nodes(json.dumps(export).encode()))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdefz")), max_size=9))
def test_every_span_is_in_the_tree_exactly_once(links: list[tuple[str, str]]) -> None:
    """Whatever the parents are."""
    nodes = [
        SpanNode("t", span_id, parent, "x", START + index, START + 9)
        for index, (span_id, parent) in enumerate(links)
    ]
    root = tree(nodes)
    found = [node.span_id for node in root.walk() if node.span_id] if root else []
    assert sorted(found) == sorted({span_id for span_id, _ in links})


def chain(length: int, **changes: Any) -> list[dict[str, Any]]:
    """Return spans of which each is the parent of the next."""
    return [
        {
            "spanId": f"{number:016x}",
            "parentSpanId": f"{number - 1:016x}",
            "startTimeUnixNano": str(10**18 + number),
        }
        | changes
        for number in range(1, length + 1)
    ]


def nodes(spans: list[dict[str, Any]]) -> list[SpanNode]:
    return [node for span in spans if (node := span_node(span)) is not None]


def test_a_chain_however_long_is_put_together_at_once() -> None:
    """Neither recursion nor a look at all parents for each span: 50,000 took minutes."""
    root = tree(nodes(chain(50_000)))
    assert root is not None
    assert sum(1 for _ in root.walk()) == 50_001


def test_a_circle_and_what_hangs_from_it_goes_below_the_session() -> None:
    spans = chain(5)
    spans[0]["parentSpanId"] = spans[2]["spanId"]
    root = tree(nodes(spans))
    assert root is not None
    assert sorted(node.span_id[-1] for node in root.walk() if node.adrift) == list("12345")


def test_a_span_that_began_at_no_time_is_no_span() -> None:
    starts: list[Any] = ["-5", "0", str(2**70), "9" * 5000, None, []]
    for start in starts:
        assert span_node({"spanId": "a", "startTimeUnixNano": start}) is None


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.lists(st.tuples(st.text(), _VALUES)))
def test_attributes_read_fast_are_those_read_carefully(pairs: list[tuple[str, Any]]) -> None:
    raw = json.dumps(encode_attributes(pairs)).encode()
    node = SpanNode("", "1", None, "x", 1, own=raw)
    assert node.unkept_attributes() == node.attributes == decode_attributes(json.loads(raw))
