"""Work under a tool call that may outlive it: subagents, and commands in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Closed, Opened, close
from otel_untether.session.conversation import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.session.activity import Activity, Change
    from otel_untether.session.state import SessionState


# Lines that came within so many ns of each other.
_TOGETHER: Final = 50 * 10**6


def task_started(state: SessionState, event: ev.TaskStarted, at: int) -> list[Change]:
    """Open a subagent under its call; a shell command is its call's own activity."""
    call = _open_call(state, event.tool_id)
    if event.id in state.tasks or state.full(state.tasks, what="tasks"):
        return []
    if event.kind == "shell":
        if call is not None:
            call.attributes[semconv.TASK_KIND] = event.kind
            state.tasks[event.id] = call
        return []
    past = state.past_lanes.get(event.tool_id) if state.recalling else None
    if past is not None:
        state.past_lanes[event.id] = past  # it was shown while it worked
        return []
    agent = next((c for c in call.children if c.kind == "agent"), None) if call else None
    changes: list[Change] = []
    if agent is not None and agent.concluded is not None:
        agent.concluded = None  # it was resumed: what it had left in the background woke it
    if agent is None:
        parent = call or state.tasks.get(event.parent_task or "") or state.main.owner
        name = event.name or _subagent_name(call)
        began = _begun_with(call, event, at)
        agent = _open_agent(state, parent, event.id, event.tool_id or event.id, name, began)
        changes.append(Opened(agent))
    elif agent.key in state.tasks:
        del state.tasks[agent.key]  # it was shown by its own lines, before it had a name
        state.lanes[event.id] = lane_of(state, agent.key)
    agent.key = event.id
    state.tasks[event.id] = agent
    agent.progress = max(agent.progress, event.at)
    if event.depth is not None:
        agent.attributes[semconv.DEPTH] = event.depth
    return changes


def _begun_with(call: Activity | None, event: ev.TaskStarted, at: int) -> int:
    """Return when a subagent began: with its call, where both lines came together.

    A start that does not say when it was comes with its line, and lines may come late, in one
    burst: what the subagent did meanwhile says when that was, and lies after its call's line.
    """
    together = call is not None and event.at - call.progress < _TOGETHER
    return call.start if call is not None and together and event.happened is None else at


def task_progress(state: SessionState, event: ev.TaskProgress, at: int) -> list[Change]:
    """A sign of life, with totals so far."""
    task = state.tasks.get(event.id)
    if task is not None:
        task.last_sign = at
        if _tells_news(task, event):
            task.progress = event.at
        _tally(task, event)
    return []


def _tells_news(task: Activity, event: ev.TaskProgress) -> bool:
    """Whether it says more than that the task still is there; who gives no figures is believed."""
    if event.tokens is None and event.tool_uses is None:
        return True
    told = (semconv.SUBAGENT_TOKENS, event.tokens), (semconv.SUBAGENT_TOOLS, event.tool_uses)
    return any(new is not None and task.attributes.get(name) != new for name, new in told)


def task_finished(state: SessionState, event: ev.TaskFinished, at: int) -> list[Change]:
    """The work is over; so is the call, if all it had printed was a launch receipt."""
    task = state.tasks.pop(event.id, None)
    call = _open_call(state, event.tool_id)
    state.waits.pop(event.tool_id or "", None)
    changes: list[Change] = []
    _pass_on(state, task, event.at)
    if task is not None and task.kind == "agent":
        _tally(task, event)
        task.error = task.error or event.error
        changes += conclude(state, task, at)
        call = call or task.parent
    if call is None or not call.detached or call.end is not None:
        return changes
    call.error = call.error or event.error
    call.exit_code = event.exit_code if call.exit_code is None else call.exit_code
    state.tool_errors += event.error is not None
    return changes + conclude(state, call, at)


def _pass_on(state: SessionState, task: Activity | None, at: int) -> None:
    """The end of a task moves on those who may have waited for it."""
    above = task.parent if task is not None else None
    while above is not None:
        above.progress = max(above.progress, at)
        above = above.parent
    state.main.progress = max(state.main.progress, at)


def _tally(task: Activity, event: ev.TaskProgress | ev.TaskFinished) -> None:
    if event.tokens is not None:
        task.attributes[semconv.SUBAGENT_TOKENS] = event.tokens
    if event.tool_uses is not None:
        task.attributes[semconv.SUBAGENT_TOOLS] = event.tool_uses


def _open_call(state: SessionState, key: str | None) -> Activity | None:
    call = state.calls.get(key) if key is not None else None
    return call if call is not None and (call.end is None or state.recalling) else None


def _subagent_name(call: Activity | None) -> str | None:
    """Return what the call that starts a subagent says it is."""
    name = call.attributes.get(semconv.SUBAGENT_NAME) if call is not None else None
    return str(name) if name else None


def _open_agent(
    state: SessionState, parent: Activity, key: str, lane_key: str, name: str | None, at: int
) -> Activity:
    agent = state.child(parent, "agent", key, at, name or "subagent")
    lane = Lane(agent)
    lane.ask(agent.start)
    state.lanes[key] = state.lanes[lane_key] = lane
    return agent


def lane_of(state: SessionState, parent: str | None) -> Lane:
    """The lane of the subagent that the call `parent` started; the main one if there is none."""
    lane = state.lanes.get(parent)
    if lane is not None and lane.owner.end is None:
        return lane
    return state.past_lanes.get(parent, state.main) if state.recalling else state.main


def show_agent(state: SessionState, parent: str | None, at: int) -> list[Change]:
    """A line from below a call shows a subagent at work, announced or not."""
    if parent is None or parent in state.lanes or lane_of(state, parent) is not state.main:
        return []
    call = _open_call(state, parent)
    if call is None:
        state.odd("unknown_parent")
        return []
    if state.full(state.tasks, what="tasks"):
        return []
    agent = _open_agent(state, call, parent, parent, _subagent_name(call), at)
    state.tasks[agent.key] = agent
    return [Opened(agent)]


def conclude(state: SessionState, activity: Activity, at: int) -> list[Change]:
    """End an activity; while background work goes on under it, the last of that ends it.

    A call that launched a subagent returns at 10 s with a receipt, its subagent ends at 60 s:
    the subagent ends at 60, and with it the call, which was concluded at 10, encloses it; then
    whatever above had only been waiting for that call.
    """
    changes: list[Change] = []
    ended: Activity | None = activity
    activity.concluded = max(at, activity.concluded or 0)
    while ended is not None and ended.concluded is not None and ended.end is None:
        below = ended.children
        if below and any(child.detached or child.concluded is not None for child in below):
            break
        changes += _forget(state, close(ended, ended.concluded))
        ended = ended.parent
    return changes


def _forget(state: SessionState, changes: list[Change]) -> list[Change]:
    """What has ended is open no more, whoever ended it."""
    for change in changes:
        if type(change) is not Closed:
            continue
        key, ended = change.activity.key, change.activity
        for table in (state.open, state.background, state.tasks):
            if table.get(key) is ended:
                del table[key]
        if ended.kind == "agent":
            for lane_key in [k for k, lane in state.lanes.items() if lane.owner is ended]:
                state.over(lane_key, state.lanes[lane_key])
    return changes


HANDLERS: Final[dict[type[ev.Event], Callable[[SessionState, Any, int], list[Change]]]] = {
    ev.TaskStarted: task_started,
    ev.TaskProgress: task_progress,
    ev.TaskFinished: task_finished,
}
