"""A running session is watched: what follows from what is found."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import Recorder, RunInfo, semconv
from otel_untether.clock import Clock
from otel_untether.config.settings import WatchdogConfig
from otel_untether.kill.killer import KillReport
from otel_untether.proc_diag import ProcDiag, Tree
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.session import events as ev
from otel_untether.session.activity import AttributeValue
from otel_untether.stall import Finding
from otel_untether.supervisor.observer import Child
from otel_untether.watching.monitor import Monitor

# Seconds where production has minutes.
QUICK = WatchdogConfig(
    stall_timeout=0.4,
    stall_repeat_seconds=0.4,
    liveness_timeout=0.8,
    startup_timeout=0.4,
    resume_startup_timeout=0.2,
    kill_grace=0.5,
    kill_confirmations=2,
    sample_interval=0.1,
)
KILLING = QUICK._replace(stall_auto_kill=True)
ASLEEP = "import threading; threading.Lock().acquire(); threading.Event().wait()"


class Desk:
    """Writes down what it is told, in order."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.events: list[str] = []
        self.lines: list[str] = []
        self.kept: list[Finding] = []
        self.samples = 0
        self.reports: list[KillReport] = []

    def record(self, event: str, facts: Mapping[str, AttributeValue]) -> None:
        if self.full:
            raise OSError(f"no space left for {len(facts)} facts")
        self.events.append(event)

    def keep(self, finding: Finding, tree: Tree) -> None:
        assert tree.pid > 0
        self.kept.append(finding)

    def sampled(self, diag: ProcDiag, now: int) -> None:
        assert diag.at <= now
        self.samples += 1

    def found(self, finding: Finding) -> None:
        """Nothing to count here."""

    def killed(self, cause: str, report: KillReport) -> None:
        assert cause
        self.reports.append(report)

    def flush(self) -> None:
        self.events.append("flush")

    def say(self, line: str) -> None:
        self.lines.append(line)


class Watched:
    """A real process that says nothing, under a monitor."""

    def __init__(self, config: WatchdogConfig, desk: Desk, *, relayed: bool = True) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", ASLEEP])
        self.clock = Clock()
        self.desk = desk
        self._spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        run = RunInfo("run", self.clock.now(), engine="claude", pid=self.process.pid)
        self.recorder = Recorder(run, tracer_provider=provider)
        child = Child(
            pid=self.process.pid,
            argv=("claude",),
            started=self.clock.now(),
            clock=self.clock,
            relayed=frozenset({"stdout"} if relayed else ()),
            blocked_since=lambda: None,
        )
        self._sampler = Sampler(config.sample_interval)
        self.monitor = Monitor(self.recorder, child, config, self._sampler, desk)

    def say(self) -> None:
        """Pretend that the agent printed its first line."""
        self.recorder.state.line(self.clock.now())
        self.recorder.event(ev.SessionStarted(at=self.clock.now(), session_id="s"))

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            self.monitor.tick(self.clock.now())
            time.sleep(0.02)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def close(self) -> None:
        self.monitor.close()
        self._sampler.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@contextlib.contextmanager
def watched(config: WatchdogConfig, desk: Desk, *, relayed: bool = True) -> Iterator[Watched]:
    session = Watched(config, desk, relayed=relayed)
    try:
        session.say()
        yield session
    finally:
        session.close()


def test_a_stall_is_a_span_that_has_ended_while_the_session_still_runs(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(0.7)
        (stall, *_) = session.named("untether.stall")
        assert session.process.poll() is None
    assert stall.end_time is not None
    assert (stall.attributes or {})[semconv.STALL_CAUSE] == "wedged"
    assert (stall.attributes or {})["error.type"] == "wedged"
    assert not [name for name in stall.attributes or () if name.startswith("gen_ai.")]


def test_the_operator_is_told_in_one_line_and_a_dump_is_kept(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(0.7)
    assert desk.lines[0].startswith("silent for ")
    assert [finding.kind for finding in desk.kept] == ["stall"]


def test_nothing_is_killed_by_default(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(2.0)
        assert session.process.poll() is None
    assert semconv.EVENT_LIVENESS_EXPIRED in desk.events
    assert not [event for event in desk.events if "kill" in event]


def test_a_kill_is_recorded_and_flushed_before_the_first_signal(desk: Desk) -> None:
    with watched(KILLING, desk) as session:
        session.watch(5.0)
        session.monitor.close()
        assert session.process.wait(5) == -signal.SIGTERM
        assert session.monitor.killed_for == "wedged"
    begun = desk.events.index(semconv.EVENT_KILL_DECIDED)
    assert desk.events[begun + 1] == "flush"
    assert desk.events[begun:].index(semconv.EVENT_KILL_SIGNALLED) > 1
    assert desk.events[-1] == semconv.EVENT_KILL_COMPLETED
    assert [report.survivors for report in desk.reports] == [()]


def test_a_decision_that_cannot_be_recorded_is_not_carried_out() -> None:
    desk = Desk(full=True)
    with watched(KILLING, desk) as session:
        session.watch(2.5)
        session.monitor.close()
        assert session.process.poll() is None
        assert session.monitor.killed_for is None
    assert [line for line in desk.lines if line.startswith("not killed: the decision could not")]


def test_a_dry_run_decides_and_signals_nobody(desk: Desk) -> None:
    with watched(QUICK._replace(stall_auto_kill="dry-run"), desk) as session:
        session.watch(2.5)
        assert session.process.poll() is None
    assert semconv.EVENT_KILL_DECIDED in desk.events
    assert semconv.EVENT_KILL_SIGNALLED not in desk.events


def test_a_session_that_speaks_again_has_recovered(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(0.7)
        session.say()
        session.watch(0.2)
    assert semconv.EVENT_STALL_RECOVERED in desk.events


def test_a_recovery_right_before_the_end_is_not_missed(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(0.7)
        session.say()
        session.monitor.close()
    assert semconv.EVENT_STALL_RECOVERED in desk.events


def test_an_agent_that_is_not_heard_is_never_called_silent(desk: Desk) -> None:
    """Its stdout is a terminal: only its process is watched."""
    with watched(QUICK, desk, relayed=False) as session:
        session.watch(1.0)
    assert desk.lines == []
    assert desk.samples > 0


def test_peaks_and_stalls_are_in_the_summary(desk: Desk) -> None:
    with watched(QUICK, desk) as session:
        session.watch(0.7)
        session.monitor.close()
        extra = session.recorder.extra
    assert extra[semconv.STALL_COUNT] == 1
    assert extra[semconv.STALLED] is True
    assert extra[semconv.PEAK_PROCESSES] == 1
    assert isinstance(extra[semconv.PEAK_RSS], int)
