"""What an answer to an OTLP request means."""

from __future__ import annotations

from http.client import BadStatusLine, RemoteDisconnected
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_untether.export.answers import (
    MOST_READ,
    grpc_answer,
    grpc_failure,
    http_answer,
    http_failure,
)
from otel_untether.export.text import plain

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}
PLACE = "collector:4318"


def partial(rejected: int, message: str = "") -> ExportTraceServiceResponse:
    """Make a response that says so many spans were thrown away."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return response


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, PROTOBUF, b""),
        (200, PROTOBUF, partial(0).SerializeToString()),
        (200, JSON, b"{}"),
        (200, JSON, b'{"partialSuccess": {}}'),
        (200, {}, b""),
        (202, PROTOBUF, b""),
        (204, {}, b""),
    ],
)
def test_an_otlp_response_means_taken(status: int, headers: dict[str, str], body: bytes) -> None:
    """An empty message is one, and needs no content type."""
    answer = http_answer("traces", PLACE, status, headers, body)
    assert (answer.taken, answer.rejected, answer.reason) == (True, 0, "")


@pytest.mark.parametrize(
    ("status", "headers", "body", "fault"),
    [
        (200, {"Content-Type": "text/html"}, b"", "foreign"),
        (200, {"Content-Type": "text/html"}, b"<html>Sign in</html>", "foreign"),
        (200, {}, b"ok", "foreign"),
        (200, PROTOBUF, b"\xff\xff\xff", "foreign"),
        (200, PROTOBUF, b"\0" * MOST_READ, "foreign"),
        (200, JSON, b'{"error": "unauthorized"}', "foreign"),
        (200, JSON, b"[]", "foreign"),
        (200, JSON, b"{", "foreign"),
        (200, JSON, b'{"a":' * 5000, "foreign"),
        (301, PROTOBUF, b"", "foreign"),
        (302, PROTOBUF, b"", "foreign"),
        (304, PROTOBUF, b"", "foreign"),
        (400, PROTOBUF, b"", "data"),
        (413, PROTOBUF, b"", "data"),
        (422, PROTOBUF, b"", "data"),
        (401, PROTOBUF, b"", "denied"),
        (403, PROTOBUF, b"", "denied"),
        (404, PROTOBUF, b"", "denied"),
        (408, PROTOBUF, b"", "busy"),
        (429, PROTOBUF, b"", "busy"),
        (500, PROTOBUF, b"", "busy"),
        (503, PROTOBUF, b"", "busy"),
    ],
)
def test_all_else_is_not_taken(
    status: int, headers: dict[str, str], body: bytes, fault: str
) -> None:
    """And says who is to blame, and where."""
    answer = http_answer("traces", PLACE, status, headers, body)
    assert (answer.taken, answer.fault) == (False, fault)
    assert answer.reason.startswith(f"{PLACE} answered {status}")


def test_what_was_thrown_away_is_read() -> None:
    """How much, and why."""
    body = partial(3, "too old").SerializeToString()
    answer = http_answer("traces", PLACE, 200, PROTOBUF, body)
    assert (answer.taken, answer.rejected) == (True, 3)
    assert answer.reason == f"{PLACE} said: too old"


def test_in_json_too() -> None:
    """64-bit numbers are strings there."""
    body = b'{"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}}'
    assert http_answer("traces", PLACE, 200, JSON, body).rejected == 3


def test_a_warning_that_rejects_nothing_is_handed_on() -> None:
    """OTLP has servers say so in the same place."""
    body = partial(0, "slow down").SerializeToString()
    answer = http_answer("traces", PLACE, 200, PROTOBUF, body)
    assert (answer.rejected, answer.reason) == (0, f"{PLACE} said: slow down")


def test_a_negative_number_of_rejected_items_is_none() -> None:
    """The field is signed."""
    body = partial(-5).SerializeToString()
    assert http_answer("traces", PLACE, 200, PROTOBUF, body).rejected == 0


def test_a_response_over_grpc_is_read_the_same_way() -> None:
    """Its type is known there."""
    assert grpc_answer("traces", PLACE, partial(2)).rejected == 2
    assert grpc_answer("traces", PLACE, ExportTraceServiceResponse()).taken
    assert grpc_answer("traces", PLACE, ExportLogsServiceResponse()).fault == "foreign"


@pytest.mark.parametrize(
    ("code", "details", "fault"),
    [
        ("INVALID_ARGUMENT", "", "data"),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (5 vs. 4)", "data"),
        ("RESOURCE_EXHAUSTED", "slow down", "busy"),
        ("UNAUTHENTICATED", "", "denied"),
        ("UNIMPLEMENTED", "", "denied"),
        ("UNAVAILABLE", "", "unreachable"),
        ("DEADLINE_EXCEEDED", "", "unreachable"),
        ("INTERNAL", "", "busy"),
    ],
)
def test_a_grpc_status_says_whose_fault_it_is(code: str, details: str, fault: str) -> None:
    """As over HTTP."""
    answer = grpc_failure(PLACE, code, details)
    assert answer.fault == fault
    assert code in answer.reason


@pytest.mark.parametrize(
    ("error", "fault", "said"),
    [
        (BadStatusLine("\0\0\x18\x04\0\0\0"), "protocol", "port for gRPC"),
        (BadStatusLine("\x15\x03\x01\0\x02\x02F"), "protocol", "https?"),
        (BadStatusLine("SSH-2.0-OpenSSH_9"), "unreachable", "SSH-2.0"),
        (RemoteDisconnected("closed"), "unreachable", "closed"),
        (OSError("refused"), "unreachable", "refused"),
    ],
)
def test_what_is_no_http_may_be_the_other_protocol(error: Exception, fault: str, said: str) -> None:
    """Only that is no fault of a place: a first try that met no HTTP may be followed by another."""
    answer = http_failure(PLACE, error, str(error))
    assert answer.fault == fault
    assert said in answer.reason


@given(
    status=st.integers(100, 599),
    kind=st.none() | st.text(max_size=30) | st.sampled_from([*PROTOBUF.values(), *JSON.values()]),
    body=st.binary(max_size=200),
)
def test_any_answer_is_judged(status: int, kind: str | None, body: bytes) -> None:
    """Nothing raises, only 2xx can be taken, and no reason steers a terminal."""
    headers: dict[str, Any] = {} if kind is None else {"Content-Type": kind}
    answer = http_answer("traces", PLACE, status, headers, body)
    assert not answer.taken or 200 <= status < 300
    assert answer.taken or answer.reason
    assert answer.reason.isprintable()


@given(st.text())
def test_text_from_outside_is_one_short_line_that_can_be_shown(text: str) -> None:
    """Escape sequences and overrides become replacement characters."""
    assert plain(text).isprintable()
    assert len(plain(text)) <= 201


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({}, ""),
        ({"Retry-After": "30"}, ", to be asked again in 30 s"),
        ({"retry-after": " 1 "}, ", to be asked again in 1 s"),
        ({"Retry-After": "Fri, 27 Nov 2026 23:00:00 GMT"}, ", to be asked again later"),
        ({"Retry-After": "\x1b[2J"}, ", to be asked again later"),
        ({"Retry-After": "9" * 5000}, ", to be asked again later"),
    ],
)
def test_who_is_busy_may_ask_for_patience(header: dict[str, str], said: str) -> None:
    """In our words: what a server says is never shown as it came."""
    for status in (429, 503):
        assert http_answer("traces", "here", status, header, b"").reason == (
            f"here answered {status}{said}"
        )
