"""Nothing an agent prints may raise, and whatever is said can be carried on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.engines import registry
from otel_untether.session.events import Event
from tests.unit.engines.recordings import lines, objects, streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Decode = Callable[[bytes, int], tuple[Event, ...]]

DECODED = tuple(engine.name for engine in registry.engines() if engine.understood)
NAMES = (*DECODED, "unknown")
REAL = [line for name in DECODED for path in streams(name) for line in lines(path)]
OBJECTS = [plain for name in DECODED for path in streams(name) for plain in objects(path)]
SHORT = [line for line in REAL if len(line) < 1500]

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def check(line: bytes) -> None:
    """Decode with every engine; events must survive being written as JSON."""
    for name in NAMES:
        for event in registry.get(name).decode(line, 1):
            assert isinstance(event, Event)
            msgspec.json.encode(event)
    registry.detect_line(line)


@given(st.binary(max_size=300))
def test_random_bytes(line: bytes) -> None:
    check(line)


@given(any_json)
def test_random_json(value: Any) -> None:
    check(json.dumps(value).encode())


@given(st.sampled_from(SHORT), st.data())
def test_real_lines_with_bytes_changed(line: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(start, min(len(line), start + 20)))
    check(line[:start] + data.draw(st.binary(max_size=8)) + line[end:])


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in `value` something could be put in place of what is there."""
    members: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict | list):
        members = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(deeper for key, member in members for deeper in paths(member, (*path, key)))]


@given(st.sampled_from(OBJECTS), any_json, st.data())
def test_real_lines_with_a_member_replaced(line: Any, value: Any, data: st.DataObject) -> None:
    line = json.loads(json.dumps(line))
    *way, last = data.draw(st.sampled_from(paths(line)[1:]))
    target = line
    for key in way:
        target = target[key]
    target[last] = value
    check(json.dumps(line).encode())


@pytest.mark.parametrize("name", DECODED)
@given(
    known=st.sampled_from(OBJECTS), junk=st.dictionaries(st.text(max_size=5), any_json, max_size=3)
)
def test_members_nobody_knows_change_nothing(
    name: str, known: dict[str, Any], junk: dict[str, Any]
) -> None:
    decode = registry.get(name).decode
    more = {f"x-{key}": value for key, value in junk.items()}
    finite = json.loads(json.dumps(more), parse_constant=lambda _: None)
    line = json.dumps({**finite, **known}).encode()
    assert decode(line, 1) == decode(json.dumps(known).encode(), 1)
