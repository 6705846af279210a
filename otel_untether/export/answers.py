"""What the answer to an OTLP request means: only an OTLP response says that it was taken.

    200, application/x-protobuf, ExportTraceServiceResponse     taken
    200, no content type, no content                            taken: an empty message is one
    200 with partial_success {rejected_spans: 3}                taken but for 3, and never again
    200, text/html; 204 with a form; 301, 302, 307              a login page, a proxy: not taken
    400, 413, 422, INVALID_ARGUMENT                             this very request is refused
    401, 403, 404, UNIMPLEMENTED, …                             no request of ours is taken here
    408, 429, 502, 503, 504, UNAVAILABLE, …                     not now
    500 and what else there is                                  not now, as far as we know

https://opentelemetry.io/docs/specs/otlp/#otlphttp-response has the rules. What a server says is
never handed on as it came: control characters are taken out, and it is cut.
"""

from __future__ import annotations

from http.client import BadStatusLine
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from otel_untether.export.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.export.environment import Signal

# Why something was not taken: this very request, no request of ours, nobody there who speaks
# OTLP, not now, nobody there at all, or somebody who speaks the other protocol.
Fault: TypeAlias = Literal["data", "denied", "foreign", "busy", "unreachable", "protocol"]

# What is read of an answer; an Export…Response is some bytes.
MOST_READ: Final = 1 << 16

RESPONSES: Final[Mapping[Signal, type[Any]]] = {
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
_REJECTED: Final[Mapping[Signal, str]] = {
    "traces": "rejected_spans",
    "logs": "rejected_log_records",
    "metrics": "rejected_data_points",
}
_DATA_HTTP: Final = frozenset({400, 413, 422})
# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes, and a request's timeout.
_BUSY_HTTP: Final = frozenset({408, 429, 502, 503, 504})
_MOST_DIGITS: Final = 6  # of a number of seconds that is one to wait
_DATA_GRPC: Final = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE"})
_DENIED_GRPC: Final = frozenset(
    {"UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION"}
)


class Answer(NamedTuple):
    """What became of a request.

    `rejected` is how many of its items the collector took and threw away. `reason` says in one
    line, for people, why not all of it was kept; it is empty where all was.
    """

    fault: Fault | None = None
    rejected: int = 0
    reason: str = ""

    @property
    def taken(self) -> bool:
        """Whether a collector has it, but for what it rejected: it must not be sent again."""
        return self.fault is None


def http_answer(
    signal: Signal, place: str, status: int, headers: Mapping[str, str], body: bytes
) -> Answer:
    """Judge an HTTP response to an export; `place` is host and port, for the reason."""
    said = f"{place} answered {status}"
    if 200 <= status < 300:
        kind = _content_type(headers)
        try:
            return _accepted(signal, place, _decode(signal, kind, body))
        except ValueError as error:
            return Answer("foreign", reason=f"{said}, but with {error}")
    if 300 <= status < 400:
        return Answer("foreign", reason=f"{said}: redirects are not followed")
    if status in _DATA_HTTP:
        return Answer("data", reason=said)
    if status < 500 and status not in _BUSY_HTTP:
        return Answer("denied", reason=said)
    return Answer("busy", reason=said + _patience(headers))


def _patience(headers: Mapping[str, str]) -> str:
    """Say when a server that is busy wants to be asked again, where it says so."""
    wanted = _header(headers, "retry-after")
    if wanted.isascii() and wanted.isdecimal() and len(wanted) <= _MOST_DIGITS:
        return f", to be asked again in {int(wanted)} s"
    return ", to be asked again later" if wanted else ""


def http_failure(place: str, error: BaseException, said: str) -> Answer:
    """Judge an export over HTTP to which no response came; `said` is what the error says."""
    line = str(error.args[0]) if isinstance(error, BadStatusLine) and error.args else ""
    if line[:1] == "\0" and line[3:4] == "\4":  # SETTINGS of HTTP/2 (RFC 9113, 6.5)
        return Answer("protocol", reason=f"{place} speaks no HTTP/1: a port for gRPC, as 4317 is?")
    if line[:2] == "\x15\3":  # an alert of TLS (RFC 8446, 6)
        return Answer("protocol", reason=f"{place} speaks TLS: https?")
    return Answer("unreachable", reason=f"{place}: {said}")


def grpc_answer(signal: Signal, place: str, response: Any) -> Answer:
    """Judge a gRPC call that came back with a response."""
    if isinstance(response, RESPONSES[signal]):
        return _accepted(signal, place, response)
    return Answer("foreign", reason=f"{place} answered with no OTLP response")


def grpc_failure(place: str, code: str, details: str | None) -> Answer:
    """Judge a gRPC call that failed with a status code, given by name."""
    if details and ("parsing HTTP/2" in details or "ALPN" in details):
        said = f"{place} speaks no gRPC: a port for HTTP, as 4318 is? ({plain(details)})"
        return Answer("protocol", reason=said)
    reason = f"{place} answered {code}"
    if details:
        reason += f": {plain(details)}"
    if code in _DATA_GRPC or (code == "RESOURCE_EXHAUSTED" and "larger than max" in reason):
        return Answer("data", reason=reason)
    if code in _DENIED_GRPC:
        return Answer("denied", reason=reason)
    # Nobody there, or a peer that does not speak gRPC, is told by the same code.
    unreachable = code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    return Answer("unreachable" if unreachable else "busy", reason=reason)


def _content_type(headers: Mapping[str, str]) -> str:
    return _header(headers, "content-type").partition(";")[0].strip().lower()


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value.strip() for name, value in headers.items() if name.lower() == wanted), "")


def _decode(signal: Signal, kind: str, body: bytes) -> Any:
    """Read an Export…Response; raise ValueError, saying what it is instead."""
    response = RESPONSES[signal]()
    if len(body) >= MOST_READ:
        raise ValueError(f"{len(body):,} bytes or more, which is no OTLP response")
    try:
        # The parser would read an empty list as an empty message.
        if kind == "application/json" and body.lstrip()[:1] in (b"{", b""):
            return json_format.Parse(body or b"{}", response)
        if kind == "application/x-protobuf" or not (kind or body):
            response.ParseFromString(body)
            return response
    except (json_format.ParseError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{plain(kind)} that is no OTLP response") from error
    raise ValueError(f"{plain(kind) or 'no content type'} that is no OTLP response")


def _accepted(signal: Signal, place: str, response: Any) -> Answer:
    partial = response.partial_success
    rejected = max(0, getattr(partial, _REJECTED[signal]))
    said = f"{place} said: {plain(partial.error_message)}" if partial.error_message else ""
    return Answer(None, rejected, said)
