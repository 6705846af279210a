"""What we say to the operator: one line on standard error, or nothing at all."""

from __future__ import annotations

import os
import select

# A reader of stderr that stopped reading must not hold up the exit.
_WRITABLE_MS = 200


def notice(message: str) -> None:
    """Write one line to stderr, prefixed with our name."""
    say(f"otel-untether: {message}")


def say(line: str) -> None:
    """Write one line to stderr as it is; a stderr that is closed or stuck loses it."""
    data = (" ".join(line.splitlines()) + "\n").encode(errors="backslashreplace")
    try:
        if _writable(2):
            os.write(2, data)
    except OSError:
        pass


def _writable(fd: int) -> bool:
    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(_WRITABLE_MS))
