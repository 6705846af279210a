from __future__ import annotations

import contextlib
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.clock import Clock
from otel_untether.supervisor import copies as tap_module
from otel_untether.supervisor.copies import Copied, Ended, Tap
from otel_untether.supervisor.relay import Relay
from otel_untether.supervisor.streams import Outlet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Queue = SimpleQueue[Copied | Ended]


def copies(queue: Queue) -> list[bytes | None]:
    """Return the chunks in the queue, None for a gap."""
    found: list[bytes | None] = []
    while True:
        try:
            item = queue.get_nowait()
        except Empty:
            return found
        assert isinstance(item, Copied)
        found.append(item.chunk)


def make_relay(target: int, queue: Queue, grace: float = 0.2) -> tuple[Relay, int, int]:
    """Return a relay to `target`, the agent's end of its pipe, and what to close to end it."""
    leaving, staying = os.pipe()
    outlet = Outlet((target,), last=False)
    relay = Relay(outlet, Tap(outlet.name, queue), Clock(), leaving=leaving, grace=grace)
    return relay, outlet.sink, staying


def carried(chunks: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Send chunks through a relay; return what was delivered and what was copied."""
    queue: Queue = SimpleQueue()
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, queue)
    relay.start()
    delivered: list[bytes] = []

    def consume() -> None:
        while chunk := os.read(read, 1 << 20):
            delivered.append(chunk)

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
    return b"".join(delivered), b"".join(chunk or b"GAP" for chunk in copies(queue))


@given(st.lists(st.binary(max_size=5000), max_size=20))
def test_any_bytes_in_any_chunks_come_out_the_same(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    assert carried(chunks) == (data, data)


def test_more_than_a_pipe_holds_comes_out_the_same() -> None:
    data = os.urandom(5_000_000)
    assert carried([data]) == (data, data)


def test_forwarding_comes_before_copying(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk is with the consumer when the copy is made, however slow that is."""
    queue: Queue = SimpleQueue()
    read, write = os.pipe()
    order: list[str] = []

    def put(tap: Tap, chunk: bytes, at: int) -> None:
        del tap, at
        order.append(f"{os.read(read, 100) == chunk}")

    monkeypatch.setattr(Tap, "put", put)
    relay, sink, staying = make_relay(write, queue)
    relay.start()
    os.write(sink, b"one")
    os.close(sink)
    relay.join()
    for fd in (read, write, staying, relay._leaving):
        os.close(fd)
    assert order == ["True"]


def test_a_write_under_way_is_dated() -> None:
    queue: Queue = SimpleQueue()
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, queue)
    relay.start()
    assert relay.writing_since is None
    os.write(sink, bytes(65536))
    os.write(sink, bytes(1))
    deadline = time.monotonic() + 5
    while relay.writing_since is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert relay.writing_since is not None
    os.close(sink)
    assert len(os.read(read, 65536)) == 65536
    relay.join()
    assert relay.writing_since is None
    for fd in (read, write, staying, relay._leaving):
        os.close(fd)


def test_a_held_pipe_is_left_after_the_grace_of_silence() -> None:
    queue: Queue = SimpleQueue()
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, queue, grace=0.1)
    relay.start()
    os.write(sink, b"last words")
    os.close(staying)
    relay.join(5)
    assert not relay.is_alive()
    assert os.read(read, 100) == b"last words"
    for fd in (read, write, sink, relay._leaving):
        os.close(fd)


def write_until(fd: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        os.write(fd, b"more\n")
        time.sleep(0.001)


def test_a_grandchild_that_never_falls_silent_is_left_after_the_grace() -> None:
    queue: Queue = SimpleQueue()
    null = os.open(os.devnull, os.O_WRONLY)
    relay, sink, staying = make_relay(null, queue, grace=0.3)
    relay.start()
    os.close(staying)
    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        write_until(sink, began + 5)
    assert 0.25 < time.monotonic() - began < 2
    relay.join()
    for fd in (null, sink, relay._leaving):
        os.close(fd)


def test_a_slow_consumer_does_not_stretch_the_grace() -> None:
    """A burst may not go on past the agent's end, however much a grandchild writes."""
    queue: Queue = SimpleQueue()
    read, write = os.pipe()
    relay, sink, staying = make_relay(write, queue, grace=0.3)
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
    assert time.monotonic() - began < 2.5
    over.set()
    os.close(write)
    for thread in threads:
        thread.join()
    for fd in (read, sink, relay._leaving):
        os.close(fd)


def test_a_named_pipe_may_lose_its_reader_and_find_another(tmp_path: Path) -> None:
    """Only a write fails without a reader, and between two writes nobody need be there."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write = os.open(path, os.O_WRONLY)
    queue: Queue = SimpleQueue()
    relay, sink, staying = make_relay(write, queue)
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


def tap(queue: Queue, limit: int) -> Tap:
    return Tap("stdout", queue, limit)


def test_a_backlog_within_its_limit_is_kept_whole() -> None:
    queue: Queue = SimpleQueue()
    one = tap(queue, 10_000)
    for _ in range(10):
        one.put(bytes(500), 1)
    assert (copies(queue), one.lost) == ([bytes(500)] * 10, 0)


def test_chunks_beyond_the_limit_are_skipped_and_counted() -> None:
    queue: Queue = SimpleQueue()
    one = tap(queue, 10_000)
    for _ in range(30):
        one.put(bytes(1000), 1)
    assert len(copies(queue)) == 8
    assert one.lost == 22_000


def test_the_hold_up_for_a_stuck_observer_is_short_and_only_once() -> None:
    one = tap(SimpleQueue(), 1000)
    began = time.monotonic()
    for _ in range(1000):
        one.put(bytes(900), 1)
    assert time.monotonic() - began < 4 * tap_module.PATIENCE


def test_a_gap_comes_before_what_follows_it() -> None:
    queue: Queue = SimpleQueue()
    one = tap(queue, 1000)
    one.put(bytes(800), 1)
    one.put(b"skipped", 1)
    one.put(b"skipped, too, for it is not the time to resume", 1)
    item = queue.get_nowait()
    assert isinstance(item, Copied)
    one.take(item)
    one.put(b"after", 1)
    assert copies(queue) == [None, b"after"]


def test_a_gap_at_the_end_is_told_at_the_end() -> None:
    queue: Queue = SimpleQueue()
    one = tap(queue, 1000)
    one.put(bytes(800), 1)
    one.put(bytes(800), 1)
    one.finish(2)
    assert copies(queue) == [bytes(800), None]


def test_an_observer_that_keeps_up_is_waited_for() -> None:
    """So nothing is skipped, however much comes."""
    queue: Queue = SimpleQueue()
    one = tap(queue, 4_000_000)
    seen = 0

    def observe() -> None:
        nonlocal seen
        while seen < 50_000_000 and not one.lost:
            item = queue.get()
            assert isinstance(item, Copied)
            seen += len(item.chunk or b"")
            one.take(item)

    observer = threading.Thread(target=observe)
    observer.start()
    for _ in range(200):
        one.put(bytes(250_000), 1)
    observer.join()
    assert one.lost == 0


def test_a_closed_tap_takes_nothing() -> None:
    queue: Queue = SimpleQueue()
    one = tap(queue, 1000)
    one.close()
    one.put(b"x", 1)
    assert copies(queue) == []
