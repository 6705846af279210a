"""Rules that the session's own account decides, with what the tree adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.diagnosis.excuses import EXPLANATIONS
from otel_untether.diagnosis.facts import SECOND, names_tools_late
from otel_untether.diagnosis.thresholds import in_background, said_anything, threshold
from otel_untether.diagnosis.words import count, duration

if TYPE_CHECKING:
    from otel_untether.diagnosis.facts import Facts
    from otel_untether.session.activity import Activity, Wait

    Evidence = tuple[str, ...] | None

# How the ring's event types read in a sentence; others are named as they are.
_SPOKEN: Final = {
    "SessionStarted": "session start",
    "TurnStarted": "turn start",
    "TurnFinished": "the result",
    "ModelAsked": "a request to the model",
    "ModelMessage": "a message from the model",
    "TaskStarted": "a subagent's start",
    "TaskProgress": "a subagent's progress",
    "TaskFinished": "a subagent's end",
    "WaitBegan": "the start of a wait",
    "WaitEnded": "the end of a wait",
    "Retry": "a retry",
    "RateLimited": "a rate limit",
    "Compaction": "a compaction",
    "StrayLine": "a line not understood",
}


def hook_hung(facts: Facts) -> Evidence:
    """A hook that ran out of its time, and was the last thing the agent spoke of."""
    hooks = [wait for wait in facts.state.waits.values() if wait.kind == "hook"]
    newest = max(hooks, key=lambda wait: wait.since, default=None)
    if newest is None or newest.since + SECOND < facts.state.last_sign:
        return None
    name = f" {newest.detail}" if newest.detail else ""
    return (f"the hook{name} has not returned for {_since(facts, newest.since)}",)


def mcp_hung(facts: Facts) -> Evidence:
    """An MCP server owes a tool's result."""
    calls = [call for call in facts.tools if call.mcp_server is not None]
    if not calls:
        return None
    oldest = _oldest(calls)
    took = _since(facts, oldest.start)
    return (f"the MCP server {oldest.mcp_server} has not answered {oldest.name} for {took}",)


def subagent_hung(facts: Facts) -> Evidence:
    """Subagents are at work, and none of them says anything."""
    if not facts.subagents:
        return None
    names = ", ".join(sorted({_subagent_name(agent) for agent in facts.subagents}))
    last = max(max(agent.last_sign, agent.start) for agent in facts.subagents)
    number = count(len(facts.subagents), "subagent")
    return (f"{number} ({names}) without a sign of life for {_since(facts, last)}",)


def tool_running(facts: Facts) -> Evidence:
    """A tool is slow, not hung: its processes work. Believed for twice its time."""
    if not _tool_at_work(facts) or facts.leader_working is not False or facts.resting is not False:
        return None
    if facts.cpu is None or facts.cpu < facts.config.cpu_idle_bound:
        return None
    if facts.quiet >= 2 * threshold(facts).seconds:
        return None
    return (f"{_tool_name(facts)} is slow, but its processes work",)


def tool_hung(facts: Facts) -> Evidence:
    """A tool has not returned."""
    if facts.tools:
        oldest = _oldest(facts.tools)
        return (f"{oldest.name} has not returned for {_since(facts, oldest.start)}",)
    if names_tools_late(facts.state) and facts.tool_processes:
        return (f"{_tool_name(facts)} has not returned",)
    if in_background(facts.state):
        return ("work left running in the background says nothing any more",)
    return None


def exit_limbo(facts: Facts) -> Evidence:
    """The result is out, but the process stays."""
    done = facts.state.last_result_at
    return None if done is None else (f"its result came {_since(facts, done)} ago, but it stays",)


def startup_hang(facts: Facts) -> Evidence:
    """It never got going. Once it is due for the liveness check, `wedged` may say why."""
    state = facts.state
    silent = state.silent or (facts.tainted and not said_anything(state))
    judged = facts.quiet >= facts.config.liveness_timeout and facts.nothing_can_wake_it
    if not silent or judged:
        return None
    if facts.tainted:
        return ("it resumes a session that stalled before, and has not said anything",)
    return ("it has not printed a single line since it was started",)


def after_tool_result(facts: Facts) -> Evidence:
    """A tool returned, and the agent did not go on: no request left it since, as far as known."""
    if facts.state.last_tool_result_at is None or facts.nothing_can_wake_it:
        return None
    if facts.asked_since:
        return None
    ago = _since(facts, facts.state.last_tool_result_at)
    return (f"it did not go on after a tool returned {ago} ago",)


def model_silent(facts: Facts) -> Evidence:
    """A connection is open, and the model says nothing on it."""
    if not facts.established:
        return None
    age = facts.receive_age
    last = "" if age is None else f" (last byte {duration(age)} ago)"
    quiet = "silent " if not facts.streaming else ""
    return (
        f"waiting for the model on {count(len(facts.established), f'{quiet}connection')}{last}",
    )


def unexplained(facts: Facts) -> Evidence:
    """Too little is known to say why."""
    return ("too little is known to say why",) if facts.alive is None else ("no cause fits",)


def waiting(wait: Wait, now: int) -> tuple[str, ...]:
    """What it waits for, for how long it has, and for how long it will."""
    what = EXPLANATIONS[wait.kind].replace("_", " ")
    text = f"{what} for {duration(max(0, now - wait.since) / SECOND)}"
    if wait.until is not None and wait.until > now:
        text += f", {duration((wait.until - now) / SECOND)} to go"
    return (text,)


def last_event(facts: Facts) -> tuple[str, ...]:
    """What the agent last spoke of."""
    if not facts.state.recent:
        return ()
    last = facts.state.recent[-1]
    verbs = {"ToolStarted": "started", "ToolFinished": "finished", "ToolUpdated": "going on"}
    if last.tool and last.type in verbs:
        return (f"last event {last.tool} {verbs[last.type]}",)
    return (f"last event {_SPOKEN.get(last.type, last.type)}",)


def _tool_at_work(facts: Facts) -> bool:
    named = bool(facts.tools) or names_tools_late(facts.state)
    return named and bool(facts.children) and not facts.subagents


def _subagent_name(agent: Activity) -> str:
    """Return a subagent's name, also where only the call that started it is known."""
    return str(agent.attributes.get(semconv.SUBAGENT_NAME, agent.name))


def _tool_name(facts: Facts) -> str:
    if facts.tools:
        return _oldest(facts.tools).name
    processes = facts.tool_processes or facts.children
    return processes[0].name or "a tool"


def _oldest(calls: tuple[Activity, ...] | list[Activity]) -> Activity:
    return min(calls, key=lambda call: call.start)


def _since(facts: Facts, at: int) -> str:
    return duration(max(0, facts.now - at) / SECOND)
