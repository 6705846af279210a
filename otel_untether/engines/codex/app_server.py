"""``codex app-server``: JSON-RPC over stdio, as the Codex SDKs and editors speak it.

The client asks (``thread/start``, ``turn/start``) and the server answers; the server tells
(``item/started``, ``turn/completed``) and asks in its turn (``item/…/requestApproval``)::

    client  {"id":"a","method":"turn/start",…}                          a turn begins
    server  {"method":"item/started","params":{"item":{…}}}             a tool begins
    server  {"id":0,"method":"item/commandExecution/requestApproval"}   a wait begins
    client  {"id":0,"result":{"decision":"accept"}}                     the wait is over
    server  {"method":"turn/completed",…}                               the turn is over; it is idle

Items are those of ``codex exec --json`` with their names written otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.engines.codex.app_server_items import item_events
from otel_untether.engines.codex.app_server_shapes import Message, Params, Result, Tokens, Turn
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.parsing.json_rpc import Reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    Ready,
    Retry,
    SessionStarted,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
    WaitBegan,
    WaitEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_untether.engines.parsing.json_rpc import Id
    from otel_untether.session.events import WaitKind

_REMEMBERED: Final = 1024  # requests without an answer, turns at work
_BEGINS: Final = "turn/start"
_OPENS: Final = frozenset({"thread/start", "thread/resume", "thread/fork"})


class AppServerDialogue:
    """One such process, from its first message on: what was asked, which turns are at work."""

    def __init__(self) -> None:
        self._asked: dict[Id, tuple[str, str | None]] = {}  # a method, a thread
        self._turns: dict[str | None, Usage | None] = {}  # by thread: what was used so far
        self._below: dict[str | None, str | None] = {}  # a subagent's thread, the call behind it
        self._version: str | None = None

    def output(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the server printed."""
        return _reader.read(line, at, self._notified, self._server_asks, self._server_answers)

    def input(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the client wrote."""
        return _reader.read(line, at, _nothing, self._client_asks, _client_answers)

    def _client_asks(self, message: Message, request: Id, at: int) -> Iterator[Event]:
        method, thread = message.method or "", (message.params or Params()).thread_id
        _keep(self._asked, request, (method, thread))
        if method == _BEGINS:
            yield from self._began(thread, at)

    def _server_answers(self, message: Message, request: Id | None, at: int) -> Iterator[Event]:
        unknown: tuple[str | None, str | None] = (None, None)
        method, thread = unknown if request is None else self._asked.pop(request, unknown)
        result = message.result or Result()
        if result.user_agent is not None:
            self._version = _version(result.user_agent)
        elif result.thread is not None and (method is None or method in _OPENS):
            yield self._opened(result, at)
        elif message.error is not None and method == _BEGINS:
            yield from self._over(thread, Turn(error=message.error), at)
        if not self._turns:
            yield Ready(at=at)

    def _opened(self, result: Result, at: int) -> SessionStarted:
        return SessionStarted(
            at=at,
            asks=False,
            multi_prompt=True,
            session_id=result.thread.id if result.thread else None,
            model=result.model,
            version=self._version,
        )

    def _notified(self, message: Message, at: int) -> Iterator[Event]:
        params, method = message.params or Params(), message.method or ""
        if method == "thread/started" and params.thread and params.thread.parent_thread_id:
            self._below.setdefault(params.thread.id, None)
        elif method == "turn/started":
            yield from self._began(params.thread_id, at)
        elif method == "turn/completed":
            yield from self._over(params.thread_id, params.turn or Turn(), at)
        elif method == "thread/tokenUsage/updated":
            self._used(params)
        elif method == "error":
            yield from _error(params, at)
        elif method.startswith("item/"):
            yield from self._placed(params, item_events(method, params, at))

    def _server_asks(self, message: Message, request: Id, at: int) -> Iterator[Event]:
        method = message.method or ""
        yield WaitBegan(
            at=at,
            id=_wait(request),
            kind=_kind(method),
            tool_id=(message.params or Params()).item_id,
            detail=word(method),
        )

    def _began(self, thread: str | None, at: int) -> Iterator[Event]:
        if thread not in self._turns and thread not in self._below:
            _keep(self._turns, thread, None)
            yield TurnStarted(at=at)

    def _used(self, params: Params) -> None:
        last = params.token_usage.last if params.token_usage else None
        if last is not None and params.thread_id in self._turns:
            before = self._turns[params.thread_id] or Usage()
            self._turns[params.thread_id] = before + _usage(last)

    def _over(self, thread: str | None, turn: Turn, at: int) -> Iterator[Event]:
        if thread in self._below:
            return  # the call that waits for it, or asks for it, says so
        usage = self._turns.pop(thread, None)
        interrupted = turn.status == "interrupted"
        failed = turn.status == "failed" or turn.error is not None
        why = reason(turn.error.message if turn.error else None)
        yield TurnFinished(
            at=at,
            error="interrupted" if interrupted else why if failed else None,
            usage=usage,
            interrupted=interrupted,
        )
        if self._turns:
            yield TurnStarted(at=at)  # another thread of this process is at work

    def _placed(self, params: Params, events: Iterator[Event]) -> Iterator[Event]:
        """Place what a subagent does under the call that started it, once that is known."""
        item, thread = params.item, params.thread_id
        for below in item.receiver_thread_ids or () if item else ():
            if self._below.get(below) is None and item is not None:
                _keep(self._below, below, item.id)
        parent = self._below.get(thread)
        for event in events:
            if thread not in self._below:
                yield event
            elif parent is not None and isinstance(event, ToolStarted | ModelMessage):
                yield msgspec.structs.replace(event, parent=parent)
            elif parent is not None:
                yield event


def _error(params: Params, at: int) -> Iterator[Event]:
    """An error that is retried is none yet; one that is not is said again by the turn's end."""
    why = reason(params.error.message if params.error else None)
    if params.will_retry:
        yield Retry(at=at, error=why)
    else:
        yield ModelMessage(at=at, complete=True, error=why)


def _client_answers(message: Message, request: Id | None, at: int) -> Iterator[Event]:
    if request is not None:
        answer = word((message.result or Result()).decision)
        yield WaitEnded(at=at, id=_wait(request), answer="error" if message.error else answer)


def _kind(method: str) -> WaitKind:
    if method.endswith("Approval"):
        return "approval"
    return "question" if method.endswith(("requestUserInput", "elicitation/request")) else "host"


def _usage(tokens: Tokens) -> Usage:
    return Usage(
        input=tokens.input_tokens,
        output=tokens.output_tokens,
        cache_read=tokens.cached_input_tokens,
        cache_write=tokens.cache_write_input_tokens,
        reasoning=tokens.reasoning_output_tokens,
    )


def _version(agent: str | None) -> str | None:
    """Return the version in ``codex_python_sdk/0.169.0 (Debian …)``."""
    return (agent or "").partition("/")[2].partition(" ")[0] or None


def _wait(request: Id) -> str:
    return f"request {request}"


def _nothing(_message: Message, _at: int) -> Iterator[Event]:
    return iter(())


def _keep(table: dict[Any, Any], key: object, value: object) -> None:
    """Remember one more, and forget the oldest where there are too many."""
    table[key] = value
    if len(table) > _REMEMBERED:
        del table[next(iter(table))]


_reader: Final = Reader(Message)

SERVED: Final = Engine(
    "codex",
    dialogue="otel_untether.engines.codex.app_server:AppServerDialogue",
    tells=frozenset({"starts", "ends", "retries", "waits", "usage"}),
    traits=Traits(names_tools_late=False),
)
