from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from otel_untether.supervisor.signals import (
    HandledSignals,
    Received,
    Signals,
    forward,
    held_signals,
)

alone = pytest.mark.alone


@pytest.fixture(params=[Signals, HandledSignals])
def signals(request: pytest.FixtureRequest) -> Signals:
    """Linux's way and the other one."""
    made = request.param()
    assert isinstance(made, Signals)
    return made


@alone
def test_a_signal_waits_until_it_is_asked_for(signals: Signals) -> None:
    with signals:
        os.kill(os.getpid(), signal.SIGTERM)
        received = signals.wait(60)
        assert received is not None
        assert (received.number, received.by_terminal) == (signal.SIGTERM, False)


def test_no_signal_is_none_after_the_timeout(signals: Signals) -> None:
    with signals:
        assert signals.wait(0.01) is None


@alone
def test_a_childs_end_is_among_them(signals: Signals) -> None:
    with signals:
        child = subprocess.Popen(["true"])
        received = signals.wait(60)
        child.wait()
        assert received is not None
        assert received.number == signal.SIGCHLD


def test_all_is_as_before_afterwards(signals: Signals) -> None:
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with signals:
        pass
    assert {n: signal.getsignal(n) for n in handlers} == handlers
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


@alone
def test_an_ignored_signal_stays_ignored_and_is_heard_all_the_same() -> None:
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with held_signals() as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            received = signals.wait(60)
            assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN
        assert received is not None
        assert received.number == signal.SIGUSR1
        assert received.number in signals.ignored
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_mask_of_before_is_kept_for_the_child() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        with Signals() as signals:
            assert list(signals.mask) == [signal.SIGUSR2]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])


@pytest.fixture
def waiting() -> subprocess.Popen[bytes]:
    """A process that says which signal ends it."""
    code = "import signal, time; print(1, flush=True); time.sleep(30)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_what_was_sent_is_forwarded(waiting: subprocess.Popen[bytes]) -> None:
    forward(Received(signal.SIGTERM, by_terminal=False), waiting.pid)
    assert waiting.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_what_the_terminal_sent_is_not(
    waiting: subprocess.Popen[bytes], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getsid", lambda _: 1)
    forward(Received(number, by_terminal=True), waiting.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.2)
    waiting.kill()
    waiting.wait()


def test_a_hang_up_is_forwarded_by_the_sessions_leader(
    waiting: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getsid", lambda _: os.getpid())
    forward(Received(signal.SIGHUP, by_terminal=True), waiting.pid)
    assert waiting.wait(60) == -signal.SIGHUP


def test_a_childs_end_is_not_forwarded(waiting: subprocess.Popen[bytes]) -> None:
    forward(Received(signal.SIGCHLD, by_terminal=False), waiting.pid)
    waiting.kill()
    assert waiting.wait(60) == -signal.SIGKILL


def test_forwarding_to_nobody_is_no_error() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    forward(Received(signal.SIGTERM, by_terminal=False), ended.pid)
