"""The thread that samples all sessions, and the windows it fills."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.proc_diag import Tree, TreeSnapshot, sample
from otel_untether.proc_diag import sampler as module
from otel_untether.proc_diag.sampler import Sampler, Window, next_beat
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FAST = 0.02


@pytest.fixture
def sampler() -> Iterator[Sampler]:
    """A fast sampler, closed at the end."""
    sampler = Sampler(FAST)
    yield sampler
    sampler.close()


def threads() -> list[str]:
    """Return the names of this process's threads."""
    return [thread.name for thread in threading.enumerate()]


def diag(at: float, *, continuous: bool = True) -> TreeSnapshot:
    """Make a sample."""
    return TreeSnapshot(at, True, continuous=continuous)  # noqa: FBT003


def test_tree_is_sampled_at_once_and_then_on_the_beat(sampler: Sampler) -> None:
    window = sampler.add("one", Tree(os.getpid()))
    processes.eventually(lambda: len(window) >= 4)
    gaps = [
        later.at - sooner.at for sooner, later in zip(list(window), list(window)[1:], strict=False)
    ]
    assert min(gaps) > 0
    assert window.latest is not None
    assert window.latest.cpu_rate is not None


def test_first_sample_does_not_wait_for_the_beat() -> None:
    sampler = Sampler(3600)
    try:
        one = sampler.add("one", Tree(os.getpid()))
        processes.eventually(lambda: len(one))
        other = sampler.add("other", Tree(os.getpid()))
        processes.eventually(lambda: len(other))
        assert len(one) == 1
    finally:
        sampler.close()


def test_young_session_is_sampled_more_often() -> None:
    """Most of a short one would be over before the second beat."""
    sampler = Sampler(3600)
    try:
        window = sampler.add("a", Tree(os.getpid()))
        time.sleep(0.25)
        other = sampler.add("b", Tree(os.getpid()))
        processes.eventually(lambda: len(window) == 3 and len(other) == 2)
        first, second, third = window
        assert third.at - first.at > 0.9
        assert second.cpu_rate is not None
    finally:
        sampler.close()


def test_one_thread_serves_all_sessions_and_ends_with_the_last(sampler: Sampler) -> None:
    windows = [sampler.add(str(number), Tree(os.getpid())) for number in range(5)]
    processes.eventually(lambda: all(len(window) > 1 for window in windows))
    assert threads().count("untether-sampler") == 1
    for number in range(5):
        sampler.remove(str(number))
    processes.eventually(lambda: "untether-sampler" not in threads())
    again = sampler.add("again", Tree(os.getpid()))
    processes.eventually(lambda: len(again))


def test_without_a_thread_nothing_is_sampled_until_there_is_one(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as refusing:
        refusing.setattr(threading.Thread, "start", refuse)
        sampler.add("first", Tree(os.getpid()))
        sampler.close()  # there is nobody to wait for
        first = sampler.add("first", Tree(os.getpid()))
    assert not len(first)
    sampler.add("second", Tree(os.getpid()))
    processes.eventually(lambda: len(first))


def test_removed_session_is_sampled_no_more_and_keeps_nothing_open(sampler: Sampler) -> None:
    with processes.sleeper() as pid:
        before = processes.open_in_proc()
        sampler.add("stays", Tree(os.getpid()))
        tree = Tree(pid)
        window = sampler.add("goes", tree)
        processes.eventually(lambda: len(window) > 3)
        sampler.remove("goes")
        sampler.remove("goes")
        sampler.close()
        count = len(window)
        time.sleep(5 * FAST)
        assert len(window) == count
        processes.eventually(lambda: processes.open_in_proc() == before)


def test_tree_that_cannot_be_sampled_is_unknown_and_the_others_are_not(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Tree(os.getpid()), Tree(os.getpid())

    def fail_for_bad(trees: Sequence[Tree]) -> list[TreeSnapshot]:
        if bad in trees:
            raise RuntimeError
        return sample(trees)

    monkeypatch.setattr(module, "sample", fail_for_bad)
    one, other = sampler.add("bad", bad), sampler.add("good", good)
    processes.eventually(lambda: len(one) > 1 and len(other) > 1)
    assert one.latest is not None
    assert one.latest.alive is None
    assert one.latest.problems == ("sampling failed: RuntimeError",)
    assert other.latest is not None
    assert other.latest.alive is True
    assert "trying each tree alone" in caplog.text


def test_session_that_is_sampled_already_is_refused(sampler: Sampler) -> None:
    sampler.add("one", Tree(os.getpid()))
    with pytest.raises(ValueError, match="session 'one' is being sampled already"):
        sampler.add("one", Tree(os.getpid()))


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_interval_that_is_none_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="needs an interval"):
        Sampler(interval)


def test_pass_that_takes_too_long_marks_the_gap(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = threading.Event()

    def sometimes_slow(trees: Sequence[Tree]) -> list[TreeSnapshot]:
        if slow.is_set():
            slow.clear()
            time.sleep(10 * FAST)
        return sample(trees)

    window = sampler.add("one", Tree(os.getpid()))
    processes.eventually(lambda: len(window) > 2)
    monkeypatch.setattr(module, "sample", sometimes_slow)
    slow.set()
    processes.eventually(lambda: any(not diag.continuous for diag in window))


def test_suspend_marks_the_first_sample_after_it_in_every_session(
    sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Monotonic time stands still meanwhile, so the samples seem to follow each other."""
    windows = [sampler.add(key, Tree(os.getpid())) for key in ("one", "other")]
    processes.eventually(lambda: all(len(window) > 1 for window in windows))
    monkeypatch.setattr(module, "suspended", lambda: 3600.0)
    sampler.add("fresh", Tree(os.getpid()))
    processes.eventually(
        lambda: all(any(not diag.continuous for diag in window) for window in windows)
    )


def test_window_keeps_the_newest() -> None:
    window = Window(capacity=2)
    for at in (1.0, 2.0, 3.0):
        window.append(diag(at))
    assert [each.at for each in window] == [2.0, 3.0]
    assert [each.at for each in reversed(window)] == [3.0, 2.0]
    assert window.latest == diag(3.0)
    assert len(window) == 2


def test_empty_window_has_no_latest() -> None:
    assert Window().latest is None
    assert Window().since(0) == ()


def test_window_since_a_moment_includes_it() -> None:
    window = Window()
    for at in (1.0, 2.0, 3.0):
        window.append(diag(at))
    assert [each.at for each in window.since(2.0)] == [2.0, 3.0]


def test_window_does_not_reach_back_over_a_gap() -> None:
    window = Window()
    for each in (diag(1.0), diag(90.0, continuous=False), diag(95.0)):
        window.append(each)
    assert [each.at for each in window.since(0)] == [90.0, 95.0]


@given(
    st.floats(0, 1e6),
    st.floats(0, 1e4),
    st.floats(0.01, 60),
)
def test_next_beat_is_ahead_and_on_the_grid(due: float, late: float, interval: float) -> None:
    now = due + late
    beat, skipped = next_beat(due, now, interval)
    assert beat >= now - 1e-6 * interval - 1e-9
    assert beat - now <= interval * (1 + 1e-6) + 1e-9
    assert beat == pytest.approx(due + (skipped + 1) * interval)
    assert skipped >= 0


def test_look_at_a_young_session_costs_the_others_no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after the beat was due, which is then late and not skipped."""
    real = module._sample

    def slow(trees: Sequence[Tree]) -> list[TreeSnapshot]:
        if len(trees) == 1:
            time.sleep(0.4)
        return real(trees)

    sampler = Sampler(0.6)
    try:
        old = sampler.add("old", Tree(os.getpid()))
        processes.eventually(lambda: len(old))
        monkeypatch.setattr(module, "_sample", slow)
        time.sleep(0.25)
        sampler.add("young", Tree(os.getpid()))
        processes.eventually(lambda: len(old) >= 4)
        assert all(diag.continuous for diag in old)
    finally:
        sampler.close()
