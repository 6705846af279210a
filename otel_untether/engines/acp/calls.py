"""The tool calls of an ACP session: announced, updated, over.

What a call is called is nowhere said for certain: its title is prose that may hold a command or
a path, and is not told. Where the agent adds the tool's name, that counts; else what its id
begins with, and at least the kind of tool that the protocol knows (``execute``, ``read``, …).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.acp.shapes import (
    ClaudeExtras,
    CopilotExtras,
    Meta,
    RawInput,
    RawOutput,
)
from otel_untether.engines.acp.subagents import Subagents
from otel_untether.engines.parsing.salvage import given, read
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Event, ToolFinished, ToolStarted, ToolUpdated

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
_SPEAKS_FOR_ITS_SUBAGENTS: Final = frozenset({"Copilot"})
# Gemini CLI says which subagent a call starts in its title alone, in these words.
_DELEGATES: Final = re.compile(r"Delegating to agent '([A-Za-z][A-Za-z0-9_-]{0,63})'")
_RECEIPT: Final = re.compile(rb"started in background with agent_id: ([A-Za-z0-9-]{1,64})")
# What Qwen Code tells of a command that failed, as text: what it was, what it wrote, its status.
_REPORT: Final = b'"Command: '
_STATUS: Final = rb"\nExit Code: "
_NUMBER: Final = re.compile(rb"(\d{1,9})\\n")


class Calls:
    """Which calls there are, so that each begins once and ends once.

    `agent` is what the agent calls itself, None while it has not said.
    """

    def __init__(self) -> None:
        self.agent: str | None = None
        self._open: dict[str, bool] = {}
        self._denied: set[str] = set()
        self._agents: set[str] = set()
        self._background: set[str] = set()
        self._parents: dict[str, str | None] = {}
        self.subagents = Subagents()

    def alive(self, call: str, at: int) -> Iterator[ToolUpdated]:
        """Yield that a call is at work, if it is open: something was told of what is below it."""
        if self._open.get(call):
            yield ToolUpdated(at=at, id=call)

    def speakers(self) -> list[str]:
        """Return the calls whose subagents a message may be of; none where it is the main one's."""
        known = self.agent in _SPEAKS_FOR_ITS_SUBAGENTS
        return self.subagents.speakers() if known else []

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
        arguments = given(update.raw_input)
        parent, agent = self._above(update)
        self._parents[call] = parent or agent
        starts = read(arguments, _input_decoder, RawInput).agent_type  # only Copilot CLI's does
        return ToolStarted(
            at=at,
            id=call,
            name="task" if starts else _name(update, call, self.agent),
            parent=parent,
            made_by=None if parent else agent,
            type="extension" if update.kind == "fetch" else "function",
            arguments=arguments,
        )

    def _above(self, update: Update) -> tuple[str | None, str | None]:
        """Return the call below which one lies, and the subagent that made it, as far as told."""
        meta = update.meta or Meta()
        told = _extras(update).parent_tool_use_id or meta.parent_tool_call_id
        agent = (meta.copilot or CopilotExtras()).agent_id
        return told or self.subagents.caller(agent), agent

    def _over(self, update: Update, call: str, at: int, *, known: bool) -> Iterator[Event]:
        if update.status in _OVER:
            self._remember(call, is_open=False)
            ended = self._end(update, call, at)
            yield ended
            if ended.detached:
                receipt = _RECEIPT.search(given(update.raw_output) or b"")
                agent = receipt[1].decode() if receipt else None
                yield from self.subagents.detach(call, agent, at)
        elif known:
            yield ToolUpdated(at=at, id=call)

    def _end(self, update: Update, call: str, at: int) -> ToolFinished:
        output = read(given(update.raw_output), _output_decoder, RawOutput)
        code = _exit_code(update, output)
        denied = call in self._denied
        self._denied.discard(call)
        self.subagents.over(call)
        error = "tool_error" if update.status == "failed" else None
        behind = call in self._background or output.execution_mode == "background"
        self._background.discard(call)
        return ToolFinished(
            at=at,
            id=call,
            parent=self._parents.pop(call, None),
            error="permission_denied" if denied and error else str(code) if code else error,
            exit_code=code,
            denied=denied,
            detached=behind and error is None,
            result=given(update.raw_output),
        )

    def _subagent(self, update: Update, call: str, at: int) -> Iterator[Event]:
        """A call that starts a subagent says which in its arguments, which may come later."""
        if update.kind not in (None, "think", "other") or call in self._agents:
            return
        arguments = read(given(update.raw_input), _input_decoder, RawInput)
        name = arguments.subagent_type or arguments.agent_name or arguments.agent_type
        called = update.status != "pending" and _name(update, call, self.agent) in _SUBAGENTS
        if name or called:
            self._agents.add(call)
            delegates = _DELEGATES.fullmatch(update.title or "")
            name = name or (delegates[1] if delegates else None)
            if arguments.mode == "background":
                self._background.add(call)
            yield self.subagents.begin(call, self._parents.get(call), name, at)

    def _remember(self, call: str, *, is_open: bool) -> None:
        self._open.pop(call, None)
        self._open[call] = is_open
        if len(self._open) > _REMEMBERED:
            self._forget(next(iter(self._open)))

    def _forget(self, call: str) -> None:
        del self._open[call]
        self._denied.discard(call)
        self._agents.discard(call)
        self._background.discard(call)
        self._parents.pop(call, None)
        self.subagents.over(call)


def _name(update: Update, call: str, agent: str | None) -> str:
    told = update.name or _extras(update).tool_name or (update.meta or Meta()).tool_name
    if told is None and update.status == "pending" and agent in _TITLES_ITS_CALLS:
        told = word(update.title)
    by_id = None if told else _OF_ID.match(call)
    return told or (by_id[1] if by_id else None) or word(update.kind) or "tool"


def _extras(update: Update) -> ClaudeExtras:
    return (update.meta.claude_code if update.meta else None) or ClaudeExtras()


def _exit_code(update: Update, output: RawOutput) -> int | None:
    if output.metadata is not None:
        return output.metadata.exit
    told = [output.exit_code, output.exited, *(each.exit_code for each in output.contents or ())]
    code = next((each for each in told if each is not None), None)
    if code is None and update.status == "failed":
        code = _reported(given(update.content) or b"")
    return code


def _reported(content: bytes) -> int | None:
    """Return the status that a report of a command ends with: the last, as it may print others."""
    at = content.rfind(_STATUS)
    if at < 0 or _REPORT not in content[:at]:
        return None
    told = _NUMBER.match(content, at + len(_STATUS))
    return int(told[1]) if told else None


_input_decoder: Final = msgspec.json.Decoder(RawInput)
_output_decoder: Final = msgspec.json.Decoder(RawOutput)
