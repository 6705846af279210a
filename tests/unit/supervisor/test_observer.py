from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from otel_untether.clock import Clock
from otel_untether.notice import VOICE
from otel_untether.supervisor import copies
from otel_untether.supervisor.copies import CopyReader, CopyWriter, Records
from otel_untether.supervisor.observer import Child, Observer
from otel_untether.supervisor.observer_process import Ended, Guard, Inbox, Session
from otel_untether.supervisor.watcher import Link

if TYPE_CHECKING:
    from collections.abc import Iterator


class Diary(Observer):
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.entries: list[object] = []
        self.tick_interval = 10**12

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

    def relay_lost(self, at: int) -> None:
        del at
        self.entries.append("relay lost")

    def finish(self, exit_code: int | None, signal: int | None, at: int) -> str | None:
        self.entries.append(("finish", exit_code, signal, at))
        return "done"


class Told:
    """A session of an observer, in this process, and what the relay would tell it."""

    def __init__(self) -> None:
        self.link = Link()
        self.records = Records(self.link.outbox)
        self.stdout = CopyWriter("stdout", self.link.rings[0], self.records)
        self.stderr = CopyWriter("stderr", self.link.rings[1], self.records)

    def put(self, writer: CopyWriter, data: bytes, at: int) -> None:
        writer.put(memoryview(data), at)

    def observe(self, diary: Diary) -> Ended:
        clock = Clock()
        child = Child(5, ("agent",), clock.now(), clock, frozenset({"stdout"}), lambda: None)
        guard, inbox = Guard(), Inbox(self.link.inbox)
        return Session(diary, child, None, self.link, inbox, guard).observe()

    def close(self) -> None:
        self.link.close(self.link.inbox, self.link.outbox, self.link.heard, self.link.voice)


@pytest.fixture
def told() -> Iterator[Told]:
    made = Told()
    yield made
    made.close()


def test_chunks_come_in_the_order_of_their_arrival(told: Told) -> None:
    told.put(told.stdout, b"out", 1)
    told.put(told.stderr, b"err", 2)
    told.put(told.stdout, b"more", 3)
    told.records.write(copies.ENDED, 0, 0, 9)
    diary = Diary()
    assert told.observe(diary) == Ended(0, None, 9)
    assert diary.entries == [("stdout", b"out", 1), ("stderr", b"err", 2), ("stdout", b"more", 3)]


def test_what_had_come_is_told_together_and_ticks_are_not_among_it(told: Told) -> None:
    """What a tick finds is to be on disk before it is acted on."""

    class Gathering(Diary):
        @contextlib.contextmanager
        def together(self) -> Iterator[None]:
            self.entries.append("(")
            yield
            self.entries.append(")")

        def tick(self, now: int) -> None:
            self.entries.append(f"tick {now}")
            self.tick_interval = 10**12  # from the next one on

    for at in range(1, 5):
        told.put(told.stdout, b"x", at)
    told.records.write(copies.ENDED, 0, 0, 9)
    diary = Gathering()
    diary.tick_interval = 0
    told.observe(diary)
    one, two, *more = (("stdout", b"x", at) for at in range(1, 5))
    assert diary.entries == ["(", one, ")", "tick 1", "(", two, ")", "tick 2", "(", *more, ")"]


@pytest.mark.parametrize(
    ("code", "signal", "ended"),
    [
        (71, 0, Ended(71, None, 9)),
        (copies.NO_CODE, 15, Ended(None, 15, 9)),
        (copies.NO_CODE, 0, Ended(None, None, 9)),
    ],
)
def test_the_end_is_as_the_relay_saw_it(told: Told, code: int, signal: int, ended: Ended) -> None:
    told.records.write(copies.ENDED, code, signal, 9)
    assert told.observe(Diary()) == ended


def test_a_gap_in_stderr_is_no_gap_in_stdout(told: Told) -> None:
    for writer, size in ((told.stdout, 60 << 20), (told.stderr, 60 << 20)):
        told.put(writer, bytes(size), 1)
        told.put(writer, bytes(size), 1)
        writer.finish(2)
    told.records.write(copies.ENDED, 0, 0, 9)
    diary = Diary()
    told.observe(diary)
    assert diary.entries.count("gap") == 1


def test_what_nobody_reads_is_counted(told: Told) -> None:
    class Deaf(Diary):
        reads_stdout = False

    told.put(told.stdout, b"one", 1)
    CopyReader(told.link.rings[0]).leave_unread()
    told.stdout.lose(500, 7)
    told.records.write(copies.ENDED, 0, 0, 9)
    diary = Deaf()
    told.observe(diary)
    assert diary.entries == [("stdout", b"one", 1), ("passed", 500, 7)]
    assert told.stdout.unread


def test_an_error_is_told_once_and_the_rest_is_observed(
    told: Told, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing(Diary):
        def stdout(self, chunk: bytes, at: int) -> None:
            super().stdout(chunk, at)
            raise KeyboardInterrupt

    told.put(told.stdout, b"out", 1)
    told.put(told.stdout, b"out", 1)
    told.put(told.stderr, b"err", 2)
    told.records.write(copies.ENDED, 0, 0, 9)
    diary = Failing()
    told.observe(diary)
    assert diary.entries[-1] == ("stderr", b"err", 2)
    assert capfd.readouterr().err == (
        "otel-untether: telemetry failed, the agent is unaffected: KeyboardInterrupt: \n"
    )


def test_a_relay_that_is_gone_without_a_word_was_killed(told: Told) -> None:
    """What it had said before is shown; how the agent ended, nobody knows."""
    told.put(told.stdout, b"last words", 1)
    os.close(told.link.outbox)
    told.link.outbox = os.dup(told.link.inbox)
    diary = Diary()
    ended = told.observe(diary)
    assert (ended.exit_code, ended.signal) == (None, None)
    assert diary.entries == [("stdout", b"last words", 1), "relay lost"]


def test_our_lines_go_to_stderr_unless_told_otherwise() -> None:
    assert (VOICE.fd, VOICE.muted, VOICE.midline) == (2, False, False)
