"""`resend` against collectors that go wrong: bounded, truthful, and discreet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from otel_untether.export import resend as resending
from otel_untether.export.otlp_client import Sender
from otel_untether.store.run_folder import UNDELIVERED
from otel_untether.store.runs import RunIdentity, Store
from tests.processes.export.test_resend import OTLP, watched
from tests.support import faults
from tests.support.faults import HTTP_FAULTS, TOKEN
from tests.support.otel import fresh_globals
from tests.support.otlp_receiver import http_receiver
from tests.support.runs_on_disk import line, run_on_disk

if TYPE_CHECKING:
    from pathlib import Path

    from otel_untether.export.answers import Answer
    from otel_untether.store.runs import Run

__all__ = ["fresh_globals"]
pytestmark = pytest.mark.usefixtures("fresh_globals")


def waiting(state: Path, spans: int = 3) -> Run:
    """Watch a small session of which no collector has had anything."""
    with faults.refusing() as nobody:
        return watched(state, {OTLP: nobody.url}, spans)


def command(state: Path, url: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `resend`."""
    environ = {
        "PATH": os.environ["PATH"],
        "OTEL_UNTETHER_STATE_DIR": str(state),
        OTLP: url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={TOKEN}",
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "otel_untether", "resend", *words],
        env=environ,
        cwd=state,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("status", ["301", "302", "307"])
def test_a_redirect_is_no_delivery_and_gets_no_token(tmp_path: Path, status: str) -> None:
    """Whoever it points to is not asked, nothing is noted as taken, and the exit status is 1."""
    run = waiting(tmp_path)
    with faults.http_fault(HTTP_FAULTS[status]) as kept:
        result = command(tmp_path, kept.url)
    assert kept.elsewhere == []
    assert (result.returncode, result.stdout) == (1, "0 sent, 5 left, in 1 run\n")
    assert f"answered {status}: redirects are not followed" in result.stderr
    assert (run.path / "delivered").read_bytes() == b""


@pytest.mark.parametrize("name", [n for n, it in HTTP_FAULTS.items() if not it.keep])
def test_nothing_that_a_server_says_is_shown_as_it_is(tmp_path: Path, name: str) -> None:
    """And nothing is believed to be taken."""
    waiting(tmp_path)
    with faults.http_fault(HTTP_FAULTS[name]) as kept:
        result = command(tmp_path, kept.url, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert (result.returncode, result.stdout) == (1, "0 sent, 5 left, in 1 run\n")
    assert "127.0.0.1" in result.stderr
    assert not set("\x1b\x07\u202e") & set(result.stderr)


class Picky:
    """A collector that will not have requests with certain spans in them."""

    def __init__(self, receiver: Any, refused: set[str]) -> None:
        self._receiver = receiver
        self._refused = refused
        self.asked = 0

    def __call__(self, signal: Any, request: Any) -> Answer:
        """Send it there, or to the one that refuses."""
        self.asked += 1
        names = {span.name for span in faults.items_of(signal, request) if signal == "traces"}
        bad = bool(names & self._refused)
        self._receiver.status = 400 if bad else 200
        return Sender({OTLP: self._receiver.url}, 60)(signal, request)


def test_one_span_that_is_refused_keeps_no_other_back(tmp_path: Path) -> None:
    """It is found by halving, noted, and not sent again."""
    run = waiting(tmp_path, spans=600)
    with http_receiver() as receiver:
        picky = Picky(receiver, {"span 123"})
        outcome = resending.resend(run, picky)
        assert (outcome.sent, outcome.left, outcome.refused) == (601, 0, 1)
        assert len({span.span_id for span in receiver.spans()}) == len(receiver.spans()) == 599
        assert picky.asked < 30
        again = Picky(receiver, {"span 123"})
        outcome = resending.resend(run, again)
    assert (outcome.sent, outcome.left, outcome.refused, again.asked) == (0, 0, 1, 0)


def test_several_refused_spans_are_each_found(tmp_path: Path) -> None:
    """Wherever they are."""
    run = waiting(tmp_path, spans=100)
    bad = {"span 0", "span 50", "span 51", "span 99"}
    with http_receiver() as receiver:
        outcome = resending.resend(run, Picky(receiver, bad))
        assert (outcome.sent, outcome.left, outcome.refused) == (98, 0, 4)
        assert {span.name for span in receiver.spans()} == {f"span {n}" for n in range(100)} - bad


def test_a_collector_that_refuses_everything_is_not_asked_for_ever(tmp_path: Path) -> None:
    """It is its fault, not the data's: all is left for another one."""
    run = waiting(tmp_path, spans=600)
    with http_receiver(status=400) as receiver:
        outcome = resending.resend(run, Sender({OTLP: receiver.url}, 60))
        asked = len(receiver.headers)
    assert (outcome.sent, outcome.left, outcome.refused) == (0, 602, 0)
    assert asked < 25
    with http_receiver() as receiver:
        assert resending.resend(run, Sender({OTLP: receiver.url}, 60)).sent == 602


def test_a_place_that_hangs_is_asked_once_for_all_runs(tmp_path: Path) -> None:
    """Three signals of five runs: one time-out, and all that is left is counted."""
    run = waiting(tmp_path)
    for number in range(4):
        shutil.copytree(run.path, run.path.with_name(f"{run.path.name}{number}"))
    began = time.monotonic()
    with faults.hanging() as nobody:
        result = command(tmp_path, nobody.url, OTEL_EXPORTER_OTLP_TIMEOUT="2")
    assert (result.returncode, result.stdout) == (1, "0 sent, 25 left, in 5 runs\n")
    assert time.monotonic() - began < 20


def test_an_answer_that_drips_is_not_waited_for(tmp_path: Path) -> None:
    """A byte a second for a hundred seconds is no answer within two."""
    waiting(tmp_path)
    began = time.monotonic()
    with faults.http_fault(HTTP_FAULTS["1 byte/s"]) as kept:
        result = command(tmp_path, kept.url, OTEL_EXPORTER_OTLP_TIMEOUT="2")
    assert result.returncode == 1
    assert time.monotonic() - began < 40


def test_all_of_it_has_a_time(tmp_path: Path) -> None:
    """What there was no time for is left, and that is said."""
    waiting(tmp_path)
    began = time.monotonic()
    with faults.hanging() as nobody:
        result = command(tmp_path, nobody.url, "--timeout", "0.5", OTEL_EXPORTER_OTLP_TIMEOUT="60")
    assert result.returncode == 1
    assert "0 sent, 5 left" in result.stdout
    assert time.monotonic() - began < 40


def test_what_is_not_looked_at_is_not_said_to_be_sent(tmp_path: Path) -> None:
    """A run that is watched, named on the command line: exit status 1, and why."""
    run = Store(tmp_path).create_run(RunIdentity("5f0c"), started=time.time_ns())
    with http_receiver() as receiver:
        result = command(tmp_path, receiver.url, "5f0c")
    run.release()
    assert (result.returncode, result.stdout) == (
        1,
        "0 sent, 0 left, in 0 runs; 1 not looked at\n",
    )
    assert "still running" in result.stderr


def test_what_was_delivered_late_is_delivered(tmp_path: Path) -> None:
    """The run may go like any other."""
    run = waiting(tmp_path)
    assert (run.path / UNDELIVERED).exists()
    with http_receiver() as receiver:
        resending.resend(run, Sender({OTLP: receiver.url}, 60))
    assert not (run.path / UNDELIVERED).exists()


def test_a_certificate_that_nobody_trusts_gets_nothing(tmp_path: Path) -> None:
    """Neither what was recorded nor the token that goes with it."""
    waiting(tmp_path)
    certificate = faults.self_signed(tmp_path)
    with faults.http_fault(HTTP_FAULTS["taken"], certificate) as kept:
        result = command(tmp_path, kept.url)
        assert (kept.requests, kept.spans) == (0, [])
    assert (result.returncode, result.stdout) == (1, "0 sent, 5 left, in 1 run\n")
    assert "certificate" in result.stderr.lower()


def test_short_runs_whose_collector_refuses_at_once_do_not_pile_up(tmp_path: Path) -> None:
    """They ended before they had looked at those before them, and nobody was to be told then."""
    for number in range(300):
        made = run_on_disk(tmp_path / "made", traces=[line("a" * 16)], journal=[])
        folder = tmp_path / "runs" / f"20251122T205630.{number:06}Z-5f0c"
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        made.rename(folder)
    tmp_path.chmod(0o700)
    environ = {
        "PATH": os.environ["PATH"],
        "OTEL_UNTETHER_STATE_DIR": str(tmp_path),
        "OTEL_UNTETHER_KEEP_RUNS": "5",
        "OTEL_UNTETHER_EXIT_TIMEOUT": "20",
    }
    words = ("run", "--engine", "claude", "--", "true")
    told = ""
    with faults.http_fault(HTTP_FAULTS["401"]) as kept:
        for _ in range(3):
            result = subprocess.run(
                [sys.executable, "-m", "otel_untether", *words],
                env=environ | {OTLP: kept.url},
                capture_output=True,
                text=True,
                check=True,
            )
            told += result.stderr
    assert len(Store(tmp_path).folders()) <= 6
    assert "that no collector has had in full" in told
