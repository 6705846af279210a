"""A receiver of alerts: what Alertmanager tells whom."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Receiver:
    """Notifications as they came, newest last; `url` is what to tell them to."""

    url: str
    notifications: list[dict[str, Any]] = field(default_factory=list)

    def told(self, alert: str, status: str = "firing") -> list[dict[str, Any]]:
        """Return the notifications of an alert that say that it fires, or is resolved."""
        return [
            each
            for each in self.notifications
            if each["groupLabels"]["alertname"] == alert and each["status"] == status
        ]

    def names(self) -> set[str]:
        """Return the alerts it was told of, but for the one that always fires."""
        names = {each["groupLabels"]["alertname"] for each in self.notifications}
        return names - {"UntetherDeadMansSwitch"}


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on loopback as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.notifications.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
