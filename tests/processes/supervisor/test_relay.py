from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_untether.clock import Clock
from otel_untether.supervisor import watcher
from otel_untether.supervisor.copies import (
    RECORD_BYTES,
    STDOUT_COPIED,
    CopyReader,
    CopyWriter,
    Records,
    open_ring,
    records,
)
from otel_untether.supervisor.relay import Relay
from otel_untether.supervisor.streams import STDOUT, Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Link:
    """A copy's two sides in one process, and the pipe of records between them."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.ring = open_ring(size)
        self.reader = CopyReader(self.ring)
        self.inbox, outbox = os.pipe()
        os.set_blocking(self.inbox, False)
        self.records = Records(outbox)
        self.writer = CopyWriter("stdout", self.ring, self.records)
        self._outbox = outbox

    def close(self) -> None:
        self.ring.close()
        os.close(self.inbox)
        os.close(self._outbox)

    def copies(self) -> list[bytes | None]:
        """Take what was copied: the chunks, None for a gap."""
        found: list[bytes | None] = []
        while True:
            try:
                data = os.read(self.inbox, RECORD_BYTES * 100)
            except BlockingIOError:
                return found
            for kind, position, size, _ in records(data):
                copied = kind == STDOUT_COPIED
                found.append(self.reader.take(position, size) if copied else None)

    def put(self, data: bytes, at: int = 1) -> bool:
        """Copy as the relay does; return whether there was room."""
        lost = self.writer.lost
        self.writer.put(memoryview(data), at)
        return self.writer.lost == lost


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link()
    yield made
    made.close()


def make_relay(target: int, link: Link, grace: float = 0.2) -> tuple[Relay, int, int]:
    """Return a relay to `target`, the agent's end of its pipe, and what to close to end it."""
    leaving, staying = os.pipe()
    outlet = Outlet((target, STDOUT), last=False)  # stdout by name, wherever it leads
    relay = Relay(outlet, link.writer, Clock(), leaving=leaving, grace=grace)
    return relay, outlet.sink, staying


def carried(chunks: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Send chunks through a relay; return what was delivered and what was copied."""
    link = Link(16 << 20)
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link)
    relay.start()
    delivered: list[bytes] = []
    copied: list[bytes | None] = []

    def consume() -> None:
        while chunk := os.read(read, 1 << 20):
            delivered.append(chunk)
            copied.extend(link.copies())

    consumer = threading.Thread(target=consume)
    consumer.start()
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(sink, rest) :]
    os.close(sink)
    relay.join()
    os.close(write)
    consumer.join()
    os.close(read)
    os.close(staying)
    os.close(relay._leaving)
    copied.extend(link.copies())
    link.close()
    return b"".join(delivered), b"".join(chunk or b"GAP" for chunk in copied)


@given(st.lists(st.binary(max_size=5000), max_size=20))
def test_any_bytes_in_any_chunks_come_out_the_same(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert carried(chunks) == (data, data)


def test_more_than_a_pipe_holds_comes_out_the_same() -> None:
    data = os.urandom(5_000_000)
    assert carried([data]) == (data, data)


def test_forwarding_comes_before_copying(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is with the consumer when the copy is made, however slow that is."""
    read, write = os.pipe()
    order: list[str] = []

    def put(writer: CopyWriter, chunk: memoryview, at: int) -> None:
        del writer, at
        order.append(f"{os.read(read, 100) == chunk}")

    monkeypatch.setattr(CopyWriter, "put", put)
    relay, sink, staying = make_relay(write, link)
    relay.start()
    os.write(sink, b"one")
    os.close(sink)
    relay.join()
    for fd in (read, write, staying, relay._leaving):
        os.close(fd)
    assert order == ["True"]


def test_a_write_under_way_is_dated(link: Link) -> None:
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link)
    relay.start()
    assert link.reader.writing_since is None
    for _ in range(5):  # of which the consumer's pipe holds four
        os.write(sink, bytes(65536))
    deadline = time.monotonic() + 5
    while link.reader.writing_since is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert link.reader.writing_since is not None
    os.close(sink)
    received = 0
    while received < 5 * 65536:
        received += len(os.read(read, 65536))
    relay.join()
    assert link.reader.writing_since is None
    for fd in (read, write, staying, relay._leaving):
        os.close(fd)


def test_a_held_pipe_is_left_after_the_grace_of_silence(link: Link) -> None:
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link, grace=0.1)
    relay.start()
    os.write(sink, b"last words")
    os.close(staying)
    relay.join(60)
    assert (relay.is_alive(), relay.held) == (False, True)
    assert os.read(read, 100) == b"last words"
    for fd in (read, write, sink, relay.outlet.source, relay._leaving):
        os.close(fd)


def test_a_grandchild_that_never_falls_silent_is_left_after_the_grace(link: Link) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    relay, sink, staying = make_relay(null, link, grace=0.3)
    relay.start()
    os.close(staying)
    began = time.monotonic()
    while relay.is_alive() and time.monotonic() < began + 30:
        os.write(sink, b"more\n")
    assert 0.25 < time.monotonic() - began < 20
    relay.join()
    assert relay.held
    for fd in (null, sink, relay.outlet.source, relay._leaving):
        os.close(fd)


def test_a_slow_consumer_does_not_stretch_the_grace(link: Link) -> None:
    """A burst may not go on past the agent's end, however much a grandchild writes."""
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link, grace=0.3)
    over = threading.Event()

    def flood() -> None:
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(sink, bytes(65536))

    def sip() -> None:
        while not over.wait(0.02) and os.read(read, 65536):
            pass

    threads = [threading.Thread(target=each) for each in (flood, sip)]
    relay.start()
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    os.close(staying)
    began = time.monotonic()
    relay.join(20)
    assert time.monotonic() - began < 15
    assert relay.held
    relay.outlet.close()  # what a flood gets where nobody carries it on
    over.set()
    os.close(write)
    for thread in threads:
        thread.join()
    for fd in (read, sink, relay._leaving):
        os.close(fd)


def test_a_named_pipe_may_lose_its_reader_and_find_another(link: Link, tmp_path: Path) -> None:
    """Only a write fails without a reader, and between two writes nobody need be there."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write = os.open(path, os.O_WRONLY)
    relay, sink, staying = make_relay(write, link)
    relay.start()
    os.close(first)
    time.sleep(0.1)
    second = os.open(path, os.O_RDONLY)
    os.write(sink, b"late")
    assert os.read(second, 10) == b"late"
    os.close(sink)
    relay.join()
    for fd in (second, write, staying, relay._leaving):
        os.close(fd)


def test_a_backlog_within_its_limit_is_kept_whole(link: Link) -> None:
    for _ in range(20):
        assert link.put(bytes(50_000))
    assert (link.copies(), link.writer.lost) == ([bytes(50_000)] * 20, 0)


def test_chunks_beyond_the_limit_are_skipped_and_counted(link: Link) -> None:
    for _ in range(30):
        link.put(bytes(50_000))
    assert len(link.copies()) == 20
    assert link.writer.lost == 500_000


def test_nobody_waits_for_a_stuck_observer(link: Link) -> None:
    began = time.monotonic()
    for _ in range(10_000):
        link.put(bytes(900))
    assert time.monotonic() - began < 10


def test_a_gap_comes_before_what_follows_it(link: Link) -> None:
    link.put(bytes(800_000))
    assert not link.put(bytes(400_000))
    assert not link.put(b"skipped, too, for it is not the time to resume")
    assert link.copies() == [bytes(800_000)]
    assert link.put(b"after")
    assert link.copies() == [None, b"after"]


def test_a_gap_at_the_end_is_told_at_the_end(link: Link) -> None:
    link.put(bytes(800_000))
    link.put(bytes(800_000))
    link.writer.finish(2)
    assert link.copies() == [bytes(800_000), None]


def test_a_taken_copy_makes_room_again(link: Link) -> None:
    """So nothing is skipped of an endless stream, however small the ring."""
    for number in range(200):
        data = bytes([number]) * 300_000
        assert link.put(data)
        assert link.copies() == [data]
    assert link.writer.lost == 0


@given(st.lists(st.tuples(st.integers(1, 400_000), st.booleans()), max_size=60))
@settings(max_examples=60, deadline=None)
def test_what_is_copied_is_what_was_put_gaps_excepted(steps: list[tuple[int, bool]]) -> None:
    """Whatever the sizes, and whenever the observer finds time."""
    link = Link()
    put: list[bytes | None] = []
    taken: list[bytes | None] = []
    for number, (size, read) in enumerate(steps):
        data = bytes([number]) * size
        if link.put(data):
            put.append(data)
        if read:
            taken += link.copies()
    taken += link.copies()
    link.close()
    assert [chunk for chunk in taken if chunk is not None] == put


def test_records_that_find_no_room_grow_together(link: Link) -> None:
    """An observer that does not read its pipe sees larger chunks later, and misses nothing."""
    count = 0
    while not link.writer.waiting:
        link.put(b"x")
        count += 1
    for _ in range(100):
        link.put(b"y")
    first = b"".join(chunk or b"GAP" for chunk in link.copies())
    assert link.writer.flush()
    (last,) = link.copies()
    assert last is not None
    assert (first + last) == b"x" * count + b"y" * 100
    assert len(last) > 100


def test_memory_is_given_back_once_it_is_taken() -> None:
    big = Link(8 << 20)
    for _ in range(4):
        big.put(bytes([7]) * 1_500_000)
    big.copies()
    before = resident()
    big.writer.rest()
    assert resident() < before - 4_000_000
    assert big.put(b"on it goes")
    assert big.copies() == [b"on it goes"]
    big.close()


@pytest.mark.parametrize("file", ["there", "refused", "unknown"])
def test_a_backlog_of_many_megabytes_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    """Most of it is written to a file in memory and read from its mapping.

    There may be no such file: a Python that is built for old systems knows none.
    """
    if file == "refused":
        monkeypatch.setattr(os, "memfd_create", refuse)
    elif file == "unknown":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    big = Link(8 << 20)
    data = [os.urandom(900_000) for _ in range(8)]
    assert all(big.put(chunk) for chunk in data)
    assert big.copies() == data
    big.close()


def test_what_there_is_no_memory_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    big = Link(8 << 20)
    assert big.put(bytes(1_000_000))
    monkeypatch.setattr(os, "pwrite", refuse)
    assert not big.put(bytes(500_000))
    monkeypatch.undo()
    assert big.put(b"after")
    assert (big.copies(), big.writer.lost) == ([bytes(1_000_000), None, b"after"], 500_000)
    big.close()


def test_a_limit_to_files_brings_no_signal() -> None:
    """It would be taken for one that somebody sent, and be passed on to the agent."""
    assert (
        output(
            "import resource, signal",
            "from otel_untether.supervisor.copies import CopyWriter, Records, open_ring",
            "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXFSZ])",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))",
            "ring = open_ring()",
            "stored = ring.store(30_000_000, memoryview(bytes(1000)))",
            "print(stored, signal.sigpending())",
        )
        == "True set()"
    )


def test_a_link_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = descriptors()
    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(OSError, match="refused"):
        watcher.Link()
    assert descriptors() == before


def test_where_nothing_is_left_to_read_nothing_is_waited_for(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at nearly every end, which imports nothing either to see how much is left."""
    monkeypatch.setattr("otel_untether.supervisor.relay.unread", refuse)
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link, grace=60)
    os.close(sink)
    os.close(staying)
    relay.start()
    relay.join(60)
    assert not relay.is_alive()
    assert not relay.held
    for fd in (read, write, relay._leaving):
        os.close(fd)


@pytest.mark.parametrize("missing", ["memory", "modules", "modules for copies"])
def test_a_flood_goes_on_whatever_is_missing_for_more_speed(
    link: Link, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Memory may be short, and the agent may have removed the Python that we run with."""
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, link)
    if missing == "memory":
        monkeypatch.setattr("otel_untether.supervisor.relay.mmap", refuse)
    else:
        monkeypatch.setitem(sys.modules, "termios", None)
        monkeypatch.setitem(sys.modules, "fcntl", None)
    if missing == "modules":
        link.reader.leave_unread()
    received = bytearray()

    def consume() -> None:
        while len(received) < 1_000_000 and (chunk := os.read(read, 65536)):
            received.extend(chunk)

    consumer = threading.Thread(target=consume)
    consumer.start()
    relay.start()
    data = os.urandom(1_000_000)
    left = memoryview(data)
    while left:
        left = left[os.write(sink, left) :]
    os.close(sink)
    relay.join()
    os.close(write)
    consumer.join()
    assert not relay.failed
    assert received == data
    for fd in (read, staying, relay._leaving):
        os.close(fd)


def refuse(*_: object) -> None:
    raise OSError(24, "refused")


def descriptors() -> set[str]:
    with os.scandir("/proc/self/fd") as found:
        return {entry.name for entry in found}


def output(*lines: str) -> str:
    """Return what a Python of its own prints."""
    script = "\n".join(lines)
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def resident() -> int:
    """Return how many bytes of shared memory this process has touched."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssShmem:")[1].split()[0]) * 1024
