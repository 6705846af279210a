from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

from otel_untether.clock import Clock
from otel_untether.supervisor.copies import Copied, Ended, Tap
from otel_untether.supervisor.observer import Child, Observer, ObserverThread

if TYPE_CHECKING:
    import pytest

    from otel_untether.supervisor.observer import ObserverFactory


class Diary(Observer):
    """An observer that writes down what it is told."""

    def __init__(self, child: Child) -> None:
        self.entries: list[object] = [child.pid]

    def stdout(self, chunk: bytes, at: int) -> None:
        self.entries.append(("stdout", chunk, at))

    def passed(self, size: int, at: int) -> None:
        self.entries.append(("passed", size, at))

    def stderr(self, chunk: bytes, at: int) -> None:
        self.entries.append(("stderr", chunk, at))

    def gap(self) -> None:
        self.entries.append("gap")

    def tick(self, now: int) -> None:
        del now

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        self.entries.append(("finish", exit_code, signal, at))
        return "done"


class Thread:
    """An observer's thread, its queue and taps, not yet started."""

    def __init__(self, factory: ObserverFactory) -> None:
        self.queue: SimpleQueue[Copied | Ended] = SimpleQueue()
        self.stdout = Tap("stdout", self.queue, 2000)
        self.stderr = Tap("stderr", self.queue, 2000)
        clock = Clock()
        child = Child(5, ("agent",), clock.now(), clock, frozenset({"stdout"}), lambda: None)
        self.thread = ObserverThread(factory, child, self.queue)

    def finish(self) -> None:
        self.queue.put(Ended(0, None, 9))
        self.thread.start()
        self.thread.join()


def told(factory: ObserverFactory) -> list[object]:
    """Return what `factory`'s diary has after one chunk of each stream and the end."""
    diaries: list[Diary] = []

    def make(child: Child) -> Diary:
        diary = factory(child)
        assert isinstance(diary, Diary)
        diaries.append(diary)
        return diary

    thread = Thread(make)
    thread.stdout.put(b"out", 1)
    thread.stderr.put(b"err", 2)
    thread.finish()
    return diaries[0].entries


def test_chunks_come_in_the_order_of_their_arrival() -> None:
    assert told(Diary) == [5, ("stdout", b"out", 1), ("stderr", b"err", 2), ("finish", 0, None, 9)]


def test_the_summary_is_what_finish_returned() -> None:
    thread = Thread(Diary)
    thread.finish()
    assert (thread.thread.summary, thread.thread.failed) == ("done", False)


def test_a_gap_in_stderr_is_no_gap_in_stdout() -> None:
    thread = Thread(Diary)
    for each in (thread.stdout, thread.stderr):
        each.put(bytes(1500), 1)
        each.put(bytes(1500), 1)
        each.finish(2)
    diary = Diary(thread.thread._child)
    thread.thread._factory = lambda _: diary
    thread.finish()
    assert diary.entries.count("gap") == 1


class Failing(Diary):
    """Fails at stdout."""

    def stdout(self, chunk: bytes, at: int) -> None:
        super().stdout(chunk, at)
        raise KeyboardInterrupt


def test_an_error_is_told_once_and_the_rest_is_observed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert told(Failing)[2:] == [("stderr", b"err", 2), ("finish", 0, None, 9)]
    assert capfd.readouterr().err == (
        "otel-untether: telemetry failed, the agent is unaffected: KeyboardInterrupt: \n"
    )


def test_without_an_observer_nothing_piles_up() -> None:
    def fail(child: Child) -> Diary:
        raise OSError(child.pid)

    thread = Thread(fail)
    thread.stdout.put(b"x", 1)
    thread.finish()
    thread.stdout.put(b"y", 1)
    assert thread.thread.failed
    assert thread.queue.empty()
