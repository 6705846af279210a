"""What speaks for a kill and against it, gathered from sample to sample.

A kill rests on an unbroken run of samples in each of which the tree provably did nothing and
could not be woken. One sample that says otherwise, or does not say, and the run starts anew.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.facts import live_sockets
from otel_untether.diagnosis.findings import Decision
from otel_untether.diagnosis.words import count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.causes import Explanation
    from otel_untether.diagnosis.findings import Action
    from otel_untether.proc_diag.snapshot import ProcDiag

# Samples are late when the machine is busy; only a real hole (suspend, SIGSTOP) breaks a run.
_SLACK: Final = 2.0
_STATES: Final = {
    "T": ("stopped", "a process was stopped by somebody"),
    "t": ("stopped", "a process is being traced"),
    "D": ("disk_wait", "it waits for a disk, no signal would reach it"),
    "Z": ("dead", "it is dead already"),
    "X": ("dead", "it is dead already"),
}


class Evidence:
    """The last samples, and for how long they have agreed.

    `seen_at` is the newest one's time, `objections` what it says against a wedge. All times are
    seconds on the samples' clock.
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self.config = config
        self.recent: deque[ProcDiag] = deque(maxlen=max(3, config.kill_confirmations))
        self.objections: tuple[str, ...] = ()
        self.hole = 2 * config.sample_interval + _SLACK
        self.seen_at = float("-inf")
        self._seen_now = 0
        self._since: float | None = None
        self._run = 0
        self._cause = ""
        self._cause_run = 0

    def discard(self) -> None:
        """Start anew: what was seen says nothing about what is."""
        self.recent.clear()
        self.start_over()

    def start_over(self) -> None:
        """Forget agreement, not the samples: the silence itself begins anew."""
        self._since, self._run, self._cause, self._cause_run = None, 0, "", 0

    def take(self, samples: Reversible[ProcDiag], now: int) -> bool:
        """Take the samples not seen yet, and return whether there were any."""
        news: list[ProcDiag] = []
        for sample in reversed(samples):
            if sample.at <= self.seen_at:
                break
            news.append(sample)
        for sample in reversed(news):
            self._take(sample)
        if news:
            self._seen_now = now
        return bool(news)

    def _take(self, sample: ProcDiag) -> None:
        if not sample.continuous or sample.at - self.seen_at > self.hole:
            self.discard()
        self.seen_at = sample.at
        self.recent.append(sample)
        self.objections = tuple(code for code, _ in objections(sample, self.config))
        if self.objections:
            self._since, self._run = None, 0
            return
        self._since = sample.at if self._since is None else self._since
        self._run += 1

    def current(self, now: int) -> tuple[ProcDiag, ...]:
        """Return the last samples, or none if the newest is too old to speak for now."""
        if (now - self._seen_now) / 1e9 > self.hole:
            return ()
        return tuple(self.recent)

    def agree(self, cause: str, *, fresh: bool) -> None:
        """Note the cause that the newest sample gives; `fresh` if it is not an old one."""
        if cause != self._cause:
            self._cause, self._cause_run = cause, 0
        self._cause_run += fresh

    def decide(self, explanation: Explanation, now: int) -> Decision:
        """Judge whether what is known is enough to kill for."""
        wedged = explanation.cause == "wedged"
        run = self._run if wedged else self._cause_run
        window = self._window() if wedged else 0.0
        against = dict(self._against(explanation.cause, self.current(now), run, window))
        kill: Action = "dry-run" if self.config.stall_auto_kill == "dry-run" else "kill"
        action: Action = "veto" if against else kill
        return Decision(action, tuple(against), tuple(against.values()), run, window)

    def _window(self) -> float:
        return 0.0 if self._since is None else self.seen_at - self._since

    def _against(
        self, cause: str, recent: tuple[ProcDiag, ...], run: int, window: float
    ) -> Iterator[tuple[str, str]]:
        if cause not in self.config.kill_causes:
            yield "cause", f"{cause} is not among kill_causes"
        if not recent:
            yield "unknown", "the process tree could not be looked at"
            return
        newest = recent[-1]
        # An operator who names another cause knows that it may come with connections and CPU.
        widened = cause != "wedged" and cause in self.config.kill_causes
        yield from _hard_objections(newest) if widened else objections(newest, self.config)
        if newest.leader is not None and newest.leader.state == "R":
            yield "runnable", "it is about to run"
        yield from self._unconfirmed(run, window, wedged=cause == "wedged")

    def _unconfirmed(self, run: int, window: float, *, wedged: bool) -> Iterator[tuple[str, str]]:
        needed = self.config.kill_confirmations
        if run < needed:
            yield "confirmations", f"{count(run, 'sample')} of {needed} agree so far"
        expected = self.config.liveness_timeout / 2
        if wedged and window < expected:
            text = f"it has done nothing for {duration(window)} only, of {duration(expected)}"
            yield "window", text


def objections(sample: ProcDiag, config: WatchdogConfig) -> Iterator[tuple[str, str]]:
    """Yield what in one sample speaks against a wedge: a code, and words."""
    yield from _hard_objections(sample)
    sockets = live_sockets(sample)
    if sockets:
        yield "connections", f"it has {count(len(sockets), 'connection')}"
    if sample.cpu_rate is not None and sample.cpu_rate >= config.cpu_idle_bound:
        yield "cpu", f"it works ({percent(sample.cpu_rate)})"


def _hard_objections(sample: ProcDiag) -> Iterator[tuple[str, str]]:
    """Yield what speaks against a kill whatever the cause."""
    if unknown := [name for name, value in _needed(sample).items() if value is None]:
        yield "unknown", f"unknown: {', '.join(unknown)}"
    if sample.alive is False:
        yield "dead", "it is dead already"
    if sample.leader is not None and sample.leader.state in _STATES:
        yield _STATES[sample.leader.state]
    elif any(process.state in ("T", "t") for process in sample.processes):
        yield _STATES["T"]


def _needed(sample: ProcDiag) -> dict[str, object]:
    return {
        "whether it lives": sample.alive,
        "its state": sample.leader.state if sample.leader else None,
        "its connections": sample.sockets,
        "its CPU use": sample.cpu_rate,
    }
