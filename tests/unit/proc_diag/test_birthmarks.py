"""Which trace context in an environment proves that a process is this run's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from otel_untether.proc_diag.birthmarks import Birthmarks
from otel_untether.proc_diag.snapshot import Identity

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE, SPAN, OTHER = "a" * 32, "b" * 16, "c" * 16
RUN = f"00-{TRACE}-{SPAN}-01"
SOMEBODY = Identity(42, 7.0)


def marks(
    read: Callable[[int], bytes | None], *, run: str | None = RUN, ambient: str = ""
) -> Birthmarks:
    return Birthmarks(run, read, lambda _: SOMEBODY, {"TRACEPARENT": ambient} if ambient else {})


@pytest.mark.parametrize(
    ("environ", "ambient", "expected"),
    [
        (f"PATH=/bin\0TRACEPARENT={RUN}\0A=b", "", True),
        (f"TRACEPARENT=00-{TRACE}-{OTHER}-01", "", True),
        (f"TRACEPARENT=00-{'d' * 32}-{SPAN}-01", "", False),
        (f"PARENT={RUN}", "", False),
        ("PATH=/bin", "", False),
        (f"TRACEPARENT={RUN}", f"00-{TRACE}-{OTHER}-01", True),
        (f"TRACEPARENT=00-{TRACE}-{OTHER}-01", f"00-{TRACE}-{OTHER}-01", False),
    ],
    ids=[
        "the root's own span",
        "a tool's span of the trace",
        "another trace",
        "another variable",
        "none",
        "the root's span in a trace that was there before",
        "what everybody has in a trace that was there before",
    ],
)
def test_an_environment_proves_it_or_not(environ: str, ambient: str, *, expected: bool) -> None:
    found = marks(lambda _: environ.encode(), ambient=ambient)
    assert found.carried_by(SOMEBODY, patience=5) is expected


@pytest.mark.parametrize("run", [None, "", "nonsense", f"00-{TRACE}--01", "00-a-b-01"])
def test_without_a_trace_context_there_is_no_proof(run: str | None) -> None:
    environ = f"TRACEPARENT={run or RUN}".encode()
    assert marks(lambda _: environ, run=run).carried_by(SOMEBODY, patience=5) is False


def test_a_read_that_never_comes_back_holds_up_nobody() -> None:
    """A hung mount; the answer is unknown until it comes, and then it is there."""
    hung = threading.Event()

    def read(_: int) -> bytes:
        hung.wait()
        return f"TRACEPARENT={RUN}".encode()

    found = marks(read)
    assert found.carried_by(SOMEBODY) is None
    assert found.carried_by(SOMEBODY, patience=0.01) is None
    hung.set()
    while found.carried_by(SOMEBODY, patience=0.01) is None:
        pass
    assert found.carried_by(SOMEBODY) is True


def test_it_is_read_once() -> None:
    reads: list[int] = []

    def read(pid: int) -> bytes:
        reads.append(pid)
        return b"PATH=/bin"

    found = marks(read)
    for _ in range(5):
        assert found.carried_by(SOMEBODY, patience=5) is False
    assert reads == [42]


def test_an_environment_that_is_not_there_yet_is_asked_for_again() -> None:
    """A process that is about to execute a program has none for a moment."""
    answers = [b"", f"TRACEPARENT={RUN}".encode()]
    found = marks(lambda _: answers.pop(0))
    assert found.carried_by(SOMEBODY, patience=5) is None
    assert found.carried_by(SOMEBODY, patience=5) is True


def test_one_that_stays_secret_proves_nothing() -> None:
    times = iter(range(100))
    found = Birthmarks(RUN, lambda _: None, lambda _: SOMEBODY, {}, lambda: next(times) / 2)
    assert [found.carried_by(SOMEBODY, patience=5) for _ in range(4)] == [None, None, False, False]


def test_one_that_takes_long_to_execute_its_program_is_asked_for_again() -> None:
    """On a busy machine it is looked at a dozen times before it gets its turn."""
    answers = [b""] * 12 + [f"TRACEPARENT={RUN}".encode()]
    found = marks(lambda _: answers.pop(0))
    assert [found.carried_by(SOMEBODY, patience=5) for _ in range(13)] == [None] * 12 + [True]


def test_a_pid_that_is_another_s_by_now_proves_nothing() -> None:
    found = Birthmarks(RUN, lambda _: f"TRACEPARENT={RUN}".encode(), lambda _: None, {})
    assert found.carried_by(SOMEBODY, patience=5) is False
