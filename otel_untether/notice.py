"""What we say to the operator: one line on standard error, or nothing at all."""

from __future__ import annotations

import os
import select

# A reader of stderr that stopped reading must not hold up the exit.
_WRITABLE_MS = 200


class Voice:
    """Where our lines go: `fd`, by default stderr.

    `muted` keeps us silent where stdout and stderr are one file, whose reader expects nothing
    but the agent's lines. `midline` says that the agent's last line there is unfinished, so that
    ours begins with a newline.
    """

    __slots__ = ("fd", "midline", "muted")

    def __init__(self) -> None:
        self.fd = 2
        self.muted = False
        self.midline = False


VOICE = Voice()


def notice(message: str) -> None:
    """Write one line to stderr, prefixed with our name."""
    say(f"otel-untether: {message}")


def say(line: str) -> None:
    """Write one line to stderr; a stderr that is closed or stuck loses it."""
    if VOICE.muted:
        return
    data = (printable(" ".join(line.splitlines())) + "\n").encode(errors="backslashreplace")
    try:
        if _writable(VOICE.fd):
            os.write(VOICE.fd, b"\n" + data if VOICE.midline else data)
            VOICE.midline = False
    except OSError:
        pass


def printable(text: str) -> str:
    r"""Return text that steers no terminal, whoever wrote it: an agent, a server, a file.

    Escape sequences, links, bidirectional overrides and their like need a character that is
    not printable; each becomes U+FFFD.

    >>> printable("done\x1b]8;;file:///etc/passwd\x07here")
    'done�]8;;file:///etc/passwd�here'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def why(error: BaseException) -> str:
    """Return what an error says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _writable(fd: int) -> bool:
    if not hasattr(select, "poll"):
        return True
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(_WRITABLE_MS))
