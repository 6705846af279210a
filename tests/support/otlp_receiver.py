"""OTLP receivers on loopback: ones that take what they get, and ones that do not."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
_SERVICES = {"traces": "trace", "logs": "logs", "metrics": "metrics"}


@dataclass
class Receiver:
    """What arrived. `status` is answered to HTTP, `delay` (s) waited before any answer."""

    url: str = ""
    status: int = 200
    delay: float = 0.0
    requests: list[tuple[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def take(self, signal: str, request: Any, headers: dict[str, str]) -> None:
        """Note a request, unless it is one this receiver refuses."""
        self.released.wait(self.delay)
        self.headers.append(headers)
        if self.status == 200:
            self.requests.append((signal, request))

    def spans(self) -> list[Any]:
        """Return the spans taken, in order of arrival."""
        return [
            span
            for signal, request in list(self.requests)
            if signal == "traces"
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self) -> list[Any]:
        """Return the log records taken."""
        return [
            record
            for signal, request in list(self.requests)
            if signal == "logs"
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def metric_names(self) -> list[str]:
        """Return the names of the metrics taken, once for each time."""
        return [
            metric.name
            for signal, request in list(self.requests)
            if signal == "metrics"
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]


def read_request(handler: BaseHTTPRequestHandler) -> tuple[str, Any]:
    """Read an export request; return its signal, and the request, None where it is none."""
    body = _body(handler)
    if handler.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    signal = handler.path.rpartition("/")[2]
    if signal not in REQUESTS:
        return signal, None
    request = REQUESTS[signal]()
    if handler.headers["Content-Type"] == "application/json":
        json_format.Parse(body, request)
    else:
        request.ParseFromString(body)
    return signal, request


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    """Read what was sent, in one piece or, as JavaScript's exporters do, in chunks."""
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    chunks = []
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        chunks.append(handler.rfile.read(size))
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass
    return b"".join(chunks)


@contextlib.contextmanager
def http_receiver(status: int = 200, delay: float = 0.0) -> Iterator[Receiver]:
    """Serve OTLP over HTTP, protobuf and JSON."""
    receiver = Receiver(status=status, delay=delay)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            signal, request = read_request(self)
            receiver.take(signal, request, dict(self.headers))
            with contextlib.suppress(OSError):
                self.send_response(receiver.status)
                self.send_header("Content-Type", self.headers["Content-Type"])
                body = b"{}" if self.headers["Content-Type"] == "application/json" else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Print nothing: a client that gave up waiting is part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield receiver
        finally:
            receiver.released.set()
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def grpc_receiver(code: grpc.StatusCode | None = None, delay: float = 0.0) -> Iterator[Receiver]:
    """Serve OTLP over gRPC; with a code, refuse everything with it."""
    receiver = Receiver(delay=delay)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    for signal in REQUESTS:
        server.add_generic_rpc_handlers((_grpc_handler(signal, receiver, code),))
    receiver.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.stop(0).wait()


def _grpc_handler(signal: str, receiver: Receiver, code: grpc.StatusCode | None) -> Any:
    type_ = REQUESTS[signal]
    package = type_.DESCRIPTOR.full_name.rpartition(".")[0]

    def export(request: Any, context: Any) -> bytes:
        if code is not None:
            context.abort(code, "no")
        receiver.take(signal, request, dict(context.invocation_metadata()))
        return b""

    handler: Any = grpc.unary_unary_rpc_method_handler(
        export, request_deserializer=type_.FromString
    )
    service = f"{package}.{_SERVICES[signal].title()}Service"
    return grpc.method_handlers_generic_handler(service, {"Export": handler})


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """Yield a URL at which nobody listens, and nobody else will."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """Yield a URL that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def wait_until(condition: Any, timeout: float = 60.0) -> bool:
    """Wait until something holds; return whether it did in time."""
    until = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
