"""What speaks for a kill and against it, gathered from sample to sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.diagnosis.findings import Decision
from otel_untether.diagnosis.objections import against_a_wedge, hard_objections, objections
from otel_untether.diagnosis.samples import RecentSamples
from otel_untether.session.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Reversible

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.diagnosis.findings import Action
    from otel_untether.proc_diag.snapshot import TreeSnapshot


class LivenessWatchdog:
    """What speaks for a kill of a silent session and against it, from sample to sample.

    A kill rests on an unbroken run of samples in each of which the tree provably did nothing
    and could not be woken. One sample that says otherwise, or does not say, and the run starts
    anew. `samples` are the newest ones, `objections` what the newest has against a wedge.

    :param config: the thresholds, and whether a session may be killed.
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self.config = config
        self.samples = RecentSamples(config)
        self.objections: tuple[str, ...] = ()
        self._since: float | None = None
        self._cause = ""
        self._run = 0
        self._doubts: dict[str, str] = {}

    def discard(self) -> None:
        """Start anew: what was seen says nothing about what is."""
        self.samples.discard()
        self.start_over()

    def start_over(self) -> None:
        """Forget agreement, not the samples: the silence itself begins anew."""
        self._since, self._cause, self._run, self._doubts = None, "", 0, {}

    def heard(self) -> None:
        """Take note of a sign of life: nothing is wedged, though something may still hang."""
        self._since = None
        if self._cause == "wedged":
            self.start_over()

    def take(self, window: Reversible[TreeSnapshot], now: int) -> bool:
        """Take the samples not seen yet, and return whether there were any.

        :param window: the last samples of the tree, oldest first.
        :param now: the time, in ns since the epoch.
        """
        news = self.samples.take(window, now)
        for sample in news:
            self._take(sample)
        return bool(news)

    def _take(self, sample: TreeSnapshot) -> None:
        if not self.samples.keep(sample):
            self.start_over()
        self.objections = tuple(code for code, _ in objections(sample, self.config))
        if self.objections:
            self._since = None
        elif self._since is None:
            self._since = sample.at

    def agree(self, cause: str, facts: Facts, *, fresh: bool) -> None:
        """Note the cause that the newest sample and look give.

        :param cause: the cause.
        :param facts: what it rests on.
        :param fresh: whether they are new.
        """
        if cause == "wedged":
            self._doubts = against_a_wedge(facts)
        if cause != self._cause or (cause == "wedged" and self._doubts):
            self._cause, self._run = cause, 0
        self._run += fresh and not (cause == "wedged" and self._doubts)

    def decide(self, cause: str, facts: Facts) -> Decision:
        """Judge whether what is known is enough to kill for.

        :param cause: why the session is silent.
        :param facts: what that rests on.
        """
        wedged = cause == "wedged"
        window = self._window() if wedged else 0.0
        against = dict(self._against(cause, facts, window))
        kill: Action = "dry-run" if self.config.stall_auto_kill == "dry-run" else "kill"
        action: Action = "veto" if against else kill
        return Decision(action, tuple(against), tuple(against.values()), self._run, window)

    def _window(self) -> float:
        return 0.0 if self._since is None else self.samples.seen_at - self._since

    def _against(self, cause: str, facts: Facts, window: float) -> Iterator[tuple[str, str]]:
        if cause not in self.config.kill_causes:
            yield "cause", f"{cause} is not among kill_causes"
        if facts.newest is None:
            yield "unknown", "the process tree could not be looked at"
            return
        # An operator who names another cause knows that it may come with connections and CPU.
        if cause != "wedged" and cause in self.config.kill_causes:
            yield from hard_objections(facts.newest)
            yield from _unseen(cause, facts)
            yield from _at_work(cause, facts)
        else:
            yield from objections(facts.newest, self.config)
            yield from against_a_wedge(facts).items()
        yield from self._unconfirmed(window, wedged=cause == "wedged")

    def _unconfirmed(self, window: float, *, wedged: bool) -> Iterator[tuple[str, str]]:
        needed = self.config.kill_confirmations
        if self._run < needed:
            yield "confirmations", f"{count(self._run, 'sample')} of {needed} agree so far"
        expected = self.config.liveness_timeout / 2
        if wedged and window < expected:
            text = f"it has done nothing for {duration(window)} only, of {duration(expected)}"
            yield "window", text


def _unseen(cause: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield why what cannot be seen spares it: an agent elsewhere, retries that are but likely."""
    told = any(wait.kind == "retry" for wait in facts.state.waits.values())
    if cause == "model_unreachable" and not told:
        yield "refused", "that it retries is likely, and not known"
    client = facts.look.remote_client if facts.look else None
    if client is not None and cause != "exit_limbo":
        yield "remote_client", f"{client} is a client: the agent runs elsewhere"


def _at_work(cause: str, facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield why even a cause that the operator named is no reason: somebody is at work."""
    if cause == "spinning":
        return
    if facts.tools_at_work:
        yield "working", f"{facts.tools_at_work[0].name or 'a process'} works"
    if facts.streaming:
        yield "receiving", "bytes still arrive on its connection"
    if facts.writes_elsewhere:
        yield "writing", "it writes, though not to its output: perhaps its transcript grows"
