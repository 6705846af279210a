"""Attributes in OTLP's JSON encoding, both ways."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from otel_untether.store.otlp_values import decode, decode_attributes, encode, moment

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Compare values of which some may be NaN."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)


@given(VALUES)
def test_what_is_encoded_is_decoded_again(value: Any) -> None:
    assert same(decode(json.loads(json.dumps(encode(value)))), value)


@given(VALUES)
def test_what_is_encoded_is_an_any_value_of_otlp(value: Any) -> None:
    json_format.ParseDict(encode(value), AnyValue())


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_nothing_that_json_can_hold_breaks_a_reader(document: Any) -> None:
    decode(document)
    decode_attributes(document)
    moment(document)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (True, {"boolValue": True}),
        (12, {"intValue": "12"}),
        (2**63, {"stringValue": "9223372036854775808"}),
        (math.inf, {"doubleValue": "Infinity"}),
        (b"\x00a", {"bytesValue": "AGE="}),
        ({"k": [1]}, {"kvlistValue": {"values": [
            {"key": "k", "value": {"arrayValue": {"values": [{"intValue": "1"}]}}}]}}),
        (None, {}),
        (1j, {"stringValue": "1j"}),
    ],
)  # fmt: skip
def test_each_kind_of_value_has_its_own_field(value: Any, encoded: dict[str, Any]) -> None:
    assert encode(value) == encoded


@pytest.mark.parametrize("content", ["-1", 0, "x", None, [], {}, 2**63, "9" * 5000, 1e400])
def test_what_is_no_time_is_none(content: Any) -> None:
    assert moment(content) is None


def test_a_moment_may_be_a_string_or_a_number() -> None:
    assert moment("1795381598123456789") == moment(1795381598123456789) == 1795381598123456789
