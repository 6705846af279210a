"""Codex's items: what it says, what it runs, whom it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.parsing.salvage import given
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    StrayLine,
    TaskFinished,
    TaskProgress,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    ToolUpdated,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from msgspec import Raw

    from otel_untether.engines.codex.shapes import Item, ItemCompleted, ItemStarted, ItemUpdated

_ASKING: Final = "collab_tool_call"
"""The type of what a thread asks of others, its subagents."""

_TOOLS: Final = frozenset({
    "command_execution", "file_change", "mcp_tool_call", _ASKING, "web_search",
})  # fmt: skip
_SAYINGS: Final = frozenset({"agent_message", "reasoning", "plan"})
# A to-do list stays open for the whole turn, and an error item is a warning.
_QUIET: Final = frozenset({"todo_list", "error"})

_STOPPED: Final = frozenset({"aborted", "canceled", "cancelled", "interrupted"})
_LAUNCHING: Final = frozenset({"spawn_agent", "send_input", "resume_agent"})
_RUNNING: Final = frozenset({"pending_init", "running"})
_ENDED_WELL: Final = frozenset({"completed", "shutdown"})


def started(line: ItemStarted, at: int) -> Iterator[Event]:
    """Yield the start of a tool call."""
    item = line.item
    if item is None or item.type not in _TOOLS:
        yield from _no_tool(item, at, said=False)
    elif item.id:
        yield _tool_started(item, item.id, at)
    else:
        yield _bad(item, at)


def updated(line: ItemUpdated, at: int) -> Iterator[Event]:
    """Yield a running tool's sign of life."""
    item = line.item
    if item is None or item.type not in _TOOLS:
        yield from _no_tool(item, at, said=False)
    elif item.id:
        yield ToolUpdated(at=at, id=item.id)
        yield from _agents(item, item.id, at)
    else:
        yield _bad(item, at)


def completed(line: ItemCompleted, at: int) -> Iterable[Event]:
    """Return the end of a tool call and what it tells about subagents, or that the model spoke."""
    item = line.item
    if item is None or item.type not in _TOOLS:
        return _no_tool(item, at, said=True)
    if not item.id:
        return (_bad(item, at),)
    finished = _tool_finished(item, item.id, at)
    return (*_agents(item, item.id, at), finished) if item.type == _ASKING else (finished,)


def _no_tool(item: Item | None, at: int, *, said: bool) -> Iterator[Event]:
    if item is None or item.type is None:
        yield _bad(item, at)
    elif item.type in _SAYINGS:
        if said:
            yield ModelMessage(at=at)
    elif item.type not in _QUIET:
        yield StrayLine(at=at, reason="unknown_type", detail=word(f"item/{item.type}"))


def _bad(item: Item | None, at: int) -> StrayLine:
    return StrayLine(at=at, reason="bad_shape", detail=word(item.type) if item else None)


def _tool_started(item: Item, tool_id: str, at: int) -> ToolStarted:
    return ToolStarted(
        at=at,
        id=tool_id,
        name=_name(item),
        type="extension" if item.type in ("mcp_tool_call", "web_search") else "function",
        mcp_server=item.server if item.type == "mcp_tool_call" else None,
        background=True if item.tool == "spawn_agent" else None,
        arguments=_raw(item.command, item.arguments, item.changes, item.query, item.prompt),
    )


def _tool_finished(item: Item, tool_id: str, at: int) -> ToolFinished:
    denied = item.status == "declined"
    error = "permission_denied" if denied else _error(item)
    agent = next(iter(item.receiver_thread_ids or ()), None) if item.tool in _LAUNCHING else None
    return ToolFinished(
        at=at,
        id=tool_id,
        name=_name(item),
        error=error,
        exit_code=item.exit_code,
        denied=denied,
        detached=agent is not None and error is None,
        task_id=agent,
        result=_raw(item.aggregated_output, item.result),
    )


def _name(item: Item) -> str:
    """Name the tool behind an MCP or collaboration item, and any other by its item's type."""
    tool = item.tool if item.type in ("mcp_tool_call", _ASKING) else None
    return tool or item.type or "unknown"


def _error(item: Item) -> str | None:
    if item.exit_code:
        return str(item.exit_code)
    if item.status in _STOPPED:
        return "interrupted"
    return "tool_error" if item.status == "failed" or item.error is not None else None


def _agents(item: Item, tool_id: str, at: int) -> Iterator[Event]:
    """Yield what ``agents_states`` tells about the life of each subagent thread."""
    if item.type != _ASKING or item.status == "declined":
        return
    states = {agent: state.status for agent, state in (item.agents_states or {}).items()}
    if item.tool in _LAUNCHING and item.status == "completed":
        for agent in item.receiver_thread_ids or ():
            states.setdefault(agent, "running")
            yield _task_started(item, agent, tool_id, at)
    for agent, status in states.items():
        if status in _RUNNING:
            yield TaskProgress(at=at, id=agent)
        elif status is not None:
            error = None if status in _ENDED_WELL else word(status) or "unknown"
            yield TaskFinished(at=at, id=agent, error=error)


def _task_started(item: Item, agent: str, tool_id: str, at: int) -> TaskStarted:
    return TaskStarted(
        at=at,
        id=agent,
        kind="agent",
        tool_id=tool_id,
        parent_task=item.sender_thread_id,
        background=True,
    )


def _raw(*candidates: Raw) -> bytes | None:
    for candidate in candidates:
        if content := given(candidate):
            return content
    return None
