"""Work under a tool call that may outlive it: subagents, and commands in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether import events as ev
from otel_untether import semconv
from otel_untether.activity import Closed, Opened, close
from otel_untether.lanes import Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.activity import Activity, Change
    from otel_untether.session import SessionState


def task_started(state: SessionState, event: ev.TaskStarted, at: int) -> list[Change]:
    """Open a subagent under its call; a shell command is its call's own activity."""
    call = _open_call(state, event.tool_id)
    if event.id in state.tasks:
        return []
    if event.kind == "shell":
        if call is not None:
            call.attributes[semconv.TASK_KIND] = event.kind
            state.tasks[event.id] = call
        return []
    agent = next((c for c in call.children if c.kind == "agent"), None) if call else None
    changes: list[Change] = []
    if agent is None:
        parent = call or state.tasks.get(event.parent_task or "") or state.main.owner
        agent = _open_agent(state, parent, event.id, event.tool_id or event.id, event.name, at)
        changes.append(Opened(agent))
    elif agent.key in state.tasks:
        del state.tasks[agent.key]  # it was shown by its own lines, before it had a name
    agent.key = event.id
    state.tasks[event.id] = agent
    if event.depth is not None:
        agent.attributes[semconv.DEPTH] = event.depth
    return changes


def task_progress(state: SessionState, event: ev.TaskProgress, at: int) -> list[Change]:
    """A sign of life, with totals so far."""
    task = state.tasks.get(event.id)
    if task is not None:
        task.last_sign = at
        _tally(task, event)
    return []


def task_finished(state: SessionState, event: ev.TaskFinished, at: int) -> list[Change]:
    """The work is over; so is the call, if all it had printed was a launch receipt."""
    task = state.tasks.pop(event.id, None)
    call = _open_call(state, event.tool_id)
    if task is None and call is None:
        state.odd("end_without_task")
        return []
    changes: list[Change] = []
    if task is not None and task.kind == "agent":
        _tally(task, event)
        changes += end_agent(state, task, at, event.error)
        call = call or task.parent
    if call is None or not call.detached or call.end is not None:
        return changes
    call.error = call.error or event.error
    call.exit_code = event.exit_code if call.exit_code is None else call.exit_code
    state.tool_errors += event.error is not None
    return changes + end_tool(state, call, at)


def _tally(task: Activity, event: ev.TaskProgress | ev.TaskFinished) -> None:
    if event.tokens is not None:
        task.attributes[semconv.SUBAGENT_TOKENS] = event.tokens
    if event.tool_uses is not None:
        task.attributes[semconv.SUBAGENT_TOOLS] = event.tool_uses


def _open_call(state: SessionState, key: str | None) -> Activity | None:
    call = state.calls.get(key) if key is not None else None
    return call if call is not None and call.end is None else None


def _open_agent(
    state: SessionState, parent: Activity, key: str, lane_key: str, name: str | None, at: int
) -> Activity:
    agent = state.child(parent, "agent", key, at, name or "subagent")
    lane = Lane(agent)
    lane.ask(agent.start)
    state.lanes[lane_key] = lane
    return agent


def lane_of(state: SessionState, parent: str | None) -> Lane:
    """The lane of the subagent that the call `parent` started; the main one if there is none."""
    lane = state.lanes.get(parent)
    return state.main if lane is None or lane.owner.end is not None else lane


def show_agent(state: SessionState, parent: str | None, at: int) -> list[Change]:
    """A line from below a call shows a subagent at work, announced or not."""
    if parent is None or parent in state.lanes:
        return []
    call = _open_call(state, parent)
    if call is None:
        state.odd("unknown_parent")
        return []
    name = call.attributes.get(semconv.SUBAGENT_NAME)
    agent = _open_agent(state, call, parent, parent, str(name) if name else None, at)
    state.tasks[agent.key] = agent
    return [Opened(agent)]


def end_agent(state: SessionState, agent: Activity, at: int, error: str | None) -> list[Change]:
    """Close a subagent and forget its lane."""
    state.tasks.pop(agent.key, None)
    for key in [key for key, lane in state.lanes.items() if lane.owner is agent]:
        del state.lanes[key]
    return _forget(state, close(agent, at, error=agent.error or error))


def end_tool(state: SessionState, call: Activity, at: int) -> list[Change]:
    """Close a call, and the turn that only waited for it."""
    state.open.pop(call.key, None)
    state.background.pop(call.key, None)
    changes = _forget(state, close(call, at))
    turn = call.parent
    if turn is not None and turn.kind == "turn" and turn is not state.turn and _idle(turn):
        changes += close(turn, max(at, turn.last_sign))
    return changes


def _idle(turn: Activity) -> bool:
    return turn.end is None and not any(child.detached for child in turn.children)


def _forget(state: SessionState, changes: list[Change]) -> list[Change]:
    """Calls that ended because their parent did are open no more."""
    for change in changes:
        if isinstance(change, Closed):
            key, ended = change.activity.key, change.activity
            for table in (state.open, state.background):
                if table.get(key) is ended:
                    del table[key]
    return changes


HANDLERS: Final[dict[type[ev.Event], Callable[[SessionState, Any, int], list[Change]]]] = {
    ev.TaskStarted: task_started,
    ev.TaskProgress: task_progress,
    ev.TaskFinished: task_finished,
}
