"""States that real agents freeze in, entered on purpose and never left."""

from __future__ import annotations

import socket
import threading
import uuid
from typing import TYPE_CHECKING, Final

from otel_untether.demo.voice import bash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.demo.voice import Voice


def wedged(_: Voice) -> None:
    """Block on a lock: no socket, no child, no CPU."""
    lock = threading.Lock()
    with lock:
        lock.acquire()


def model(_: Voice) -> None:
    """Ask an endpoint that never answers: one connection, established and silent.

    Nobody accepts the connection: the kernel establishes it all the same, and its other end
    belongs to no process, as a remote one would.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: scripted-demo\r\n\r\n")
        connection.recv(1)


def spin(_: Voice) -> None:
    """Burn one core and say nothing."""
    while True:
        pass


def tool(main: Voice) -> None:
    """Call a command that never returns."""
    wait = bash("exec sleep 3600", "Wait for ever")
    main.say(wait)
    main.bash(wait)


def approval(main: Voice) -> None:
    """Ask for a permission on the control protocol and take no answer."""
    ask = bash("uname -a", "Ask first")
    main.say(ask)
    request = {
        "subtype": "can_use_tool",
        "tool_name": ask["name"],
        "display_name": ask["name"],
        "input": ask["input"],
        "tool_use_id": ask["id"],
    }
    line = {"type": "control_request", "request_id": str(uuid.uuid4()), "request": request}
    main.session.write(line)
    threading.Event().wait()


FREEZES: Final[Mapping[str, Callable[[Voice], None]]] = {
    "wedged": wedged,
    "model": model,
    "spin": spin,
    "tool": tool,
    "approval": approval,
}
