"""A running session is watched: what follows from what is found."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_untether import RunInfo, semconv
from otel_untether.clock import Clock
from otel_untether.config.settings import WatchdogConfig
from otel_untether.kill.killer import KillReport
from otel_untether.proc_diag import TreeSnapshot
from otel_untether.proc_diag.sampler import Sampler
from otel_untether.session import events as ev
from otel_untether.session.activity import AttributeValue
from otel_untether.session.fold.apply import apply
from otel_untether.session.state import SessionState
from otel_untether.spans import SessionTracer
from otel_untether.stall import Finding, describe
from otel_untether.watching.listener import Listener
from otel_untether.watching.silence import SilenceWatch
from otel_untether.watching.subject import Subject
from otel_untether.watching.telemetry import Traced

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
ASLEEP = "import threading; print(1, flush=True); threading.Event().wait()"


class Witness(Listener):
    """Writes down what it is told, in order."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.events: list[str] = []
        self.lines: list[str] = []
        self.stalls: list[Finding] = []
        self.samples = 0
        self.reports: list[KillReport] = []

    def noted(self, event: str, facts: Mapping[str, AttributeValue], at: int) -> None:
        assert at > 0
        if self.full:
            raise OSError(f"no space left for {len(facts)} facts")
        self.events.append(event)

    def sampled(self, diag: TreeSnapshot, now: int) -> None:
        assert diag.at <= now
        self.samples += 1

    def found(self, finding: Finding) -> None:
        self.lines.append(describe(finding))
        self.events += [] if finding.carried_out else [finding.kind]
        self.stalls += [finding] if finding.kind == "stall" else []

    def killed(self, cause: str, report: KillReport) -> None:
        assert cause
        self.reports.append(report)

    def flush(self) -> None:
        self.events.append("flush")


class Watched:
    """A real process that says nothing, and whoever watches its silence."""

    def __init__(self, config: WatchdogConfig, witness: Witness, *, heard: bool = True) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", ASLEEP], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "it ended before it was asleep"
        self.clock = Clock()
        self._spans = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._spans))
        run = RunInfo("run", self.clock.now(), engine="claude", pid=self.process.pid)
        self.state = SessionState(run.run_id, run.started, engine="claude", pid=run.pid)
        tracer = SessionTracer(self.state, tracer_provider=provider)
        self._sampler = Sampler(config.sample_interval)
        self._lock = threading.RLock()
        self.silence = SilenceWatch(
            Subject(run, self.clock, sampled=True, heard=heard),
            self.process.pid,
            self.state,
            config,
            self._sampler,
            [witness, Traced(tracer, run)],
            witness.flush,
        )

    def say(self) -> None:
        """Pretend that the agent printed its first line."""
        self.state.line(self.clock.now())
        apply(self.state, ev.SessionStarted(at=self.clock.now(), session_id="s"))

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            self.silence.tick(self.clock.now(), self._lock)
            time.sleep(0.02)

    def stop(self) -> None:
        self.silence.close(self._lock)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name == name]

    def close(self) -> None:
        self.stop()
        self._sampler.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@contextlib.contextmanager
def watched(config: WatchdogConfig, witness: Witness, *, heard: bool = True) -> Iterator[Watched]:
    session = Watched(config, witness, heard=heard)
    try:
        session.say()
        yield session
    finally:
        session.close()


def test_a_stall_is_a_span_that_has_ended_while_the_session_still_runs(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(0.7)
        (stall, *_) = session.named("untether.stall")
        assert session.process.poll() is None
    assert stall.end_time is not None
    assert (stall.attributes or {})[semconv.STALL_CAUSE] == "wedged"
    assert (stall.attributes or {})["error.type"] == "wedged"
    assert not [name for name in stall.attributes or () if name.startswith("gen_ai.")]


def test_the_operator_is_told_in_one_line_and_once(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(0.7)
    assert witness.lines[0].startswith("silent for ")
    assert [finding.kind for finding in witness.stalls] == ["stall"]


def test_nothing_is_killed_by_default(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(2.0)
        assert session.process.poll() is None
    assert "liveness" in witness.events
    assert not [event for event in witness.events if "kill" in event]


def test_a_kill_is_recorded_and_flushed_before_the_first_signal(witness: Witness) -> None:
    with watched(KILLING, witness) as session:
        session.watch(5.0)
        session.stop()
        assert session.process.wait(60) == -signal.SIGTERM
        assert session.silence.killed_for == "wedged"
    begun = witness.events.index(semconv.EVENT_KILL_DECIDED)
    assert witness.events[begun + 1] == "flush"
    assert witness.events[begun:].index(semconv.EVENT_KILL_SIGNALLED) > 1
    assert witness.events[-1] == semconv.EVENT_KILL_COMPLETED
    assert [report.survivors for report in witness.reports] == [()]


def test_a_decision_that_cannot_be_recorded_is_not_carried_out() -> None:
    witness = Witness(full=True)
    with watched(KILLING, witness) as session:
        session.watch(2.5)
        session.stop()
        assert session.process.poll() is None
        assert session.silence.killed_for is None
    assert [report.refused for report in witness.reports if report.refused]


def test_a_dry_run_decides_and_signals_nobody(witness: Witness) -> None:
    with watched(QUICK._replace(stall_auto_kill="dry-run"), witness) as session:
        session.watch(2.5)
        assert session.process.poll() is None
    assert "kill" in witness.events
    assert semconv.EVENT_KILL_SIGNALLED not in witness.events


def test_a_session_that_speaks_again_has_recovered(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(0.7)
        session.say()
        session.watch(0.2)
    assert "recovered" in witness.events


def test_a_recovery_right_before_the_end_is_not_missed(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(0.7)
        session.say()
        session.stop()
    assert "recovered" in witness.events


def test_an_agent_that_is_not_heard_is_never_called_silent(witness: Witness) -> None:
    """Its stdout is a terminal: only its process is watched."""
    with watched(QUICK, witness, heard=False) as session:
        session.watch(1.0)
    assert witness.lines == []
    assert witness.samples > 0


def test_peaks_and_stalls_are_in_the_summary(witness: Witness) -> None:
    with watched(QUICK, witness) as session:
        session.watch(0.7)
        session.stop()
        extra = session.silence.attributes()
    assert extra[semconv.STALL_COUNT] == 1
    assert extra[semconv.STALLED] is True
    assert extra[semconv.PEAK_PROCESSES] == 1
    assert isinstance(extra[semconv.PEAK_RSS], int)
