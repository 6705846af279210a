"""How much silence is too much: the first threshold that fits what the session does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_untether.diagnosis.facts import names_tools_late

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.session.activity import Activity
    from otel_untether.session.state import SessionState

# What explains a silence that is still below the threshold of this name.
BELOW: Final = {
    "dead": "dead",
    "mcp_tool": "tool_running",
    "subagent": "subagent_running",
    "tool": "tool_running",
    "background": "background_work",
    "post_result": "finishing",
    "streaming": "model_streaming",
    "resume_startup": "starting",
    "startup": "starting",
    "thinking": "thinking",
    "silence": "thinking",
    "until_done": "thinking",
}


_A_DAY: Final = 86_400.0


class Threshold(NamedTuple):
    """`seconds` of unexplained silence; `name` says which rule set it."""

    name: str
    seconds: float


def threshold(facts: Facts) -> Threshold:
    """Return the first threshold that fits. Waits were looked at before."""
    return next(_thresholds(facts))


def _thresholds(facts: Facts) -> Iterator[Threshold]:
    config, state = facts.config, facts.state
    if facts.ended:
        yield Threshold("dead", 2 * config.sample_interval)
    if state.traits.silent_until_done and not state.understood:
        yield _until_done(facts)
    yield from _working(facts)
    if state.last_result_at is not None:
        yield Threshold("post_result", config.post_result_timeout)
    if facts.streaming:
        yield Threshold("streaming", max(config.stall_timeout, config.liveness_timeout))
    if facts.tainted and not said_anything(state):
        yield Threshold("resume_startup", config.resume_startup_timeout)
    if state.silent:
        yield Threshold("startup", config.startup_timeout)
    if facts.leader_working and facts.established and not facts.leader_busy:
        yield Threshold("thinking", max(config.stall_timeout, config.liveness_timeout))
    yield Threshold("silence", config.stall_timeout)


def _until_done(facts: Facts) -> Threshold:
    """Give one that prints only its answer all day, as long as it may be at work on it."""
    idle = facts.resting is True and not facts.streaming and not facts.tool_processes
    patience = max(facts.config.stall_timeout, facts.config.liveness_timeout)
    return Threshold("until_done", patience if idle else _A_DAY)


def _working(facts: Facts) -> Iterator[Threshold]:
    config = facts.config
    if servers := [call for call in facts.tools if call.mcp_server is not None]:
        yield Threshold("mcp_tool", _own_limit(servers, config.mcp_tool_timeout))
    if facts.subagents:
        yield Threshold("subagent", config.subagent_timeout)
    if facts.tools or (names_tools_late(facts.state) and facts.tool_processes):
        yield Threshold("tool", _own_limit(facts.tools, config.tool_timeout))
    if in_background(facts.state):
        yield Threshold("background", config.background_timeout)


def shortest(config: WatchdogConfig) -> float:
    """Return the seconds of silence below which no threshold can be reached."""
    return min(
        2 * config.sample_interval,
        config.stall_timeout,
        config.startup_timeout,
        config.resume_startup_timeout,
        config.post_result_timeout,
        config.tool_timeout,
        config.mcp_tool_timeout,
        config.subagent_timeout,
        config.background_timeout,
    )


def _own_limit(calls: Iterable[Activity], default: float) -> float:
    """Return the most patience any of the calls asks for: some carry a time limit."""
    return max([default, *(call.timeout for call in calls if call.timeout is not None)])


def in_background(state: SessionState) -> bool:
    """Whether the main agent is done for now, and only work it left running goes on."""
    return bool(state.background or state.tasks) and state.model_asked_at is None


def said_anything(state: SessionState) -> bool:
    """Whether the agent has done more than introduce itself."""
    return state.tools > 0 or any(entry.type == "ModelMessage" for entry in state.recent)


def awaits_prompt(state: SessionState) -> bool:
    """Whether the turn is over in a process that serves several: the next is not its to begin."""
    done = state.last_result_at is not None and not in_background(state)
    return done and state.multi_prompt is True
