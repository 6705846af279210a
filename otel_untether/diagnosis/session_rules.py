"""Rules that the session's own account decides, with what the tree adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether import semconv
from otel_untether.diagnosis.clocks import in_background
from otel_untether.diagnosis.excuses import EXPLANATIONS
from otel_untether.diagnosis.facts import SECOND
from otel_untether.diagnosis.naming import listed, one, peer, silence_of
from otel_untether.diagnosis.objections import against_a_wedge
from otel_untether.diagnosis.prompts import has_one
from otel_untether.diagnosis.thresholds import said_anything, shows_a_tool
from otel_untether.session.activity import Activity, Wait
from otel_untether.session.wording import count, duration

if TYPE_CHECKING:
    from otel_untether.diagnosis.facts import Facts

    Evidence = tuple[str, ...] | None

# How the ring's event types read in a sentence; others are named as they are.
_SPOKEN: Final = {
    "SessionStarted": "session start",
    "TurnStarted": "turn start",
    "TurnFinished": "the result",
    "ModelAsked": "a request to the model",
    "ModelMessage": "a message from the model",
    "TaskStarted": "the start of a task",
    "TaskProgress": "a task's progress",
    "TaskFinished": "the end of a task",
    "WaitBegan": "the start of a wait",
    "WaitEnded": "the end of a wait",
    "Retry": "a retry",
    "RateLimited": "a rate limit",
    "Compaction": "a compaction",
    "Heartbeat": "a keep-alive",
    "StrayLine": "a line not understood",
}


def hook_hung(facts: Facts) -> Evidence:
    """A hook, or the host that was to run it, ran out of its time."""
    wait = facts.clock.subject
    if facts.clock.name != "hook" or not isinstance(wait, Wait):
        return None
    name = f" {wait.detail}" if wait.detail else ""
    took = _since(facts, wait.since)
    if wait.kind == "host":
        method = "/" in name or name.startswith(" mcp")
        asked = name if method else f" the hook{name}"
        return (f"its host has not answered{asked} for {took}",)
    return (f"the hook{name} has not returned for {took}",)


def compaction_hung(facts: Facts) -> Evidence:
    """It says that it compacts its context, and nothing else."""
    wait = facts.clock.subject
    if facts.clock.name != "compaction" or not isinstance(wait, Wait):
        return None
    said = f", said {wait.notices} times" if wait.notices > 1 else ""
    return (f"it compacts its context for {_since(facts, wait.since)}{said}",)


def model_unreachable(facts: Facts) -> Evidence:
    """It tries and tries, and nobody answers."""
    wait = _retries(facts)
    if wait is None or wait.answers:
        return None
    why = f" ({wait.detail})" if wait.detail else ""
    return (f"the model cannot be reached{why}: {wait.notices} tries in {_age(facts, wait)}",)


def retrying(facts: Facts) -> Evidence:
    """It tries and tries, and is told to come again."""
    wait = _retries(facts)
    if wait is None:
        return None
    why = f" ({wait.detail})" if wait.detail else ""
    return (f"it is turned away{why}: {wait.notices} tries in {_age(facts, wait)}",)


def _retries(facts: Facts) -> Wait | None:
    wait = facts.clock.subject
    return wait if facts.clock.name == "retry" and isinstance(wait, Wait) else None


def _age(facts: Facts, wait: Wait) -> str:
    return _since(facts, wait.since)


def prompt_unread(facts: Facts) -> Evidence:
    """It was given a prompt and does not take it."""
    if not facts.prompted:
        return None
    seen = facts.scene.in_depth(facts.agent)
    if seen is None or not seen.stdin.unread:
        return None
    unread = count(seen.stdin.unread, "byte")
    return (f"a prompt ({unread}) lies unread in its input since its last result",)


def prompt_taken(facts: Facts) -> Evidence:
    """It took a prompt, and nothing shows what it does with it."""
    if not facts.prompted:
        return None
    return ("it was given a prompt after its last result, and has done nothing with it",)


def refused(facts: Facts) -> Evidence:
    """It sleeps without a connection but wakes, and somebody's connections are refused."""
    if facts.tools or not facts.nothing_can_wake_it or facts.heard or facts.look is None:
        return None
    doubts = against_a_wedge(facts)
    if "refused" not in doubts or set(doubts) - _DOUBTS - {"runnable"}:
        return None
    return ("no connection, but it wakes, and connections are refused here: perhaps it retries",)


def wedged_in_a_call(facts: Facts) -> Evidence:
    """A call is open that no process carries out, and nothing can wake the agent."""
    calls = (*facts.tools, *facts.subagents)
    if not calls or facts.children or any(call.mcp_server for call in facts.tools):
        return None
    if not _asleep_for_good(facts):
        return None
    return (f"nothing can wake it: {calls[-1].name} is open, but no process works on it",)


def wedged(facts: Facts) -> Evidence:
    """It sleeps, has no connection, and no process of its own that might be a tool."""
    if facts.tools or facts.subagents or not _asleep_for_good(facts) or _may_be_a_tool(facts):
        return None
    if facts.look is not None and (wakes := against_a_wedge(facts).get("wakes")):
        return ("it does nothing: no connection, no CPU use, no tool at work", wakes)
    return ("nothing can wake it: no connection, no CPU use, no tool at work",)


# What may veto the kill of a wedge without making it another cause.
_DOUBTS: Final = frozenset({"wakes", "refused", "expected_wait", "undecoded"})


def _asleep_for_good(facts: Facts) -> bool:
    if not facts.nothing_can_wake_it or facts.heard:
        return False
    if facts.look is None:
        return True
    return not set(against_a_wedge(facts)) - _DOUBTS


def _may_be_a_tool(facts: Facts) -> bool:
    """Whether a child may be a tool that the engine has not named; unknown counts as yes."""
    traits = facts.state.traits
    if not traits.names_tools_late or not facts.children:
        return False
    return not traits.tools_leave_session or facts.tool_processes != ()


def mcp_hung(facts: Facts) -> Evidence:
    """An MCP server owes a tool's result."""
    calls = [call for call in facts.tools if call.mcp_server is not None]
    if not calls:
        return None
    call = _subject(facts, calls)
    took = _since(facts, call.start)
    return (f"the MCP server {call.mcp_server} has not answered {call.name} for {took}",)


def subagent_hung(facts: Facts) -> Evidence:
    """Subagents are at work, and one of them, or all, say nothing."""
    agent = facts.clock.subject
    if not facts.subagents or agent in facts.tools:
        return None
    if isinstance(agent, Activity) and agent in facts.subagents and len(facts.subagents) > 1:
        silent = [one for one in facts.subagents if one.progress <= agent.progress]
    else:
        silent = list(facts.subagents)
    names = ", ".join(sorted({_subagent_name(agent) for agent in silent}))
    last = max(max(agent.progress, agent.start) for agent in silent)
    number = count(len(silent), "subagent")
    of = f" of {len(facts.subagents)}" if len(silent) < len(facts.subagents) else ""
    return (f"{number}{of} ({names}) without a sign of life for {_since(facts, last)}",)


def tool_running(facts: Facts) -> Evidence:
    """A tool is slow, not hung: its processes work. Believed for twice its time."""
    if not _tool_at_work(facts) or facts.quiet >= 2 * facts.clock.seconds:
        return None
    if facts.tools_at_work:
        return (f"{_tool_name(facts)} is slow, but {listed(facts.tools_at_work)} works",)
    if facts.work_is_known:
        return None
    return (f"{_tool_name(facts)} is slow, and too little was seen to tell whether it works",)


def tool_hung(facts: Facts) -> Evidence:
    """A tool has not returned."""
    if facts.tools:
        call = _subject(facts, list(facts.tools))
        who = f": {listed(facts.tool_processes)}" if facts.tool_processes else ""
        return (f"{call.name} has not returned for {_since(facts, call.start)}{who}",)
    if shows_a_tool(facts):
        return (f"{_tool_name(facts)} has not returned",)
    if in_background(facts.state):
        return ("work left running in the background says nothing any more",)
    return None


def awaiting_prompt(facts: Facts) -> Evidence:
    """Its turn is over and its input open: nobody knows that it was to end, so it may go on."""
    state = facts.state
    if state.last_result_at is None or facts.prompted or state.multi_prompt is not None:
        return None
    if not _input_is_open(facts):
        return None
    return ("its turn is over and its input open: it may wait for the next prompt",)


def awaiting_first_prompt(facts: Facts) -> Evidence:
    """It was started to be given prompts, and nothing shows that it was given one: kept ready."""
    state = facts.state
    begun = state.turn_open or state.turns or state.last_result_at is not None or state.open
    if begun or state.multi_prompt is not True or not _input_is_open(facts):
        return None
    tries = any(s.state == "SYN_SENT" for s in facts.sockets or ())
    if tries or facts.established or facts.sockets is None or facts.tool_processes != ():
        return None
    seen = facts.scene.in_depth(facts.agent)
    if facts.agent_working is not False or seen is None or has_one(seen):
        return None
    return ("its input is open and it has not begun: it may wait for its first prompt",)


def _input_is_open(facts: Facts) -> bool:
    seen = facts.scene.in_depth(facts.agent)
    if seen is None:
        return False
    return seen.stdin.kind in ("pipe", "socket") and bool(seen.stdin.open_ended)


def awaiting_request(facts: Facts) -> Evidence:
    """Nothing it says is understood, and its input is open: perhaps a server between requests."""
    state = facts.state
    if state.understood or state.headless is True:
        return None
    seen = facts.scene.in_depth(facts.agent)
    asked = state.serves is not None or state.headless is None
    if seen is None or not asked or seen.stdin.kind not in ("pipe", "socket"):
        return None
    if not seen.stdin.open_ended or seen.stdin.unread or facts.tools_at_work:
        return None
    return ("its input is open, and it may be waiting for a request",)


def exit_limbo(facts: Facts) -> Evidence:
    """The result is out, but the process stays."""
    done = facts.state.last_result_at
    if done is None or facts.prompted:
        return None
    return (f"its result came {_since(facts, done)} ago, but it stays",)


def startup_hang(facts: Facts) -> Evidence:
    """It never got going. Once it is due for the liveness check, `wedged` may say why."""
    state = facts.state
    silent = state.silent and state.headless is not False
    silent = silent or (facts.tainted and not said_anything(state))
    judged = facts.quiet >= facts.config.liveness_timeout and _asleep_for_good(facts)
    if not silent or judged:
        return None
    if facts.tainted:
        return ("it resumes a session that stalled before, and has not said anything",)
    return ("it has not printed a single line since it was started",)


def after_tool_result(facts: Facts) -> Evidence:
    """A tool returned, and the agent did not go on: no request left it since, as far as known."""
    if facts.state.last_tool_result_at is None or facts.nothing_can_wake_it:
        return None
    if facts.asked_since is not False and (facts.established or facts.sockets is None):
        return None
    ago = _since(facts, facts.state.last_tool_result_at)
    return (f"it did not go on after a tool returned {ago} ago",)


def model_streaming(facts: Facts) -> Evidence:
    """An answer arrives, for longer than any answer should take."""
    model, rate = facts.model, facts.receive_rate
    if not facts.answering or model is None or rate is None:
        return None
    return (f"an answer arrives from {peer(model)} ({rate / 1000:.1f} kB/s), but no line",)


def model_silent(facts: Facts) -> Evidence:
    """A connection is open, and the model says nothing on it."""
    model = facts.model
    if model is None or not facts.established:
        return None
    if facts.streaming:
        age = duration(facts.receive_age or 0.0)
        return (f"waiting for the model on {peer(model)}, only keep-alives (last {age} ago)",)
    return (f"waiting for the model on {peer(model)}{silence_of(model)}",)


def unexplained(facts: Facts) -> Evidence:
    """Too little is known to say why."""
    if facts.alive is None:
        return ("too little is known to say why",)
    if facts.heard and facts.agent is not None:
        return (f"{one(facts.agent)} says that it lives, and nothing else",)
    doubts = against_a_wedge(facts) if facts.look is not None else {}
    for code in ("remote_client", "writing"):
        if code in doubts:
            return (doubts[code],)
    return ("no cause fits", *[words for code, words in doubts.items() if code == "unknown"])


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
    late = facts.state.traits.names_tools_late and not facts.tool_processes
    named = bool(facts.tools) or shows_a_tool(facts) or late
    alone = not facts.subagents or facts.clock.subject in facts.tools
    return named and bool(facts.children) and alone


def _subagent_name(agent: Activity) -> str:
    """Return a subagent's name, also where only the call that started it is known."""
    return str(agent.attributes.get(semconv.SUBAGENT_NAME, agent.name))


def _tool_name(facts: Facts) -> str:
    if facts.tools:
        return _subject(facts, list(facts.tools)).name
    processes = facts.tools_unnamed or facts.tool_processes or facts.children
    return one(processes[0]) if processes else "a tool"


def _subject(facts: Facts, calls: list[Activity]) -> Activity:
    """Return the call whose clock ran out, or the oldest."""
    subject = facts.clock.subject
    if isinstance(subject, Activity) and subject in calls:
        return subject
    return min(calls, key=lambda call: call.start)


def _since(facts: Facts, at: int) -> str:
    return duration(max(0, facts.now - at) / SECOND)
