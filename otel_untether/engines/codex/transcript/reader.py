"""Codex's rollouts (``~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<thread>.jsonl``) as events.

A thread is a file; a subagent is a thread of its own, whose first entry names its parent. What
the model answered is told piece by piece, and after that how many tokens it took::

    response_item  message        49.443   the answer begins; its response has no name yet
    response_item  function_call  49.484   a call in it
    token_usage_record            49.538   the name, and the tokens: all of it was one answer
    event_msg      item_completed 49.752   the call is over, with when it began and ended

so an answer's pieces wait until it has a name. Instructions and prompts are not read.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines.codex.stream import usage_of
from otel_untether.engines.codex.transcript.shapes import (
    Entry,
    Item,
    Payload,
    Source,
    Spawned,
    Subagent,
    Totals,
)
from otel_untether.engines.codex.transcript.threads import parent_of, thread_of, threads_below
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import given
from otel_untether.engines.parsing.values import from_milliseconds, nanoseconds, word
from otel_untether.engines.transcript_records import record, records
from otel_untether.session.events import (
    Compaction,
    Event,
    ModelMessage,
    Retry,
    SessionStarted,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)
from otel_untether.session.merging import is_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["hidden", "is_part", "is_transcript", "parts", "read"]

_CALLS: Final = frozenset({"function_call", "custom_tool_call", "local_shell_call"})
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_SAYINGS: Final = frozenset({"message", "reasoning", "web_search_call"})
# What the stream calls the tools behind the functions that the model calls.
_NAMES: Final = {
    "apply_patch": "file_change",
    "exec_command": "command_execution",
    "local_shell_call": "command_execution",
    "shell": "command_execution",
    "wait_agent": "wait",
}
_ITEMS: Final = {"CommandExecution": "command_execution", "FileChange": "file_change"}
_NO_TOOLS: Final = frozenset({"update_plan"})
_LAUNCHING: Final = frozenset({"spawn_agent", "send_input", "resume_agent"})
_EXITED: Final = re.compile(rb'(?:exited with code |\\"exit_code\\":\s?)(\d{1,9})')


def is_transcript(head: Sequence[bytes]) -> bool:
    """Tell a rollout by its first entry."""
    first = record(head[0], _decoder, Entry) if head else None
    return first is not None and first.type == "session_meta" and _payload(first).id is not None


def is_part(path: Path) -> bool:
    """Tell whether a file is a subagent's thread, which its parent's is read with."""
    return path.name.startswith("rollout-") and parent_of(path) is not None


def parts(path: Path) -> Iterable[Path]:
    """Return the threads below a session's, its subagents' subagents included."""
    return threads_below(path)


def read(path: Path) -> Iterator[Event]:
    """Yield a session's events in order of time; its subagents' files are found beside it."""
    main = _Thread(path, None)
    events = list(main.events())
    events += _below(parts(path), main, lambda _thread, call: call)
    yield from sorted(events, key=attrgetter("at"))


def hidden(path: Path, _session_id: str) -> Iterator[Event]:
    """Yield what its output does not tell of a session: what its subagents do, its past.

    What a thread used before it was resumed or forked is in all its totals.
    There a call has another id than in the file, but a thread has the same: what a thread does
    lies below the thread.
    """
    main = _Thread(path, None)
    past = [event for event in main.events() if isinstance(event, TurnFinished)]
    events = filter(is_below, _below(parts(path), main, lambda thread, _call: thread))
    yield from sorted([*past, *events], key=attrgetter("at"))


def _below(
    files: Iterable[Path], main: _Thread, parent: Callable[[str, str | None], str | None]
) -> list[Event]:
    """Return the events of subagents' threads; `parent` names one by its id and its call."""
    events: list[Event] = []
    launched = dict(main.launched)
    for part in files:
        thread = thread_of(part) or ""
        call = launched.get(thread)
        reader = _Thread(part, call, below=parent(thread, call))
        events += reader.events()
        launched |= reader.launched
    return events


class _Thread:
    """One thread's file; `call` is the call that started it, None for the main agent's.

    `below` is what its events lie below. `launched` tells by which call each thread was started.
    """

    def __init__(self, path: Path, call: str | None, *, below: str | None = None) -> None:
        self._entries = list(records(path, _decoder, Entry))
        self._meta = _payload(self._entries[0]) if self._entries else Payload()
        self._call = call
        self._below = below
        self._main = self._meta.parent_thread_id is None
        self._items = {
            item.id: (entry, item)
            for entry in self._entries
            if (item := _payload(entry).item) is not None and item.id
        }
        kinds = {_payload(entry).type for entry in self._entries}
        self._tells_turns = not kinds.isdisjoint(("task_started", "turn_started"))
        self._working = False
        self._at = 0
        self._error: str | None = None
        self._totals = Totals()
        self._inherited: Usage | None = None
        self._answer: list[int] = []
        self.launched: dict[str, str] = {}

    def events(self) -> Iterator[Event]:
        """Yield what happened in it, each answer of the model once it has its name."""
        held: list[Event] = []
        for entry in self._entries:
            self._at = max(self._at, nanoseconds(entry.timestamp) or self._at)
            payload = _payload(entry)
            if entry.type == "response_item":
                held += self._response_item(payload)
            elif entry.type == "token_usage_record":
                yield from self._answered(payload)
                yield from held
                held = []
            else:
                held += self._other(entry.type, payload)
        yield from self._answered(Payload())
        yield from held
        yield from self._turn_over()

    def _response_item(self, payload: Payload) -> Iterator[Event]:
        if payload.type in _CALLS and payload.call_id and payload.name not in _NO_TOOLS:
            self._answer.append(self._at)
            yield self._started(payload, payload.call_id)
        elif payload.type in _RESULTS and payload.call_id and payload.call_id not in self._items:
            yield self._returned(payload, payload.call_id)
        elif payload.type in _SAYINGS and payload.role in (None, "assistant"):
            self._answer.append(self._at)

    def _answered(self, payload: Payload) -> Iterator[Event]:
        """Yield the answer whose pieces were held back: from the first to the last of them."""
        if not self._answer:
            return
        first, last = self._answer[0], self._answer[-1]
        self._answer = []
        usage = usage_of(payload.usage) if payload.usage else None
        for at in (first, last):
            yield ModelMessage(
                at=at,
                id=payload.response_id,
                parent=self._below,
                usage=usage,
                complete=at == last,
            )

    def _started(self, payload: Payload, call: str) -> ToolStarted:
        entry, item = self._items.get(call, (None, Item()))
        began = from_milliseconds(_payload(entry).started_at_ms) if entry else None
        server = item.server or _server(payload.namespace)
        return ToolStarted(
            at=min(self._at, began) if began else self._at,
            id=call,
            name=item.tool or _ITEMS.get(item.type or "") or _name(payload),
            parent=self._below,
            type="extension" if server else "function",
            mcp_server=server,
            background=True if item.tool == "spawn_agent" else None,
            arguments=given(payload.arguments) or given(payload.input),
        )

    def _returned(self, payload: Payload, call: str) -> ToolFinished:
        """A result of which no item tells: what it says of itself counts."""
        output = given(payload.output) or b""
        exited = _EXITED.search(output)
        code = int(exited[1]) if exited else None
        return ToolFinished(
            at=self._at,
            id=call,
            parent=self._below,
            error=str(code) if code else None,
            exit_code=code,
            result=output or None,
        )

    def _other(self, kind: str | None, payload: Payload) -> Iterator[Event]:
        if kind == "session_meta":
            if self._main:
                yield SessionStarted(
                    at=self._at, session_id=payload.id, version=payload.cli_version
                )
        elif kind == "turn_context":
            if self._main and payload.model:
                yield SessionStarted(at=self._at, model=payload.model)
        elif kind == "compacted":
            yield Compaction(at=self._at, phase="ended")
        elif kind == "event_msg" and (reader := _MESSAGES.get(payload.type or "")):
            yield from reader(self, payload)

    def _prompted(self, payload: Payload) -> Iterator[Event]:
        """Older versions do not write down that a turn begins, and not always that it is over."""
        if self._main and not self._tells_turns:
            yield from self._turn_over()
            self._working = True
            yield from self._turn_started(payload)

    def _turn_over(self) -> Iterator[Event]:
        if self._working:
            yield from self._over(self._error)

    def _turn_started(self, _payload: Payload) -> Iterator[Event]:
        self._error = None
        if self._main:
            yield TurnStarted(at=self._at)
            return
        source = self._meta.source if isinstance(self._meta.source, Source) else Source()
        below = source.subagent if isinstance(source.subagent, Subagent) else Subagent()
        spawned = below.thread_spawn or Spawned()
        yield TaskStarted(
            at=self._at,
            happened=self._at,
            id=self._meta.id or "",
            kind="agent",
            tool_id=self._call,
            name=spawned.agent_role,
            parent_task=self._meta.parent_thread_id,
            depth=spawned.depth,
            background=True,
        )

    def _turn_finished(self, _payload: Payload) -> Iterator[Event]:
        yield from self._over(self._error)

    def _turn_aborted(self, payload: Payload) -> Iterator[Event]:
        yield from self._over(reason(payload.reason) if payload.reason else "interrupted")

    def _over(self, error: str | None) -> Iterator[Event]:
        if not self._main:
            yield TaskFinished(at=self._at, id=self._meta.id or "", error=error)
            return
        self._working = False
        told = self._totals.total_token_usage
        used = usage_of(told) if told else None
        yield TurnFinished(
            at=self._at,
            error=error,
            session_usage=used,
            new_usage=used - self._inherited if used and self._inherited else None,
            interrupted=error == "interrupted",
        )

    def _failed(self, payload: Payload) -> Iterator[Event]:
        self._error = reason(payload.message)
        if self._main:
            yield ModelMessage(at=self._at, complete=True, error=self._error)

    def _stream_failed(self, payload: Payload) -> Iterator[Event]:
        yield Retry(at=self._at, error=reason(payload.message))

    def _tokens(self, payload: Payload) -> Iterator[Event]:
        self._totals = payload.info or self._totals
        total, last = self._totals.total_token_usage, self._totals.last_token_usage
        if self._meta.forked_from_id and total and last and self._inherited is None:
            self._inherited = usage_of(total) - usage_of(last)
        return iter(())

    def _item_completed(self, payload: Payload) -> Iterator[Event]:
        item = payload.item or Item()
        if not item.id or item.type in ("UserMessage", "AgentMessage", "Reasoning"):
            return
        failed = item.status == "failed" or item.error is not None
        denied = item.status == "declined"
        error = str(item.exit_code) if item.exit_code else "tool_error" if failed else None
        agent = next(iter(item.receiver_thread_ids or ()), None)
        launching = item.tool in _LAUNCHING and agent is not None and not failed
        if agent is not None and item.tool == "spawn_agent":
            self.launched[agent] = item.id
        yield ToolFinished(
            at=from_milliseconds(payload.completed_at_ms) or self._at,
            id=item.id,
            name=item.tool or _ITEMS.get(item.type or "") or word(item.type),
            started=from_milliseconds(payload.started_at_ms),
            parent=self._below,
            error="permission_denied" if denied else error,
            exit_code=item.exit_code,
            denied=denied,
            detached=launching,
            task_id=agent if launching else None,
        )


_MESSAGES: Final[dict[str, Callable[[_Thread, Payload], Iterator[Event]]]] = {
    "task_started": _Thread._turn_started,  # noqa: SLF001  a table of its own methods
    "user_message": _Thread._prompted,  # noqa: SLF001
    "task_complete": _Thread._turn_finished,  # noqa: SLF001
    "turn_aborted": _Thread._turn_aborted,  # noqa: SLF001
    "error": _Thread._failed,  # noqa: SLF001
    "stream_error": _Thread._stream_failed,  # noqa: SLF001
    "token_count": _Thread._tokens,  # noqa: SLF001
    "item_completed": _Thread._item_completed,  # noqa: SLF001
}


def _name(payload: Payload) -> str:
    name = payload.name or payload.type or "unknown"
    return _NAMES.get(name, name)


def _server(namespace: str | None) -> str | None:
    """Return the MCP server behind ``mcp__server``; no server for namespaces of its own."""
    return word(namespace[5:]) if namespace and namespace.startswith("mcp__") else None


def _payload(entry: Entry) -> Payload:
    return entry.payload or Payload()


_decoder: Final = msgspec.json.Decoder(Entry)
