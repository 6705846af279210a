"""A stream without copies, as nobody reads it or the observer is far behind.

The kernel moves it, and only its bytes are counted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.processes.supervisor.test_relay import Link, make_relay

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from otel_untether.supervisor.relay import Relay

DATA = random.Random(3).randbytes(3_000_000)


class Stream:
    """A relay to `target` without copies, and the agent's end of its pipe.

    Either none is wanted, or the observer takes none of those that are.
    """

    def __init__(self, target: int, *, wanted: bool = False) -> None:
        self.link = Link()
        self.relay, self.sink, self._staying = make_relay(target, self.link)
        if not wanted:
            self.link.reader.leave_unread()
        self.relay.start()

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.sink, rest) :]

    def end(self) -> Relay:
        os.close(self.sink)
        self.relay.join(60)
        assert not self.relay.is_alive()
        for fd in (self._staying, self.relay._leaving):
            os.close(fd)
        self.copied = sum(len(chunk) for chunk in self.link.copies() if chunk is not None)
        self.link.close()
        return self.relay


def pipe() -> tuple[int, int]:
    return os.pipe()


def sockets() -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


@pytest.mark.parametrize("connect", [pipe, sockets])
@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
def test_every_byte_arrives(
    connect: Callable[[], tuple[int, int]], *, blocking: bool, wanted: bool
) -> None:
    """Also where the consumer made its end non-blocking, which ours is then, too (a socket's)."""
    read, write = connect()
    os.set_blocking(write, blocking)
    received: list[bytes] = []

    def consume() -> None:
        while chunk := os.read(read, 1 << 16):
            received.append(chunk)

    consumer = threading.Thread(target=consume)
    consumer.start()
    stream = Stream(write, wanted=wanted)
    stream.write(DATA)
    relay = stream.end()
    os.close(write)
    consumer.join()
    os.close(read)
    assert hashlib.sha256(b"".join(received)).digest() == hashlib.sha256(DATA).digest()
    copied = stream.copied
    assert stream.link.reader.uncopied == len(DATA) - copied
    # What was wanted, and is missing, is to be told.
    assert relay.uncopied == (len(DATA) - copied if wanted else 0)
    assert wanted == (copied > 0)


@pytest.mark.parametrize("flags", [0, os.O_APPEND])
def test_a_file_gets_every_byte(tmp_path: Path, flags: int) -> None:
    """splice(2) refuses a file opened for appending; then we write."""
    path = tmp_path / "out"
    path.write_bytes(b"before ")
    target = os.open(path, os.O_WRONLY | flags)
    os.lseek(target, 0, os.SEEK_END)
    stream = Stream(target)
    stream.write(DATA)
    stream.end()
    os.close(target)
    assert path.read_bytes() == b"before " + DATA
    assert stream.link.reader.uncopied == len(DATA)


def test_a_write_under_way_is_dated() -> None:
    read, write = os.pipe()
    stream = Stream(write)
    for _ in range(5):  # of which the consumer's pipe holds four
        stream.write(bytes(65536))
    deadline = time.monotonic() + 5
    while stream.link.reader.writing_since is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stream.link.reader.writing_since is not None
    received = 0
    while received < 5 * 65536:
        received += len(os.read(read, 65536))
    stream.end()
    assert stream.link.reader.writing_since is None
    for fd in (read, write):
        os.close(fd)


def test_a_consumer_that_is_gone_ends_the_stream() -> None:
    read, write = os.pipe()
    stream = Stream(write)
    stream.write(b"one\n")
    assert os.read(read, 10) == b"one\n"
    os.close(read)
    with pytest.raises(BrokenPipeError):
        stream.write(bytes(10_000_000))
    stream.end()
    os.close(write)


def test_what_was_being_read_goes_on_unread() -> None:
    """The observer decides in mid-stream; not a byte is lost or told twice."""
    read, write = os.pipe()
    link = Link()
    relay, sink, staying = make_relay(write, link)
    relay.start()
    os.write(sink, b"read")
    assert os.read(read, 10) == b"read"
    assert select.select([link.inbox], [], [], 5)[0]
    link.reader.leave_unread()
    os.write(sink, b"unread")
    assert os.read(read, 10) == b"unread"
    os.close(sink)
    relay.join(60)
    for fd in (read, write, staying, relay._leaving):
        os.close(fd)
    assert (link.copies(), link.reader.uncopied) == ([b"read"], 6)
    link.close()


def test_what_was_skipped_before_is_not_missed_but_counted() -> None:
    link = Link()
    link.put(bytes(2_000_000))
    link.reader.leave_unread()
    link.put(bytes(500), at=2)
    assert (link.reader.uncopied, link.reader.passed_at, link.writer.lost) == (2_000_500, 2, 0)
    link.close()


def test_two_writers_of_one_file_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """splice(2) takes the file's position without its lock; so a file is written."""
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    streams = [Stream(target), Stream(os.dup(target))]
    for number in range(20_000):
        streams[number % 2].write(b"%d\n" % (number % 2))
    for stream in streams:
        os.close(stream.end()._target)
    lines = (tmp_path / "out").read_bytes().splitlines()
    assert sorted(lines) == [b"0"] * 10_000 + [b"1"] * 10_000


def test_the_end_is_noticed_while_the_consumer_s_pipe_is_full() -> None:
    """splice(2) sees the full pipe first, and would say so for ever."""
    read, write = os.pipe()
    stream = Stream(write)
    for _ in range(16):  # a page each, which is what a pipe counts
        stream.write(bytes(4096))
        time.sleep(0.02)
    began, cpu = time.monotonic(), time.process_time()
    stream.end()
    assert time.monotonic() - began < 9
    assert time.process_time() - cpu < 0.5
    for fd in (read, write):
        os.close(fd)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="Linux")
@pytest.mark.parametrize(("size", "sent", "then"), [(64, 3, 256), (1024, 3, 1024), (64, 0, 64)])
def test_a_flood_enlarges_the_consumer_s_pipe_and_never_shrinks_it(
    size: int, sent: int, then: int
) -> None:
    """In KB, of MB that were sent; what says little leaves it alone."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, size * 1024)
    received: list[int] = []

    def consume() -> None:
        while chunk := os.read(read, 1 << 16):
            received.append(len(chunk))

    consumer = threading.Thread(target=consume)
    consumer.start()
    stream = Stream(write)
    stream.write(b"a line\n")
    stream.write(bytes(sent * 1_000_000))
    stream.end()
    held = fcntl.fcntl(write, fcntl.F_GETPIPE_SZ)
    os.close(write)
    consumer.join()
    os.close(read)
    assert (sum(received), held) == (sent * 1_000_000 + 7, then * 1024)


def test_a_flood_ends_though_its_last_bytes_stay_in_the_consumer_s_pipe() -> None:
    """To wait for room is for what is still to be forwarded: the agent ends without that, too."""
    read, write = os.pipe()
    stream = Stream(write)
    data = DATA[: 700 * 4096]  # pages, which is what a pipe counts: the last 64 fill it

    def consume() -> None:
        left = len(data) - 256 * 1024
        while left:
            left -= len(os.read(read, min(left, 1 << 16)))

    consumer = threading.Thread(target=consume)
    consumer.start()
    stream.write(data)
    consumer.join()
    stream.end()
    assert stream.link.reader.uncopied == len(data)
    for fd in (read, write):
        os.close(fd)
