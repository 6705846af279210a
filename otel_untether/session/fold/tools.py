"""Tool calls: from the call to its result, or to the end of what it left running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.session import events as ev
from otel_untether.session.activity import Opened
from otel_untether.session.fold.tasks import conclude, lane_of, show_agent
from otel_untether.session.fold.waits import answered, over

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.session.activity import Activity, Change
    from otel_untether.session.conversation import Lane
    from otel_untether.session.state import SessionState

# Calls that a model makes in one answer begin within so many ns of each other, where a CLI
# does not print the answer itself.
_PARALLEL: Final = 5 * 10**9


def tool_started(state: SessionState, event: ev.ToolStarted, at: int) -> list[Change]:
    """Open a call under the agent that made it; a repeated start is a sign of life."""
    if event.id in state.open:
        call = state.open[event.id]
        call.last_sign, call.progress = at, event.at
        return []
    if state.full(state.open, state.background, what="calls"):
        state.tools += 1
        return []
    changes = show_agent(state, event.parent, at)
    lane = lane_of(state, event.parent or event.made_by)
    if lane is state.main:
        over(state, ("compaction", "rate_limit"))
    elif state.waits and lane.owner.parent is not None:
        changes += answered(state, lane.owner.parent.key, at, failed=False)
    if state.traits.leaves_calls_open:
        leave(state, lane, at - _PARALLEL)
    told = state.traits.names_tools_late or state.traits.announces_answers
    changes += lane.call(at, state.model, late=told)
    tool = state.child(lane.owner, "tool", event.id, at, event.name)
    tool.progress = max(tool.progress, event.at)
    tool.timeout, tool.mcp_server, tool.arguments = event.timeout, event.mcp_server, event.arguments
    tool.attributes |= _facts(event)
    if event.parent is not None and lane is state.main:
        tool.attributes[semconv.LATE_PARENT] = event.parent
    state.open[event.id] = tool
    state.remember(tool)
    state.tools += 1
    changes.append(Opened(tool))
    early = state.early_results.pop(event.id, None)
    return changes if early is None else changes + tool_finished(state, early, at)


def _facts(event: ev.ToolStarted) -> dict[str, str]:
    facts = {
        semconv.TOOL_TYPE: event.type,
        semconv.MCP_SERVER: event.mcp_server,
        semconv.SUBAGENT_NAME: event.subagent,
    }
    return {name: value for name, value in facts.items() if value is not None}


def leave(state: SessionState, lane: Lane, before: int) -> None:
    """The agent went on: what its lane had begun `before` (ns) and not ended runs unattended.

    A model cannot speak again until every call has its result, so a call that is open then
    has returned, whatever its line says: Codex leaves the item of a server it started open.
    """
    for call in state.open.values():
        if call.parent is lane.owner and call.start <= before:
            call.left = True


def tool_updated(state: SessionState, event: ev.ToolUpdated, at: int) -> list[Change]:
    """A sign of life; of progress, too, unless it is a heartbeat."""
    tool = state.open.get(event.id) or state.background.get(event.id)
    if tool is None:
        state.odd("update_without_call")
        return []
    tool.last_sign = at
    if not event.heartbeat:
        tool.progress = event.at
    return []


def tool_finished(state: SessionState, event: ev.ToolFinished, at: int) -> list[Change]:
    """Close a call, unless it only said that its work has begun."""
    changes = _announce_late(state, event, at)
    tool = state.open.pop(event.id, None)
    if tool is None:
        state.odd("result_without_call")
        state.expect_call(event)
        return []
    tool.exit_code, tool.error, tool.result = event.exit_code, event.error, event.result
    state.tool_errors += event.error is not None
    if event.denied:
        tool.attributes[semconv.DENIED] = True
    _pass_turn(state, tool, event.parent, at)
    changes += answered(state, event.id, at, failed=event.error is not None)
    if lane_of(state, event.parent) is state.main:
        over(state, ("compaction", "rate_limit"))
    if event.detached:
        tool.detached = True
        tool.attributes[semconv.BACKGROUND] = True
        state.background[event.id] = tool
        return changes
    for agent in [c for c in tool.children if c.kind == "agent"]:
        state.tasks.pop(agent.key, None)
        agent.error = agent.error or tool.error
        changes += conclude(state, agent, at)
    changes += conclude(state, tool, at)
    if tool.end is None:
        state.background[event.id] = tool
    return changes


def _announce_late(state: SessionState, event: ev.ToolFinished, at: int) -> list[Change]:
    """Some engines name a call only once it is over; it began when they say."""
    if event.id in state.open or event.name is None:
        return []
    start = at if event.started is None else max(min(event.started, at), state.started)
    started = ev.ToolStarted(at=start, id=event.id, name=event.name, parent=event.parent)
    return tool_started(state, started, start)


def _pass_turn(state: SessionState, tool: Activity, parent: str | None, at: int) -> None:
    """Once no call of its lane is open any more, the model's turn begins."""
    if any(other.parent is tool.parent and not other.left for other in state.open.values()):
        return
    lane = lane_of(state, parent)
    lane.returned(at)
    if lane is state.main:
        state.last_tool_result_at = at


HANDLERS: Final[dict[type[ev.Event], Callable[[SessionState, Any, int], list[Change]]]] = {
    ev.ToolStarted: tool_started,
    ev.ToolUpdated: tool_updated,
    ev.ToolFinished: tool_finished,
}
