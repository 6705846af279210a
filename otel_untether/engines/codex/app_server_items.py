"""Items of ``codex app-server``, read as those of ``codex exec --json``, which they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.codex import items
from otel_untether.engines.codex.shapes import AgentState, Item, ItemCompleted, ItemStarted
from otel_untether.session.events import Event, ModelMessage, ToolUpdated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.engines.codex.app_server_shapes import AppItem, Params

_TOOLS: Final = {
    "commandExecution": "command_execution",
    "fileChange": "file_change",
    "mcpToolCall": "mcp_tool_call",
    "dynamicToolCall": "mcp_tool_call",  # which the client itself executes
    "collabAgentToolCall": "collab_tool_call",
    "webSearch": "web_search",
}
_SAYINGS: Final = frozenset({"agentMessage", "reasoning", "plan"})


def item_events(method: str, params: Params, at: int) -> Iterator[Event]:
    """Yield what an item's message says: that it began or ended, or that it is at work."""
    item = params.item
    if item is not None:
        yield from _whole_item(method, params, item, at)
    elif method.endswith("elta") and params.item_id:  # outputDelta, or delta alone
        tool = method.startswith(("item/commandExecution/", "item/fileChange/"))
        yield ToolUpdated(at=at, id=params.item_id) if tool else ModelMessage(at=at)
    elif method.endswith("/progress") and params.item_id:
        yield ToolUpdated(at=at, id=params.item_id)


def _whole_item(method: str, params: Params, item: AppItem, at: int) -> Iterator[Event]:
    if item.type in _SAYINGS:
        yield ModelMessage(at=at)
    elif item.type in _TOOLS and method == "item/started":
        happened = _nanoseconds(params.started_at_ms)
        for event in items.started(ItemStarted(_as_of_exec(item)), at):
            yield msgspec.structs.replace(event, happened=happened)
    elif item.type in _TOOLS:
        happened = _nanoseconds(params.completed_at_ms)
        for event in items.completed(ItemCompleted(_as_of_exec(item)), at):
            yield msgspec.structs.replace(event, happened=happened)


def _as_of_exec(item: AppItem) -> Item:
    states = {
        agent: AgentState(_snake(state.status))
        for agent, state in (item.agents_states or {}).items()
    }
    return Item(
        id=item.id,
        type=_TOOLS.get(item.type or ""),
        status=_snake(item.status),
        command=item.command,
        aggregated_output=item.aggregated_output,
        exit_code=item.exit_code,
        server=item.server,
        tool=_snake(item.tool) if item.type == "collabAgentToolCall" else item.tool,
        arguments=item.arguments,
        result=item.result,
        error=item.error,
        sender_thread_id=item.sender_thread_id,
        receiver_thread_ids=item.receiver_thread_ids,
        agents_states=states,
        prompt=item.prompt,
        changes=item.changes,
        query=item.query,
    )


def _nanoseconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds * 1_000_000


def _snake(name: str | None) -> str | None:
    if name is None:
        return None
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
