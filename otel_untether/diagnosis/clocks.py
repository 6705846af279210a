"""The clocks of a session: what it owes, since when it has not moved on, and how long it may.

Each open call, each subagent and the main agent have a clock of their own, which only their own
progress resets; a hook, a compaction and a row of retries are timed as well. A clock that ran
out is a silence to explain, even while others talk.

An example. Bash has been open for 9 min, with a heartbeat every 30 s; an MCP call beside it for
16 min; the main agent waits for both. The MCP call's clock (15 min) has run out, and that is
what is reported, "no progress for 16 min". Nothing is asked of the main agent, for it waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether import semconv
from otel_untether.session.activity import Activity, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.session.state import SessionState

# No stream makes us wait longer for one call, whatever limit of its own it announces.
_LONGEST_CALL: Final = 3600.0


class ProgressClock(NamedTuple):
    """`seconds` without progress since `since` (ns) are too many; `name` says by which rule.

    `subject` is the call, subagent or wait that owes something, None for the main agent.
    """

    name: str
    seconds: float
    since: int
    subject: Activity | Wait | None = None

    def __repr__(self) -> str:
        """Name it without its subject, which holds what a call was given and returned."""
        return f"<{self.name} clock of {self.seconds:g} s since {self.since}>"

    def stands(self, state: SessionState) -> bool:
        """Whether nothing has moved since: what it timed is still owed, and no further."""
        subject = self.subject
        if subject is None:
            return state.main.progress <= self.since
        if isinstance(subject, Activity):
            return subject.end is None and not subject.left and subject.progress <= self.since
        wait = state.waits.get(subject.key)
        return wait is not None and wait.since == subject.since


def of_waits(state: SessionState, config: WatchdogConfig) -> Iterator[ProgressClock]:
    """Yield the clocks of what explains silence only for a time, and is itself overdue then."""
    for wait in state.waits.values():
        if wait.kind in ("hook", "host") and not is_a_call(wait, state):
            yield ProgressClock("hook", config.hook_timeout, wait.since, wait)
        elif wait.kind == "compaction":
            yield ProgressClock("compaction", config.compaction_timeout, wait.since, wait)
        elif wait.kind == "retry" and wait.notices > 1:
            yield ProgressClock("retry", config.stall_timeout, wait.since, wait)


def is_a_call(wait: Wait, state: SessionState) -> bool:
    """Whether what the host was asked is a call of a tool of its own, which has its own clock."""
    asked = wait.kind == "host" and (wait.detail or "").startswith("mcp")
    return asked and any(call.mcp_server and not call.left for call in state.open.values())


def of_work(state: SessionState, config: WatchdogConfig) -> Iterator[ProgressClock]:
    """Yield the clocks of calls and subagents, in the order in which they are reported."""
    calls = [call for call in state.open.values() if not call.left]
    plain = [call for call in calls if not starts_subagent(call)]
    yield from _servers([call for call in plain if call.mcp_server is not None], config)
    yield from _agents(state, calls, config)
    yield from _tools(plain, config)


def _servers(calls: Sequence[Activity], config: WatchdogConfig) -> Iterator[ProgressClock]:
    for call in calls:
        yield ProgressClock(
            "mcp_tool", own_limit(call, config.mcp_tool_timeout), call.progress, call
        )


def _agents(
    state: SessionState, calls: Sequence[Activity], config: WatchdogConfig
) -> Iterator[ProgressClock]:
    """Yield those of subagents that wait for nobody below them; silent ones count for a call."""
    for agent in state.subagents:
        if not any(child.kind in ("tool", "agent") for child in agent.children):
            yield ProgressClock("subagent", config.subagent_timeout, agent.progress, agent)
    for call in calls:
        if starts_subagent(call) and not any(child.kind == "agent" for child in call.children):
            yield ProgressClock("subagent", config.subagent_timeout, call.progress, call)


def _tools(calls: Sequence[Activity], config: WatchdogConfig) -> Iterator[ProgressClock]:
    """Yield those of other calls; of several in one lane the most patient speaks for all.

    Some CLIs print the results of calls that ran side by side only when the last is there.
    """
    for call in calls:
        if call.mcp_server is None:
            beside = [other for other in calls if other.parent is call.parent]
            limit = max(own_limit(other, _default(other, config)) for other in beside)
            yield ProgressClock("tool", limit, call.progress, call)


def _default(call: Activity, config: WatchdogConfig) -> float:
    return config.tool_timeout if call.mcp_server is None else config.mcp_tool_timeout


def own_limit(call: Activity, default: float) -> float:
    """Return how long a call may take: its own word is believed up to an hour."""
    if call.timeout is None:
        return default
    return max(default, min(call.timeout, max(_LONGEST_CALL, default)))


def of_background(state: SessionState, config: WatchdogConfig) -> ProgressClock:
    """Return the clock of a session of which only work in the background goes on."""
    moved = [task.progress for task in (*state.tasks.values(), *state.background.values())]
    return ProgressClock(
        "background", config.background_timeout, max([state.main.progress, *moved])
    )


def in_background(state: SessionState) -> bool:
    """Whether the main agent is done for now, and only work it left running goes on."""
    return bool(state.background or state.tasks) and state.model_asked_at is None and _idle(state)


def _idle(state: SessionState) -> bool:
    """Whether no call of the main agent's own is open."""
    owner = state.main.owner
    return not any(call.parent is owner and not call.left for call in state.open.values())


def main_owes(state: SessionState) -> bool:
    """Whether it is the main agent's turn to go on: it waits for no call, and is not done."""
    return _idle(state) and not in_background(state)


def starts_subagent(call: Activity) -> bool:
    """Whether a tool call hands work to a subagent."""
    return semconv.SUBAGENT_NAME in call.attributes or any(
        child.kind == "agent" for child in call.children
    )
