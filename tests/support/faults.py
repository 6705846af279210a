"""OTLP receivers on loopback that go wrong, each in one way, and know what they really kept."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc

from otel_untether.export.answers import RESPONSES
from tests.support.otlp_receiver import REQUESTS, read_request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROTOBUF = "application/x-protobuf"
TOKEN = "Bearer TOPSECRET"
# What a hostile server may want a terminal to do: a title, a cleared screen, an override.
ESCAPES = "\x1b]0;PWNED\x07\x1b[2J\u202e"


@dataclass
class Kept:
    """What a receiver kept, by signal, and who else was asked for what, with which headers."""

    url: str = ""
    spans: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    points: int = 0
    requests: int = 0
    elsewhere: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def keep(self, signal: str, request: Any, *, but: int = 0) -> int:
        """Keep a request but for its first items; return how many were left out."""
        items = list(items_of(signal, request))
        but = min(but, len(items))
        if signal == "traces":
            self.spans += [span.span_id.hex() for span in items[but:]]
        elif signal == "logs":
            self.logs += [f"{log.time_unix_nano}.{log.event_name}" for log in items[but:]]
        else:
            self.points += len(items) - but
        return but


def items_of(signal: str, request: Any) -> Iterator[Any]:
    """Yield the spans, log records or metrics of a request."""
    lists = {
        "traces": ("resource_spans", "scope_spans", "spans"),
        "logs": ("resource_logs", "scope_logs", "log_records"),
        "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    }
    resources, scopes, items = lists[signal]
    for resource in getattr(request, resources):
        for scope in getattr(resource, scopes):
            yield from getattr(scope, items)


@dataclass(frozen=True)
class Answer:
    """What a receiver says over HTTP. `keep` is whether it keeps what it was sent, `but` how
    many items of each request it throws away and says so; `raw` bytes replace the whole answer,
    `drip` sends the body a byte a second, `reset` breaks the connection off instead.
    """

    status: int = 200
    kind: str | None = PROTOBUF
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    keep: bool = False
    but: int = 0
    raw: bytes | None = None
    drip: bool = False
    reset: bool = False
    endless: bool = False


HTML = b"<html><title>" + ESCAPES.encode() + b"</title>Sign in</html>"
HTTP_FAULTS: dict[str, Answer] = {
    "301": Answer(301, "text/html", HTML, (("Location", "{elsewhere}/login"),)),
    "302": Answer(302, "text/html", HTML, (("Location", "{elsewhere}/login"),)),
    "307": Answer(307, "text/html", HTML, (("Location", "{elsewhere}/v1/traces"),)),
    "200 text/html": Answer(200, "text/html; charset=utf-8", HTML),
    "200 text/plain": Answer(200, "text/plain", b"ok"),
    "200 garbage": Answer(200, PROTOBUF, b"\xff\xfe\xfd\xfc" * 8),
    "200 a JSON error": Answer(200, "application/json", b'{"error": "unauthorized"}'),
    "200 endless": Answer(200, PROTOBUF, endless=True),
    "400": Answer(400, "text/plain", ESCAPES.encode()),
    "401": Answer(401, "text/plain", b"no"),
    "404": Answer(404, "text/html", HTML),
    "413": Answer(413),
    "429": Answer(429, headers=(("Retry-After", "30"),)),
    "500": Answer(500, "text/plain", ESCAPES.encode()),
    "503": Answer(503, headers=(("Retry-After", "30"),)),
    "1 byte/s": Answer(200, PROTOBUF, b"\x0a" + b"x" * 100, drip=True),
    "reset": Answer(reset=True),
    "not HTTP": Answer(raw=ESCAPES.encode() + b"\r\n\r\n"),
    "partly refused": Answer(keep=True, but=2),
    "all refused": Answer(keep=True, but=1_000_000),
    "taken": Answer(keep=True),
    "taken, no type": Answer(kind=None, keep=True),
    "taken, JSON": Answer(200, "application/json", b"{}", keep=True),
}


class _Server(ThreadingHTTPServer):
    """Serves one answer; `elsewhere` is where its redirects point to."""

    daemon_threads = True
    block_on_close = False
    answer: Answer
    kept: Kept
    elsewhere = ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients that go away are part of the tests."""


class _Elsewhere(BaseHTTPRequestHandler):
    """Where a redirect leads: a login page, which notes who comes, with what."""

    server: _Server

    def do_GET(self) -> None:
        self.server.kept.elsewhere.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        """Print nothing."""


class _Faulty(_Elsewhere):
    """A receiver that goes wrong."""

    def do_POST(self) -> None:
        answer, kept = self.server.answer, self.server.kept
        signal, request = read_request(self)
        kept.requests += 1
        out = kept.keep(signal, request, but=answer.but) if answer.keep else 0
        with contextlib.suppress(OSError):
            self.say(answer, _response(signal, out) if out else answer.body)

    def say(self, answer: Answer, body: bytes) -> None:
        """Answer, or do what the receiver does instead."""
        if answer.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
        else:
            self.head(answer, len(body))
            self.pour(answer, body)

    def head(self, answer: Answer, length: int) -> None:
        """Send the status and the headers."""
        self.send_response(answer.status)
        if answer.kind:
            self.send_header("Content-Type", answer.kind)
        for name, value in answer.headers:
            self.send_header(name, value.format(elsewhere=self.server.elsewhere))
        if not answer.endless:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def pour(self, answer: Answer, body: bytes) -> None:
        """Send the content."""
        while answer.endless:
            self.wfile.write(b"\0" * 65536)
        step = 1 if answer.drip else max(1, len(body))
        for at in range(0, len(body), step):
            self.wfile.write(body[at : at + step])
            if answer.drip and self.server.kept.released.wait(1):
                return


@contextlib.contextmanager
def http_fault(answer: Answer, certificate: Path | None = None) -> Iterator[Kept]:
    """Serve OTLP over HTTP with that answer; with a certificate over TLS."""
    kept = Kept()
    with _serving(_Elsewhere, kept) as other, _serving(_Faulty, kept, certificate) as server:
        server.answer = answer
        server.elsewhere = f"http://127.0.0.1:{other.server_address[1]}"
        scheme = "https" if certificate else "http"
        kept.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        try:
            yield kept
        finally:
            kept.released.set()


@contextlib.contextmanager
def _serving(
    handler: type[_Elsewhere], kept: Kept, certificate: Path | None = None
) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), handler) as server:
        server.kept = kept
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _response(signal: str, rejected: int) -> bytes:
    response: Any = RESPONSES[signal]()  # type: ignore[index]
    names = {
        "traces": "rejected_spans",
        "logs": "rejected_log_records",
        "metrics": "rejected_data_points",
    }
    setattr(response.partial_success, names[signal], rejected)
    response.partial_success.error_message = f"too {ESCAPES} odd"
    data: bytes = response.SerializeToString()
    return data


@dataclass(frozen=True)
class Call:
    """What a receiver does over gRPC: a status, or a response of bytes."""

    code: grpc.StatusCode | None = None
    raw: bytes | None = None
    keep: bool = False
    but: int = 0
    hang: bool = False


GRPC_FAULTS: dict[str, Call] = {
    "UNAVAILABLE": Call(grpc.StatusCode.UNAVAILABLE),
    "RESOURCE_EXHAUSTED": Call(grpc.StatusCode.RESOURCE_EXHAUSTED),
    "INVALID_ARGUMENT": Call(grpc.StatusCode.INVALID_ARGUMENT),
    "UNAUTHENTICATED": Call(grpc.StatusCode.UNAUTHENTICATED),
    "UNIMPLEMENTED": Call(grpc.StatusCode.UNIMPLEMENTED),
    "INTERNAL": Call(grpc.StatusCode.INTERNAL),
    "garbage": Call(raw=b"\xff\xfe\xfd"),
    "hang": Call(hang=True),
    "partly refused": Call(keep=True, but=2),
    "all refused": Call(keep=True, but=1_000_000),
    "taken": Call(keep=True),
}


@contextlib.contextmanager
def grpc_fault(call: Call) -> Iterator[Kept]:
    """Serve OTLP over gRPC, and do that with each call."""
    kept = Kept()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    for signal in REQUESTS:
        server.add_generic_rpc_handlers((_grpc_handler(signal, call, kept),))
    kept.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield kept
    finally:
        kept.released.set()
        server.stop(0).wait()


def _grpc_handler(signal: str, call: Call, kept: Kept) -> Any:
    type_ = REQUESTS[signal]
    package = type_.DESCRIPTOR.full_name.rpartition(".")[0]
    service = {"traces": "Trace", "logs": "Logs", "metrics": "Metrics"}[signal]

    def export(request: Any, context: Any) -> bytes:
        kept.requests += 1
        if call.hang:
            kept.released.wait()
        if call.code is not None:
            # Metadata must be ASCII; gRPC escapes the rest.
            context.abort(call.code, f"no {ESCAPES}")
        if call.raw is not None:
            return call.raw
        out = kept.keep(signal, request, but=call.but) if call.keep else 0
        return _response(signal, out) if out else b""

    handler: Any = grpc.unary_unary_rpc_method_handler(
        export, request_deserializer=type_.FromString
    )
    return grpc.method_handlers_generic_handler(f"{package}.{service}Service", {"Export": handler})


def self_signed(folder: Path) -> Path:
    """Make a certificate that nobody has reason to trust."""
    path = folder / "self-signed.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1 "
        f"-keyout {path.name} -out {path.name}.crt".split(),
        cwd=folder,
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (folder / "self-signed.pem.crt").read_bytes())
    return path


def hanging() -> contextlib.AbstractContextManager[Kept]:
    """Accept connections and never answer."""
    return _silent(listening=True)


def refusing() -> contextlib.AbstractContextManager[Kept]:
    """Be an address at which nobody listens, and nobody else will."""
    return _silent(listening=False)


@contextlib.contextmanager
def _silent(*, listening: bool) -> Iterator[Kept]:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if listening:
            place.listen(64)
        yield Kept(f"http://127.0.0.1:{place.getsockname()[1]}")
