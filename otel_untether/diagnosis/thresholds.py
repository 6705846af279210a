"""How much silence of the main agent is too much: the first threshold that fits what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis.clocks import ProgressClock, in_background

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.session.state import SessionState

# What explains a silence that is still below the threshold of this name.
BELOW: Final = {
    "dead": "dead",
    "hook": "hook_running",
    "compaction": "compacting",
    "retry": "retrying",
    "mcp_tool": "tool_running",
    "subagent": "subagent_running",
    "tool": "tool_running",
    "background": "background_work",
    "prompt": "thinking",
    "post_result": "finishing",
    "answer": "model_streaming",
    "streaming": "model_streaming",
    "resume_startup": "starting",
    "startup": "starting",
    "thinking": "thinking",
    "silence": "thinking",
    "until_done": "thinking",
}


_A_DAY: Final = 86_400.0


def of_main(facts: Facts, since: int) -> ProgressClock:
    """Return the main agent's clock, which has stood since `since` (ns)."""
    return next(_of_main(facts, since))


def _of_main(facts: Facts, since: int) -> Iterator[ProgressClock]:
    config, state = facts.config, facts.state
    patient = max(config.stall_timeout, config.liveness_timeout)
    if state.traits.silent_until_done and (state.lags or not state.understood):
        yield ProgressClock("until_done", _until_done(facts, patient), since)
    if state.last_result_at is not None and not facts.prompted:
        yield ProgressClock("post_result", config.post_result_timeout, since)
    if facts.answering:
        yield ProgressClock("answer", max(patient, config.streaming_timeout), since)
    if facts.streaming:
        yield ProgressClock("streaming", patient, since)
    if shows_a_tool(facts):
        yield ProgressClock("tool", config.tool_timeout, since)
    if facts.tainted and not said_anything(state):
        yield ProgressClock("resume_startup", config.resume_startup_timeout, since)
    if expected_to_speak(state) and state.silent:
        yield ProgressClock("startup", config.startup_timeout, since)
    busy = facts.agent_busy or facts.agent_hungry
    if facts.agent_working and facts.established and not busy:
        yield ProgressClock("thinking", patient, since)
    yield ProgressClock("silence", config.stall_timeout, since)


def _until_done(facts: Facts, patient: float) -> float:
    """Return the seconds after which one that prints only its answer cannot be at work on it.

    A tool whose processes do nothing is given twice its time, as nobody said which it is.
    """
    if facts.resting is not True:
        return _A_DAY
    if facts.tool_processes:
        return max(patient, 2 * facts.config.tool_timeout)
    return _A_DAY if facts.streaming else patient


def expected_to_speak(state: SessionState) -> bool:
    """Whether its first line comes soon: not in text mode, nor from who knows what program."""
    if state.traits.silent_until_done:
        return False
    return state.engine != "unknown" if state.headless is None else state.headless


def shows_a_tool(facts: Facts) -> bool:
    """Whether the process tree shows a tool at work that no line has named."""
    return bool(facts.tools_unnamed)


def shortest(config: WatchdogConfig) -> float:
    """Return the seconds of silence below which no threshold can be reached."""
    return min(
        config.stall_timeout,
        config.startup_timeout,
        config.resume_startup_timeout,
        config.post_result_timeout,
        config.tool_timeout,
        config.liveness_timeout,
    )


def said_anything(state: SessionState) -> bool:
    """Whether the agent has done more than introduce itself."""
    return state.tools > 0 or any(entry.type == "ModelMessage" for entry in state.recent)


def awaits_prompt(state: SessionState) -> bool:
    """Whether the turn is over in a process that serves several: the next is not its to begin."""
    several = state.multi_prompt is True or state.serves is not None
    return several and state.last_result_at is not None and not in_background(state)
