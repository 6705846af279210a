"""The other ends of the zoo's connections, in a process of their own.

`python peers.py FOLDER` prints a line of JSON: for each kind its port, or path. It ends with its
standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

_HOST = "127.0.0.1"
_HELD: list[object] = []


async def silent(reader: StreamReader, _writer: StreamWriter) -> None:
    """Take all and say nothing."""
    while await reader.read(65536):
        pass


async def begun(reader: StreamReader, writer: StreamWriter) -> None:
    """Begin an answer and fall silent."""
    await reader.read(65536)
    writer.write(bytes(400))
    await silent(reader, writer)


async def pinging(reader: StreamReader, writer: StreamWriter) -> None:
    """Send keep-alives: a byte now and then."""
    await reader.read(65536)
    await _forever(writer, bytes(2), 0.05)


async def streaming(reader: StreamReader, writer: StreamWriter) -> None:
    """Send an answer that does not end, some 40 kB/s."""
    await reader.read(65536)
    await _forever(writer, bytes(800), 0.02)


async def closing(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer and close."""
    await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    writer.close()


async def deaf(_reader: StreamReader, writer: StreamWriter) -> None:
    """Read nothing."""
    _HELD.append(writer)
    writer.transport.pause_reading()  # type: ignore[attr-defined]


async def locked(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer as a web server that asks for a password."""
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=zoo\r\n"
    writer.write(head + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def _forever(writer: StreamWriter, chunk: bytes, pause: float) -> None:
    with contextlib.suppress(OSError):
        while not writer.is_closing():
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)


def refusing() -> int:
    """Return a port that is taken and on which nobody listens."""
    one = socket.socket()
    one.bind((_HOST, 0))
    _HELD.append(one)
    return int(one.getsockname()[1])


def full() -> int:
    """Return a port whose queue is full: attempts to connect are not answered."""
    server = socket.socket()
    server.bind((_HOST, 0))
    server.listen(0)
    _HELD.append(server)
    for _ in range(8):
        one = socket.socket()
        one.setblocking(False)  # noqa: FBT003
        one.connect_ex(server.getsockname())
        _HELD.append(one)
    return int(server.getsockname()[1])


def datagrams() -> int:
    """Return a port that takes datagrams."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((_HOST, 0))
    _HELD.append(one)
    return int(one.getsockname()[1])


async def main(folder: Path) -> None:
    """Serve until standard input ends."""
    talks = (silent, begun, pinging, streaming, closing, deaf, locked)
    places: dict[str, object] = {"refusing": refusing(), "full": full(), "udp": datagrams()}
    for talk in talks:
        server = await asyncio.start_server(talk, _HOST, 0, limit=2**16)
        _HELD.append(server)
        places[talk.__name__] = server.sockets[0].getsockname()[1]
    places["unix"] = str(folder / "model.sock")
    _HELD.append(await asyncio.start_unix_server(silent, folder / "model.sock"))
    print(json.dumps(places), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
