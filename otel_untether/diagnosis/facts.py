"""What is known about a silent session at one moment; all of it may be unknown.

A fact is True, False or None, and None means *unknown*: it never counts as idle and supports
no kill. Times are ns since the epoch, spans of time are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_untether import semconv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.snapshot import ProcDiag, ProcessDiag, SocketDiag
    from otel_untether.session.activity import Activity
    from otel_untether.session.state import SessionState

Fact: TypeAlias = bool | None

SECOND: Final = 10**9
# One whole core less what the scheduler takes: a loop that never sleeps, on a shared machine.
BUSY: Final = 0.5
# Sockets in these states are nobody's connection any more.
_GONE: Final = frozenset({"TIME_WAIT", "CLOSE"})


@dataclass(frozen=True, slots=True)
class Facts:
    """A session and its process tree, as far as silence is concerned.

    `recent` are the last samples, newest last, without a gap between them; empty when there
    are none or they are too old to speak for now. `children` are the living members other than
    the agent; `established` are the open ones of its own `sockets`. `sockets` and
    `tool_processes` are None when they could not be told. `reference` is the moment
    that the silence is measured from: usually the last sign of life, later where a wait
    explained it. `tainted` says that this
    session continues one that stalled or was killed.
    """

    state: SessionState
    config: WatchdogConfig
    now: int
    reference: int
    tainted: bool
    blocked_since: int | None
    recent: tuple[ProcDiag, ...]
    tools: tuple[Activity, ...]
    subagents: tuple[Activity, ...]
    children: tuple[ProcessDiag, ...]
    sockets: tuple[SocketDiag, ...] | None
    established: tuple[SocketDiag, ...]
    tool_processes: tuple[ProcessDiag, ...] | None

    @property
    def idle(self) -> float:
        """Seconds since the last sign of life."""
        return max(0, self.now - self.state.last_sign) / SECOND

    @property
    def quiet(self) -> float:
        """Seconds of silence that nothing explained."""
        return max(0, self.now - self.reference) / SECOND

    @property
    def newest(self) -> ProcDiag | None:
        """The newest sample."""
        return self.recent[-1] if self.recent else None

    @property
    def leader(self) -> ProcessDiag | None:
        """The agent process itself."""
        return self.newest.leader if self.newest else None

    @property
    def alive(self) -> Fact:
        """Whether the agent process lives; a zombie does not."""
        return self.newest.alive if self.newest else None

    @property
    def ended(self) -> Fact:
        """Whether the agent process was gone in every recent sample."""
        return always([negated(sample.alive) for sample in self.recent])

    @property
    def cpu(self) -> float | None:
        """Cores that the whole tree uses."""
        return self.newest.cpu_rate if self.newest else None

    @property
    def receive_age(self) -> float | None:
        """Seconds since a byte came in on any connection of the tree."""
        ages = [s.receive_age for s in self.established if s.receive_age is not None]
        return min(ages, default=None)

    @property
    def asked_since(self) -> Fact:
        """Whether anything was sent out since the last tool ended, a second's slack allowed."""
        if self.state.last_tool_result_at is None:
            return None
        ages = [s.send_age for s in self.established if s.send_age is not None]
        age = (self.now - self.state.last_tool_result_at) / SECOND
        return None if not ages else min(ages) <= age + 1

    @property
    def resting(self) -> Fact:
        """Whether the tree used next to no CPU in every recent sample."""
        bound = self.config.cpu_idle_bound
        return always([below(sample.cpu_rate, bound) for sample in self.recent])

    @property
    def leader_working(self) -> Fact:
        """Whether the agent process itself used more CPU than that in every recent sample."""
        bound = self.config.cpu_idle_bound
        return always([at_least(sample.leader_cpu_rate, bound) for sample in self.recent])

    @property
    def leader_busy(self) -> Fact:
        """Whether the agent process itself kept a core busy in every recent sample."""
        return always([at_least(sample.leader_cpu_rate, BUSY) for sample in self.recent])

    @property
    def nothing_can_wake_it(self) -> Fact:
        """Whether it lives, runs nothing, and has no connection on which anything could come."""
        connected = None if self.sockets is None else not self.sockets
        return always([self.alive, connected, self.resting])

    @property
    def stopped(self) -> Fact:
        """Whether anything in the tree was stopped, which is somebody's doing."""
        if self.newest is None or self.leader is None:
            return None
        return any(process.state in ("T", "t") for process in self.newest.processes)

    def steadily(self, state: str) -> Fact:
        """Whether the agent process was in `state` in every recent sample."""
        leaders = [sample.leader for sample in self.recent]
        return always([None if not p or p.state is None else p.state == state for p in leaders])

    @property
    def streaming(self) -> Fact:
        """Whether bytes still arrive on the tree's own connections."""
        if self.sockets is None or (self.established and self.receive_age is None):
            return None
        # Providers ping an idle stream every 15 s or so, hence a share of the threshold.
        return bool(self.established) and (self.receive_age or 0) < self.config.stall_timeout / 4


def always(facts: Sequence[Fact]) -> Fact:
    """Return True if all are true, False if one is false, else None; None of nothing."""
    if any(fact is False for fact in facts):
        return False
    return None if not facts or any(fact is None for fact in facts) else True


def negated(fact: Fact) -> Fact:
    """Return the opposite; the opposite of unknown is unknown."""
    return None if fact is None else not fact


def at_least(value: float | None, bound: float) -> Fact:
    """Compare a value that may be unknown."""
    return None if value is None else value >= bound


def below(value: float | None, bound: float) -> Fact:
    """Compare a value that may be unknown."""
    return None if value is None else value < bound


def observe(
    state: SessionState,
    config: WatchdogConfig,
    now: int,
    reference: int,
    recent: tuple[ProcDiag, ...],
    *,
    tainted: bool = False,
    blocked_since: int | None = None,
) -> Facts:
    """Put together what is known at `now`."""
    newest = recent[-1] if recent else None
    sockets = live_sockets(newest)
    children = newest.children if newest else ()
    calls = [call for call in state.open.values() if not starts_subagent(call)]
    return Facts(
        state=state,
        config=config,
        now=now,
        reference=reference,
        tainted=tainted,
        blocked_since=blocked_since,
        recent=recent,
        tools=tuple(calls),
        subagents=tuple(state.subagents) or tuple(filter(starts_subagent, state.open.values())),
        children=children,
        sockets=sockets,
        established=tuple(s for s in sockets or () if s.state == "ESTABLISHED"),
        tool_processes=_tool_processes(newest, children),
    )


def starts_subagent(call: Activity) -> bool:
    """Whether a tool call hands work to a subagent."""
    return semconv.SUBAGENT_NAME in call.attributes or any(
        child.kind == "agent" for child in call.children
    )


def names_tools_late(state: SessionState) -> bool:
    """Whether this engine says nothing of a tool while it runs."""
    return state.traits.names_tools_late


def live_sockets(sample: ProcDiag | None) -> tuple[SocketDiag, ...] | None:
    """Return the tree's sockets that could still carry something, None if unknown."""
    if sample is None or sample.sockets is None:
        return None
    return tuple(s for s in sample.sockets if s.state not in _GONE)


def _tool_processes(
    sample: ProcDiag | None, children: tuple[ProcessDiag, ...]
) -> tuple[ProcessDiag, ...] | None:
    """Return the members in a session of their own, None if that is unknown for one of them.

    Every CLI starts the shell of a tool with setsid, and its MCP servers without.
    """
    if sample is None or sample.leader is None:
        return None
    own = sample.leader.sid
    if own is None or any(child.sid is None for child in children):
        return None
    return tuple(child for child in children if child.sid != own)
