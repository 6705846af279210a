"""How long the end of a session is held up by a collector that is not there.

    python benchmarks/exit.py [--spans N] [--deadline S]

A process records spans, log records and metrics and shuts telemetry down, against a port that
refuses, one that accepts and never answers, one that answers 500, and none at all. Each is
timed from the last span to the end of the process, beside the same session with the SDK left
to itself. The exit status is 1 if a session of ours takes longer than 2 s.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Place = Callable[[], contextlib.AbstractContextManager[str | None]]

LIMIT = 2.0

# argv: folder, spans, deadline in s or "sdk".
SESSION = """
import os, pathlib, sys
from otel_untether.export import providers as telemetry
from otel_untether.store.runs import RunIdentity
folder, spans, deadline = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
started = telemetry.start(RunIdentity("bench"), run_dir=folder, environ=os.environ)
tracer = started.tracer_provider.get_tracer("bench")
started.meter_provider.get_meter("bench").create_counter("bench").add(1)
for number in range(spans):
    tracer.start_span(f"span {number}").end()
print("over", flush=True)
if deadline == "sdk":
    for provider in (started.tracer_provider, started.meter_provider, started.logger_provider):
        try:
            provider.shutdown()
        except Exception:
            pass
else:
    started.shutdown(float(deadline))
"""


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """Yield a URL at which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """Yield a URL that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class Failing(BaseHTTPRequestHandler):
    """Answers 500 to everything."""

    def do_POST(self) -> None:
        """Read and refuse."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing."""


@contextlib.contextmanager
def failing() -> Iterator[str]:
    """Yield a URL that answers 500."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Failing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextlib.contextmanager
def nowhere() -> Iterator[None]:
    """Yield no URL: telemetry stays in the folder."""
    yield None


def seconds_to_exit(url: str | None, protocol: str, spans: int, deadline: str) -> float:
    """Run a session and time it from its last span to its end."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    if url is not None:
        environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", SESSION, folder, str(spans), deadline]
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
            if process.stdout is None or process.stdout.readline() != b"over\n":
                sys.exit("the session did not start")
            before = time.perf_counter()
            process.wait()
            return time.perf_counter() - before


def main() -> int:
    """Print one row for each kind of collector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=600)
    parser.add_argument("--deadline", default="1.8", help="seconds (default: 1.8)")
    options = parser.parse_args()
    places: dict[str, Place] = {
        "none": nowhere,
        "refusing": refusing,
        "hanging": hanging,
        "failing": failing,
    }
    slow = False
    print(f"{'collector':<10} {'protocol':<14} {'ours':>8} {'SDK alone':>10}   limit {LIMIT:.1f} s")
    for name, place in places.items():
        for protocol in ("http/protobuf", "grpc") if name in ("refusing", "hanging") else ("",):
            with place() as url:
                ours = seconds_to_exit(url, protocol, options.spans, options.deadline)
                alone = seconds_to_exit(url, protocol, options.spans, "sdk")
            slow |= ours > LIMIT
            row = f"{name:<10} {protocol:<14} {ours:>6.2f} s {alone:>8.2f} s"
            print(row, "" if ours <= LIMIT else "  TOO SLOW", flush=True)
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
