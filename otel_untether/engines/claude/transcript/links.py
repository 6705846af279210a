"""Which tool call started which subagent of a Claude Code transcript."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.claude.shapes import Block, Message, ToolOutcome
from otel_untether.engines.claude.tools import SUBAGENT_TOOLS
from otel_untether.engines.parsing.salvage import given, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.engines.claude.transcript.files import Entry, Log


class _Prompt(msgspec.Struct):
    prompt: str | None = None


class Links:
    """The call behind each subagent's entries, from whatever the version left to tell.

    In order of trust: the agent's own ``meta.json``, the ``agentId`` in the call's result, a
    ``progress`` entry, and last the prompt, which the call and the agent's first entry share.
    """

    def __init__(self, main: Log, agents: Sequence[Log]) -> None:
        self._main = main
        self._calls: dict[str, str] = {}  # agent id, or uuid of a sidechain's first entry → call
        self._roots: dict[str, str] = {}  # uuid of a sidechain's entry → uuid of its first one
        self._prompts: dict[str, list[str]] = {}  # prompt → calls that gave it, not yet claimed
        self.filed = {log.agent_id for log in agents}
        for log in (main, *agents):
            for _, entry in log.entries:
                self._learn(entry)
        for log in agents:
            self._learn_of_file(log)
        for _, entry in main.entries:
            self._learn_of_sidechain(entry)

    def parent(self, log: Log, entry: Entry) -> str | None:
        """Return the call under which `entry` happened, or at least a name for its subagent."""
        if log is not self._main:
            return self._calls.get(log.agent_id, log.agent_id)
        if not entry.is_sidechain:
            return None
        if entry.agent_id in self._calls:
            return self._calls[entry.agent_id]
        root = self._roots.get(entry.uuid or "", "sidechain")
        return self._calls.get(root, root)

    def call(self, agent_id: str) -> str | None:
        """Return the call that started an agent, None if nothing tells."""
        return self._calls.get(agent_id)

    def _learn(self, entry: Entry) -> None:
        for block in blocks_of(entry.message):
            if block.type == "tool_use" and block.name in SUBAGENT_TOOLS and block.id:
                prompt = read(given(block.input), _prompt_decoder, _Prompt).prompt
                self._prompts.setdefault(prompt or "", []).append(block.id)
            elif block.type == "tool_result" and block.tool_use_id:
                structured = given(entry.tool_use_result)
                outcome = read(structured, _outcome_decoder, ToolOutcome)
                if outcome.agent_id:
                    self._calls[outcome.agent_id] = block.tool_use_id
        if entry.data and entry.data.agent_id and entry.parent_tool_use_id:
            self._calls.setdefault(entry.data.agent_id, entry.parent_tool_use_id)

    def _learn_of_file(self, log: Log) -> None:
        if log.meta.tool_use_id:
            self._calls[log.agent_id] = log.meta.tool_use_id
        elif log.agent_id not in self._calls and log.entries:
            self._claim(log.agent_id, log.entries[0][1])

    def _learn_of_sidechain(self, entry: Entry) -> None:
        if not entry.is_sidechain or not entry.uuid:
            return
        root = self._roots.get(entry.parent_uuid or "")
        self._roots[entry.uuid] = root or entry.uuid
        if root is None and entry.agent_id not in self._calls:
            self._claim(entry.uuid, entry)

    def _claim(self, agent: str, first: Entry) -> None:
        if calls := self._prompts.get(text_of(first.message)):
            self._calls[agent] = calls.pop(0)


def blocks_of(message: Message | None) -> list[Block]:
    """Return a message's content blocks; a string has none."""
    return message.content if message and isinstance(message.content, list) else []


def text_of(message: Message | None) -> str:
    """Return the first text of a message, "" if there is none."""
    if message and isinstance(message.content, str):
        return message.content
    return next(filter(None, _texts(message)), "")


def _texts(message: Message | None) -> Iterator[str]:
    for block in blocks_of(message):
        if raw := given(block.text):
            value = msgspec.json.decode(raw)
            yield value if isinstance(value, str) else ""


_prompt_decoder: Final = msgspec.json.Decoder(_Prompt)
_outcome_decoder: Final = msgspec.json.Decoder(ToolOutcome)
