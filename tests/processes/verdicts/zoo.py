"""Real processes in states that agents get into, and the right answer to each, written first.

A `State` is a row of a table: what runs, and what must be said and done about it. It runs under
the name of a real CLI, with that CLI's command line, is watched as a program watches an agent
(`Host`: decoder, sampler, detector, killer), and has seconds where production has minutes.

No verdict depends on how fast this machine is. A state is timed from its own word that it has
been reached (`at_rest`), for so many samples, and lateness is counted in samples.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from otel_untether.clock import Clock
from otel_untether.config.keys import KILLABLE
from otel_untether.config.settings import Config, WatchdogConfig
from otel_untether.stall import Finding, describe
from otel_untether.watching.guest_host import GuestHost
from otel_untether.watching.listener import Listener
from otel_untether.watching.subject import End, RunInfo, Subject
from tests.support import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any, Literal, TypeAlias

    from otel_untether.kill.killer import KillReport
    from otel_untether.proc_diag import TreeSnapshot

    Stdin: TypeAlias = Literal["null", "open"]
    Mode: TypeAlias = Literal["off", "kill", "all"]

QUICK: Final = WatchdogConfig(
    stall_timeout=1.5,
    stall_repeat_seconds=0.4,
    liveness_timeout=2.4,
    kill_grace=1.0,
    startup_timeout=1.5,
    tool_timeout=2.4,
    mcp_tool_timeout=2.4,
    subagent_timeout=2.4,
    hook_timeout=1.8,
    compaction_timeout=1.8,
    approval_timeout=1.8,
    post_result_timeout=1.0,
    wait_timeout=0.6,
    sample_interval=0.2,
    cpu_idle_bound=0.06,
)
# For one that wakes: a sample of 0.2 s may meet two ticks of the kernel's clock of CPU time. It has
# to wake more than once in so long, as the two looks that tell may be no further apart.
WAKING: Final = {"cpu_idle_bound": 0.2}
# Samples after the liveness check's time for which a state is watched on.
_AFTER: Final = 7
_TRIES: Final = 6
_STARVED: Final = 3.0  # samples
# What it takes to start a Python on a machine with nothing to do, and the most that is allowed for.
_BRISK: Final = 0.1  # seconds
_SLOWEST: Final = 5.0
_LAST_WORD: Final = 10.0  # seconds
_AT_MOST: Final = 90.0  # seconds, for one state on the slowest machine
_LATE: Final = 2  # samples
# Who has not said a thing has been silent since it was started.
_FROM_THE_START: Final = ("startup_timeout", "liveness_timeout")
_HERE: Final = Path(__file__).parent
_AGENT: Final = """#!{python} -SE
import os, sys
sys.path.insert(0, {here!r})
from kit import *
exec(compile(os.environ["ZOO_SOURCE"], "state", "exec"))
"""


@dataclass(frozen=True)
class Quiet:
    """Nothing is amiss: no stall is reported, and nobody is killed, whatever was opted in.

    With `said`, that is what explains the silence, and it is reported as a wait.
    """

    said: str | None = None


@dataclass(frozen=True)
class Named:
    """A stall with this cause, at this threshold and no later than two samples after it.

    It is killed by default only if it is `wedged`, and where every cause was opted in if that
    cause may be; or, in both cases, as `killed` says. `also` are causes that may be named later,
    as more is known. `words` must be in the report.
    """

    cause: str
    at: str = "stall_timeout"
    killed: bool | None = None
    also: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """One row: `source` runs in the agent's process, `argv` is its command line.

    `inside` has what must be there before it
    starts: its environment. `config` are thresholds that differ. `share` is how much of a core
    its process must have had for the state to have come about at all: else it is tried again.
    `late` are samples that it may take in addition, to notice what the clock counts from. It
    `needs` these programs, and root's rights where it is `privileged`; `barred` says why this
    kernel cannot bring anybody into it, if so.
    """

    name: str
    right: Quiet | Named
    source: str
    argv: str = "claude -p hi --output-format stream-json --verbose"
    stdin: Stdin = "null"
    unread: bool = False
    around: Callable[[int], AbstractContextManager[object]] | None = None
    inside: Callable[[Path], AbstractContextManager[Mapping[str, str]]] | None = None
    typed: tuple[tuple[float, bytes], ...] = ()
    config: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.0
    late: int = 0
    needs: tuple[str, ...] = ()
    privileged: bool = False
    barred: str | None = None


def impossible(state: State) -> str | None:
    """Return why this machine cannot be brought into a state, None where it can."""
    missing = [program for program in state.needs if shutil.which(program) is None]
    if missing:
        return f"there is no {' and no '.join(missing)}"
    if state.privileged and os.geteuid() != 0:
        return "only root can"
    return state.barred


class Witness(Listener):
    """Writes down what it is told, and how many samples came between."""

    def __init__(self) -> None:
        self.samples: list[int] = []
        self.over = False
        self.findings: list[Finding] = []
        self.report: KillReport | None = None

    def sampled(self, diag: TreeSnapshot, now: int) -> None:
        del diag
        if now not in self.samples[-1:]:  # of those that come together one counts
            self.samples.append(now)

    def found(self, finding: Finding) -> None:
        if not self.over:
            self.findings.append(finding)

    def killed(self, cause: str, report: KillReport) -> None:
        del cause
        self.report = report

    @property
    def stalls(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind == "stall"]


class _ZooHost(GuestHost):
    """A host with one more listener: ours."""

    witness: Witness

    def _listeners(self, *args: Any) -> list[Listener]:
        return [*super()._listeners(*args), self.witness]


@dataclass
class Outcome:
    """How a state was judged."""

    state: State
    mode: Mode
    config: WatchdogConfig
    witness: Witness
    at_rest: int | None = None
    share: float = 0.0
    ended: bool = False

    def wrong(self) -> list[str]:
        """Return what of it is not right, in words; nothing if all is."""
        if self.at_rest is None:
            return ["the state was never reached"]
        right = self.state.right
        return [*(self._quiet(right) if isinstance(right, Quiet) else self._named(right))]

    def _quiet(self, right: Quiet) -> list[str]:
        wrong = [f"called stalled: {self._say(one)}" for one in self.witness.stalls]
        if self.killed or self.ended:
            wrong.append("killed")
        waits = {one.cause for one in self.witness.findings if one.kind == "waiting"}
        if right.said is not None and waits != {right.said}:
            wrong.append(f"explained by {sorted(waits)}, not by {right.said}")
        return wrong

    def _named(self, right: Named) -> list[str]:
        if not self.witness.stalls:
            return ["missed", *map(self._say, self.witness.findings)]
        wrong = [
            f"called {self._say(one)}"
            for one in self.witness.stalls
            if one.cause not in (right.cause, *right.also)
        ]
        first = self.witness.stalls[0]
        if first.cause != right.cause:
            wrong.append(f"first called {first.cause}")
        wrong += [f"does not say {w!r}: {self._say(first)}" for w in self._unsaid(right)]
        due = (self.at_rest or 0) + round(getattr(self.config, right.at) * 1e9)
        late = sum(due < at <= first.at for at in self.witness.samples)
        if late > _LATE + self.state.late + 1:  # one more, as the agent's word takes its time to us
            wrong.append(f"found {late} samples late")
        if first.at < due - round(0.5e9) and right.at not in _FROM_THE_START:
            wrong.append(f"found early: {self._say(first)}")
        if self.killed != self._to_be_killed(right):
            wrong.append("killed" if self.killed else "not killed")
            wrong += [self._say(one) for one in self.witness.findings if one.kind == "veto"]
        return wrong

    def to_be_tried_again(self, *, loaded: bool) -> bool:
        """Whether it did not come about: no CPU for the state, or none for who watches it.

        While others take both cores, one look may find a thread in the middle of something, and
        say so, where the next one finds it at rest. A kill that must not be is wrong on any
        machine, however busy.
        """
        right, wrong = self.state.right, self.wrong()
        doomed = isinstance(right, Named) and self._to_be_killed(right)
        if not wrong or (self.killed and not doomed):
            return False
        return loaded or self.starved or self.hurried or self.share < self.state.share

    @property
    def hurried(self) -> bool:
        """Whether something was found before the state was reached: it took too long to start."""
        at = self.at_rest
        return any(at is None or finding.at < at for finding in self.witness.findings)

    @property
    def starved(self) -> bool:
        """Whether those who watch were kept waiting for several samples."""
        times = [
            self.at_rest or 0,
            *(at for at in self.witness.samples if at > (self.at_rest or 0)),
        ]
        longest = max((b - a for a, b in itertools.pairwise(times)), default=0)
        return longest > _STARVED * self.config.sample_interval * 1e9

    def _unsaid(self, right: Named) -> list[str]:
        said = " ".join(self._say(one) for one in self.witness.stalls)
        return [word for word in right.words if word not in said]

    def _say(self, finding: Finding) -> str:
        return f"{finding.kind} {finding.cause}: {describe(finding)}"

    @property
    def killed(self) -> bool:
        report = self.witness.report
        return report is not None and not report.survivors and self.ended

    def _to_be_killed(self, right: Named) -> bool:
        return to_be_killed(right, self.mode)


def to_be_killed(right: Named, mode: Mode) -> bool:
    if mode == "off":
        return False
    if right.killed is not None:
        return right.killed
    return right.cause == "wedged" or (mode == "all" and right.cause in KILLABLE)


class Zoo:
    """Where states are put into being: the CLIs by name, and the peers of their connections."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in _CLIS:
            path = self.bin / name
            path.write_text(_AGENT.format(python=sys.executable, here=str(_HERE)))
            path.chmod(0o755)
        self._peers = subprocess.Popen(
            [sys.executable, "-SE", str(_HERE / "peers.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._peers.stdout is not None
        places = json.loads(self._peers.stdout.readline())
        self.environ = {f"ZOO_{name.upper()}": str(place) for name, place in places.items()}

        self.slowness = 1.0
        self._taken: deque[float] = deque(maxlen=5)
        for _ in range(3):
            self._start_one()
        self._closing = threading.Event()
        self._measuring = threading.Thread(target=self._measure)
        self._measuring.start()

    def close(self) -> None:
        self._closing.set()
        self._measuring.join()
        self._peers.communicate()

    def _measure(self) -> None:
        """Follow how busy the machine is: all times are as much longer as a start takes longer."""
        while not self._closing.wait(1.0):
            self._start_one()

    def _start_one(self) -> None:
        begun, taken = time.monotonic(), self._taken
        subprocess.run([sys.executable, "-SE", "-c", ""], check=True)
        taken.append(time.monotonic() - begun)
        self.slowness = min(_SLOWEST, max(1.0, sorted(taken)[len(taken) // 2] / _BRISK))

    def judge(self, state: State, mode: Mode, *, loaded: bool = False) -> Outcome:
        """Run a state and watch it; `loaded` says that others take both cores."""
        config = QUICK._replace(
            stall_auto_kill=mode != "off",
            kill_causes=KILLABLE if mode == "all" else ("wedged",),
            **state.config,  # type: ignore[arg-type]
        ).scaled(self.slowness)
        for _ in range(_TRIES):
            with contextlib.ExitStack() as stack:
                name = tempfile.mkdtemp(dir=self.folder)
                inside = stack.enter_context(state.inside(Path(name))) if state.inside else {}
                outcome = Watch(self, state, mode, config, Path(name), inside).run()
            if not outcome.to_be_tried_again(loaded=loaded):
                break
        return outcome


class Watch:
    """One state, run and watched to its end."""

    def __init__(
        self,
        zoo: Zoo,
        state: State,
        mode: Mode,
        config: WatchdogConfig,
        folder: Path,
        inside: Mapping[str, str],
    ) -> None:
        self.state = state
        self.folder = folder
        self.clock = Clock()
        self.witness = Witness()
        self.outcome = Outcome(state, mode, config, self.witness)
        self.argv = shlex.split(state.argv)
        self.environ = {
            **os.environ,
            **zoo.environ,
            **inside,
            "PATH": f"{zoo.bin}:{os.environ['PATH']}",
            "ZOO_SOURCE": textwrap.dedent(state.source),
            "HOME": str(folder),
        }
        host = _ZooHost(
            Config(watchdog=config),
            tracer_provider=NoOpTracerProvider(),
            meter_provider=NoOpMeterProvider(),
        )
        host.witness = self.witness
        info = RunInfo.of_command(f"{state.name}-{mode}", self.clock.now(), self.argv)
        self.session = host.open(Subject(info, self.clock, sampled=True, heard=True))

    def run(self) -> Outcome:
        process = subprocess.Popen(
            self.argv,
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.PIPE if self.state.stdin == "open" else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.session.spawned(process.pid)
        threads = [threading.Thread(target=self._errors, args=(process,))]
        if not self.state.unread:
            threads.append(threading.Thread(target=self._read, args=(process,)))
        for thread in threads:
            thread.start()
        try:
            with contextlib.ExitStack() as stack:
                self._await_rest(process)
                if self.state.around is not None:
                    stack.enter_context(self.state.around(process.pid))
                self._watch(process)
                self.witness.over = True
        finally:
            self.witness.over = True
            if self.session.silence is not None:
                self.session.silence.close(self.session._lock)
            self.outcome.ended = _has_ended(process)
            processes.kill_tree(process)
            for thread in threads:
                thread.join()
            self.session.finish(End.of_status(process.wait(), self.clock.now()))
            processes.end_tree(process)
            assert process.stderr is not None
            process.stderr.close()
        return self.outcome

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 65536):
            self.session.feed(chunk, self.clock.now())

    def _errors(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        seen = b""
        while chunk := os.read(process.stderr.fileno(), 65536):
            seen += chunk
            if self.outcome.at_rest is None and b"at rest\n" in seen:
                self.outcome.at_rest = self.clock.now()
            elif self.outcome.at_rest is None:
                self.said = seen.decode(errors="replace")

    def _await_rest(self, process: subprocess.Popen[bytes]) -> None:
        ended = time.monotonic()
        until = ended + _AT_MOST
        while self.outcome.at_rest is None and time.monotonic() < until:
            if _has_ended(process):  # its last word may yet be on its way to us
                until = min(until, ended + _LAST_WORD)
            else:
                ended = time.monotonic()
            time.sleep(0.01)

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        begun, before = time.monotonic(), _cpu_time(process.pid)
        self._watch_on(process)
        used = _cpu_time(process.pid) - before
        self.outcome.share = used / (time.monotonic() - begun)

    def _watch_on(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _AT_MOST
        typed = list(self.state.typed)
        while time.monotonic() < until and not self._enough(process):
            at = self.outcome.at_rest
            if typed and at is not None and self.clock.now() - at >= typed[0][0] * 1e9:
                assert process.stdin is not None
                process.stdin.write(typed.pop(0)[1])
                process.stdin.flush()
            time.sleep(0.02)

    def _enough(self, process: subprocess.Popen[bytes]) -> bool:
        at, right = self.outcome.at_rest, self.state.right
        if at is None:
            return _has_ended(process)
        if self.witness.report is not None:
            return True
        horizon = at + round(1e9 * self._horizon(right))
        after = sum(one > horizon for one in self.witness.samples)
        waits = {one.cause for one in self.witness.findings if one.kind == "waiting"}
        if isinstance(right, Quiet) and right.said and right.said not in waits:
            return bool(self.witness.stalls)
        doomed = isinstance(right, Named) and to_be_killed(right, self.outcome.mode)
        return after >= _AFTER and not doomed  # whom a kill awaits is waited for

    def _horizon(self, right: Quiet | Named) -> float:
        config = self.outcome.config
        extra = float(sum(pause for pause, _ in self.state.typed[-1:]))
        named = getattr(config, right.at) if isinstance(right, Named) else 0.0
        return max(config.liveness_timeout, named) + extra


def _cpu_time(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(OSError):
        return processes.state_of(process.pid) in ("Z", "X")
    return True


_CLIS: Final = (
    "claude", "codex", "pi", "gemini", "opencode", "qwen", "copilot", "docker", "ssh", "kubectl",
    "mystery",
)  # fmt: skip
