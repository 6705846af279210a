"""Asking the kernel about sockets over netlink (sock_diag(7)): one request, many messages."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

_NETLINK_SOCK_DIAG: Final = 4
_REQUEST: Final = 0x1  # NLM_F_REQUEST
_REQUEST_DUMP: Final = 0x301  # with NLM_F_DUMP
_ERROR: Final = 2
_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_TIMEOUT: Final = 1.0
_BUFFER: Final = 1 << 16


def dump(kind: int, body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Send a dump request of a message type and yield where each answer lies: (data, from, to).

    Raises OSError where netlink or the kernel's module for it is not to be had.
    """
    with _netlink() as netlink:
        netlink.send(_message(kind, _REQUEST_DUMP, body))
        done = False
        while not done:
            done = yield from messages(netlink.recv(_BUFFER))


def ask(kind: int, bodies: Sequence[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Send requests for one thing each, all at once, and yield where each answer lies.

    Raises OSError as `dump` does, and where there is no such thing.
    """
    with _netlink() as netlink:
        netlink.send(b"".join(_message(kind, _REQUEST, body) for body in bodies))
        for _ in bodies:
            yield from messages(netlink.recv(_BUFFER))


def _netlink() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    netlink = socket.socket(socket.AF_NETLINK, kind, _NETLINK_SOCK_DIAG)
    netlink.settimeout(_TIMEOUT)
    return netlink


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def messages(data: bytes) -> Generator[tuple[bytes, int, int], None, bool]:
    """Yield where each message of a datagram lies; returns whether it was the last datagram."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, at)
        payload = at + _HEADER.size
        if kind == _DONE:
            return True
        if kind == _ERROR:
            code = -struct.unpack_from("=i", data, payload)[0] or errno.EIO
            raise OSError(code, f"sock_diag: {os.strerror(code)}")
        yield data, payload, at + length
        at += max((length + 3) & ~3, _HEADER.size)
    return False


def attributes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the attributes between two offsets: (type, from, to)."""
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        yield kind, at + _ATTRIBUTE.size, min(at + length, end)
        at += max((length + 3) & ~3, _ATTRIBUTE.size)
