"""The thread that looks after sessions: what it reads is closed when it does not read it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from otel_untether.watching.attendant import Attendant
from tests.support.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe with something to read in it; whoever takes its first end closes that."""
    source, sink = os.pipe()
    os.write(sink, b"x")
    yield source, sink
    os.close(sink)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_what_is_being_read_is_not_closed_under_the_readers_hands(pipe: tuple[int, int]) -> None:
    """Its number would be the next pipe's, and the reader wait for what that agent says."""
    source, _ = pipe
    attendant, begun, may_go = Attendant(), threading.Event(), threading.Event()
    read: list[bytes] = []

    def slowly() -> None:
        begun.set()
        may_go.wait()
        read.append(os.read(source, 1))

    attendant.read(source, slowly)
    assert begun.wait(60)
    attendant.close(source)
    others = os.pipe()
    assert source not in others
    may_go.set()
    eventually(lambda: not is_open(source), 60)
    assert read == [b"x"]
    for fd in others:
        os.close(fd)


def test_what_nobody_reads_is_closed_at_once(pipe: tuple[int, int]) -> None:
    source, _ = pipe
    Attendant().close(source)
    assert not is_open(source)


def test_whoever_is_called_for_a_descriptor_may_have_it_closed(pipe: tuple[int, int]) -> None:
    source, _ = pipe
    attendant, closed = Attendant(), threading.Event()

    def call() -> None:
        attendant.close(source)
        closed.set()

    attendant.read(source, call)
    assert closed.wait(60)
    assert not is_open(source)


def test_the_last_is_closed_before_the_thread_ends(pipe: tuple[int, int]) -> None:
    source, _ = pipe
    attendant, called = Attendant(), threading.Event()
    attendant.read(source, called.set)
    assert called.wait(60)
    attendant.close(source)
    eventually(lambda: not is_open(source), 60)
    eventually(lambda: attendant._thread is None, 60)
