"""The waits that explain a silence, each for a while: an approval for ever, all others not.

Somebody was asked, and asked they stay: an approval is reported once it is old, and never
called a stall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.clocks import is_a_call
from otel_untether.diagnosis.facts import BUSY, SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.snapshot import Identity, TreeSnapshot
    from otel_untether.session.activity import Wait
    from otel_untether.session.events import WaitKind
    from otel_untether.session.state import SessionState

ASKED: Final[tuple[WaitKind, ...]] = ("approval", "question")
_DAY: Final = 24 * 3600.0

# What a wait is called as the explanation of a silence.
EXPLANATIONS: Final[dict[WaitKind, str]] = {
    "approval": "awaiting_approval",
    "question": "awaiting_approval",
    "rate_limit": "rate_limited",
    "retry": "retrying",
    "compaction": "compacting",
    "scheduled": "scheduled",
    "hook": "hook_running",
    "host": "hook_running",
}


def excuse_ends(wait: Wait, config: WatchdogConfig) -> int | None:
    """Return until when (ns) a wait explains silence, None for ever.

    An announced end is believed for a day at most: a wrong one must not blind us.
    """
    if wait.kind in ASKED:
        return None
    if wait.kind == "compaction":
        return wait.since + int(config.compaction_timeout * SECOND)
    begun = wait.renewed or wait.since
    if wait.until is not None:
        return min(wait.until, begun + int(_DAY * SECOND))
    return begun + int(_age_limit(wait.kind, config) * SECOND)


def _age_limit(kind: WaitKind, config: WatchdogConfig) -> float:
    if kind in ("hook", "host"):
        return config.hook_timeout
    return config.background_timeout if kind == "scheduled" else config.wait_timeout


def asked(state: SessionState, answered: frozenset[str] = frozenset()) -> Wait | None:
    """Return the oldest request that somebody has yet to answer, those `answered` left out."""
    open_ones = (w for w in state.waits.values() if w.kind in ASKED and w.key not in answered)
    return min(open_ones, key=_since, default=None)


def in_force(
    state: SessionState,
    config: WatchdogConfig,
    now: int,
    answered: frozenset[str] = frozenset(),
) -> Wait | None:
    """Return the wait that explains silence at `now` (ns), None if none does.

    `answered` are the keys of requests whose answer left no line, but a process.
    """
    if (request := asked(state, answered)) is not None:
        return request
    ends = ((wait, excuse_ends(wait, config)) for wait in _excusing(state))
    return next((wait for wait, end in ends if end is not None and now < end), None)


def _excusing(state: SessionState) -> Iterator[Wait]:
    """Yield the waits that have a time of their own, and not that of a call that is open."""
    return (wait for wait in state.waits.values() if not is_a_call(wait, state))


def last_excused(state: SessionState, config: WatchdogConfig, now: int) -> int:
    """Return the last moment (ns) up to which a wait explained the silence, 0 if none did."""
    ends = (excuse_ends(wait, config) for wait in _excusing(state))
    return max((min(end, now) for end in ends if end is not None), default=0)


def _since(wait: Wait) -> int:
    return wait.since


def stirs(recent: Sequence[TreeSnapshot], config: WatchdogConfig) -> bool:
    """Whether a tree does something: it computes, or bytes come and go on a connection.

    An agent that keeps a core busy by itself does not: that is a loop.
    """
    if not recent:
        return False
    newest, fresh = recent[-1], 2 * config.sample_interval
    ages = [age for s in newest.sockets or () for age in (s.receive_age, s.send_age)]
    moving = any(age is not None and age < fresh for age in ages)
    before = {process.identity for process in recent[0].processes}
    own = newest.leader_cpu_rate or 0.0
    others = (newest.cpu_rate or 0.0) - own
    return (
        moving
        or others >= config.cpu_idle_bound
        or config.cpu_idle_bound <= own < BUSY
        or any(process.identity not in before for process in newest.processes)
    )


class Answers:
    """Approvals whose answer shows only in the process tree.

    A host answers on the CLI's stdin, and not every CLI echoes it: then a process that began
    after the request, in a session of its own as tools have, is the answer. Where another call
    is open that may have started it, it is none.
    """

    def __init__(self) -> None:
        self._before: dict[str, frozenset[Identity]] = {}

    def of(self, state: SessionState, recent: Sequence[TreeSnapshot]) -> frozenset[str]:
        """Return the keys of the requests that were answered, by the last samples."""
        requests = [wait for wait in state.waits.values() if wait.kind in ASKED]
        if not requests:
            self._before.clear()
            return frozenset()
        lasting = _lasting(recent)
        for wait in requests:
            self._before.setdefault(wait.key, lasting)
        calls = [call.key for call in state.open.values() if not call.left]
        if len(requests) > 1 or len(calls) > 1 or not calls:
            return frozenset()
        return frozenset(w.key for w in requests if lasting - self._before[w.key])


def _lasting(recent: Sequence[TreeSnapshot]) -> frozenset[Identity]:
    """Return the members in a session of their own that all of the last samples have."""
    found = [
        {
            process.identity
            for process in sample.processes
            if process.state != "Z"
            and sample.leader
            and process.sid not in (None, sample.leader.sid)
        }
        for sample in recent
    ]
    return frozenset(set.intersection(*found)) if found else frozenset()
