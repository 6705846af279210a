"""The tool calls of an ACP session: announced, updated, over.

What a call is called is nowhere said for certain: its title is prose that may hold a command or
a path, and is not told. Where the agent adds the tool's name, that counts; else what its id
begins with, and at least the kind of tool that the protocol knows (``execute``, ``read``, …).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.acp.shapes import ClaudeExtras, Meta, RawInput, RawOutput
from otel_untether.engines.parsing.salvage import given, read
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Event, TaskStarted, ToolFinished, ToolStarted, ToolUpdated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.engines.acp.shapes import Update

# Calls remembered at once: those that are open, and as many that are over as there is room for.
_REMEMBERED: Final = 4096
_SUBAGENTS: Final = frozenset({"Agent", "Task", "agent", "invoke_agent", "task"})
_TITLES_ITS_CALLS: Final = frozenset({"OpenCode"})  # by the tool's name, while they are pending
# Gemini CLI's ids: run_shell_command__fc_333e9a7560, older ones glob-1764138000000.
_OF_ID: Final = re.compile(r"([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?:__|-\d{10})")
_OVER: Final = frozenset({"completed", "failed"})


class Calls:
    """Which calls there are, so that each begins once and ends once.

    `agent` is what the agent calls itself, None while it has not said.
    """

    def __init__(self) -> None:
        self.agent: str | None = None
        self._open: dict[str, bool] = {}
        self._denied: set[str] = set()
        self._agents: set[str] = set()

    def deny(self, call: str) -> None:
        """Somebody refused a call: its end will look like any other failure."""
        if self._open.get(call):
            self._denied.add(call)

    def updated(self, update: Update, at: int) -> Iterator[Event]:
        """Yield what an update says of its call; one never heard of begins with it."""
        call = update.tool_call_id or ""
        known = self._open.get(call)
        if known is None:
            yield self._begin(update, call, at)
        if known is not False:
            yield from self._subagent(update, call, at)
            yield from self._over(update, call, at, known=known is not None)

    def _begin(self, update: Update, call: str, at: int) -> ToolStarted:
        self._remember(call, is_open=True)
        return ToolStarted(
            at=at,
            id=call,
            name=_name(update, call, self.agent),
            parent=_extras(update).parent_tool_use_id,
            type="extension" if update.kind == "fetch" else "function",
            arguments=given(update.raw_input),
        )

    def _over(self, update: Update, call: str, at: int, *, known: bool) -> Iterator[Event]:
        if update.status in _OVER:
            self._remember(call, is_open=False)
            yield self._end(update, call, at)
        elif known:
            yield ToolUpdated(at=at, id=call)

    def _end(self, update: Update, call: str, at: int) -> ToolFinished:
        code = _exit_code(update)
        denied = call in self._denied
        self._denied.discard(call)
        error = "tool_error" if update.status == "failed" else None
        return ToolFinished(
            at=at,
            id=call,
            parent=_extras(update).parent_tool_use_id,
            error="permission_denied" if denied and error else str(code) if code else error,
            exit_code=code,
            denied=denied,
            result=given(update.raw_output),
        )

    def _subagent(self, update: Update, call: str, at: int) -> Iterator[Event]:
        """A call that starts a subagent says which in its arguments, which may come later."""
        if update.kind not in (None, "think", "other") or call in self._agents:
            return
        arguments = read(given(update.raw_input), _input_decoder, RawInput)
        name = arguments.subagent_type or arguments.agent_name
        called = update.status != "pending" and _name(update, call, self.agent) in _SUBAGENTS
        if name or called:
            self._agents.add(call)
            yield TaskStarted(at=at, id=f"{call}/agent", kind="agent", tool_id=call, name=name)

    def _remember(self, call: str, *, is_open: bool) -> None:
        self._open.pop(call, None)
        self._open[call] = is_open
        if len(self._open) > _REMEMBERED:
            self._forget(next(iter(self._open)))

    def _forget(self, call: str) -> None:
        del self._open[call]
        self._denied.discard(call)
        self._agents.discard(call)


def _name(update: Update, call: str, agent: str | None) -> str:
    told = update.name or _extras(update).tool_name or (update.meta or Meta()).tool_name
    if told is None and update.status == "pending" and agent in _TITLES_ITS_CALLS:
        told = word(update.title)
    by_id = None if told else _OF_ID.match(call)
    return told or (by_id[1] if by_id else None) or word(update.kind) or "tool"


def _extras(update: Update) -> ClaudeExtras:
    return (update.meta.claude_code if update.meta else None) or ClaudeExtras()


def _exit_code(update: Update) -> int | None:
    output = read(given(update.raw_output), _output_decoder, RawOutput)
    return output.metadata.exit if output.metadata else output.exit_code


_input_decoder: Final = msgspec.json.Decoder(RawInput)
_output_decoder: Final = msgspec.json.Decoder(RawOutput)
