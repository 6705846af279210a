"""The Agent Client Protocol: JSON-RPC 2.0 over stdio, a line a message, in both directions.

The client asks (``initialize``, ``session/new``, ``session/prompt``) and the agent answers; the
agent tells (``session/update``) and asks in its turn (``session/request_permission``, ``fs/…``,
``terminal/…``). An answer names nothing but the id of its request::

    client  {"id":3,"method":"session/prompt",…}                a turn begins
    agent   {"method":"session/update",…tool_call…}             a tool begins
    agent   {"id":0,"method":"session/request_permission",…}    a wait begins
    client  {"id":0,"result":{"outcome":…}}                     the wait is over
    agent   {"id":3,"result":{"stopReason":"end_turn"}}         the turn is over; it is idle

Where only the agent's lines can be seen, a turn begins with the first thing that it does, and
what it asked is over when it acts again. No message says when anything happened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.engines.acp.calls import Calls
from otel_untether.engines.acp.shapes import (
    ConfigOption,
    Implementation,
    Message,
    Models,
    Outcome,
    Params,
    Quota,
    QuotaTokens,
    Result,
    ResultMeta,
    Tokens,
    Update,
)
from otel_untether.engines.parsing.json_rpc import Reader
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import BROKEN, given
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    Ready,
    SessionStarted,
    StrayLine,
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

_REMEMBERED: Final = 1024  # requests without an answer, and sessions
_PROMPT: Final = "session/prompt"
_LOAD: Final = ("session/load",)
_OPENS: Final = ("initialize", "authenticate", "session/new", "session/load", "session/resume")
_SAID: Final = frozenset({"agent_message_chunk", "agent_thought_chunk"})
_CALLS: Final = frozenset({"tool_call", "tool_call_update"})
_QUESTIONS: Final[dict[str, WaitKind]] = {
    "session/request_permission": "approval",
    "elicitation/create": "question",
    "session/elicitation": "question",
}
_OF_HOST: Final = ("fs/", "terminal/", "mcp/")  # what any client may be asked for
# Whose answer to a prompt tells the tokens of its last request only, or of the session so far.
_TELLS_LAST_USAGE: Final = frozenset({"OpenCode"})
_TELLS_TOTALS: Final = frozenset({"Copilot"})
_RUNTIME_MODEL: Final = re.compile(r"\$runtime\|[^|]*\|(.+?)(?:\([^()]*\))?")  # as Qwen Code has it


class AcpDialogue:
    """One process that serves ACP, from its first message on: what was asked, what is open."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._asked: dict[Id, tuple[str, str | None]] = {}
        self._waits: dict[Id, tuple[str, dict[str, str]]] = {}
        self._costs: dict[str | None, float] = {}
        self._totals: dict[str | None, Usage] = {}
        self._spent: Usage | None = None
        self._prompts: dict[Id | None, None] = {}
        self._history: set[str | None] = set()
        self._hears_client = False

    def output(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the agent printed."""
        return _reader.read(line, at, self._notified, self._agent_asks, self._agent_answers)

    def input(self, line: bytes, at: int, /) -> tuple[Event, ...]:
        """Return what a line says that the client wrote."""
        self._hears_client = True
        return _reader.read(line, at, _nothing, self._client_asks, self._client_answers)

    # The client's lines.

    def _client_asks(self, message: Message, request: Id, at: int) -> Iterator[Event]:
        session = (message.params or Params()).session_id
        method = message.method or ""
        _keep(self._asked, request, (method, session))
        if method == _PROMPT:
            self._history.discard(session)
            _keep(self._prompts, request, None)
            yield TurnStarted(at=at)
        elif method in _LOAD and len(self._history) < _REMEMBERED:
            self._history.add(session)

    def _client_answers(self, message: Message, request: Id | None, at: int) -> Iterator[Event]:
        call, options = self._waits.pop(request, ("", {})) if request is not None else ("", {})
        result = message.result or Result()
        outcome = result.outcome or Outcome()
        answer = options.get(outcome.option_id or "") or word(outcome.outcome or result.action)
        if answer is not None and answer.startswith(("reject", "cancel")):
            self._calls.deny(call)
        if request is not None:
            yield WaitEnded(at=at, id=_wait(request), answer="error" if message.error else answer)

    # The agent's lines.

    def _agent_asks(self, message: Message, request: Id, at: int) -> Iterator[Event]:
        params, method = message.params or Params(), message.method or ""
        about = params.tool_call or Update()
        yield from self._work(at)
        if about.tool_call_id:
            yield from self._calls.updated(about, at)
        options = {o.option_id: o.kind for o in params.options or () if o.option_id and o.kind}
        _keep(self._waits, request, (about.tool_call_id or "", options))
        if not (self._hears_client or method in _QUESTIONS or method.startswith(_OF_HOST)):
            return  # an extension, whose answer will not be seen either
        kind = _QUESTIONS.get(method, "host")
        detail = word(method) if kind == "host" else None
        yield WaitBegan(
            at=at, id=_wait(request), kind=kind, tool_id=about.tool_call_id, detail=detail
        )

    def _notified(self, message: Message, at: int) -> Iterator[Event]:
        params = message.params or Params()
        update = params.update or Update()
        kind = update.session_update or ""
        if kind == "user_message_chunk" and not self._prompts and not self._hears_client:
            self._history.add(params.session_id)
        if params.session_id in self._history:
            return  # a session is loaded, and its past is told
        if kind in _CALLS and update.tool_call_id:
            yield from self._act(self._calls.updated(update, at), at)
        elif kind in _CALLS:
            yield StrayLine(at=at, reason="bad_shape", detail=word(kind))
        elif kind in _SAID and update.meta is not None and update.meta.usage is not None:
            used = _tokens(update.meta.usage)
            self._spent = used if self._spent is None else self._spent + used
        elif kind in _SAID:
            yield from self._act(iter((ModelMessage(at=at),)), at)
        elif kind == "usage_update" and update.cost and update.cost.currency == "USD":
            _keep(self._costs, params.session_id, update.cost.amount or 0.0)
        elif update.current_model_id:
            yield SessionStarted(at=at, asks=False, model=_plain(update.current_model_id))

    def _act(self, events: Iterator[Event], at: int) -> Iterator[Event]:
        """Yield what the agent did, in a turn; what it does without a prompt leaves it idle."""
        yield from self._work(at)
        yield from events
        if not self._prompts:
            yield Ready(at=at)

    def _work(self, at: int) -> Iterator[Event]:
        """A prompt that nobody could see is at work."""
        if not self._prompts and not self._hears_client:
            self._prompts[None] = None
            yield TurnStarted(at=at)

    def _agent_answers(self, message: Message, request: Id | None, at: int) -> Iterator[Event]:
        result = message.result or Result()
        unknown: tuple[str | None, str | None] = (None, None)
        method, session = unknown if request is None else self._asked.pop(request, unknown)
        if method is None:
            method = self._guess(result, failed=message.error is not None)
        if method == _PROMPT:
            yield from self._turn_over(message, result, request, session, at)
        elif method in _OPENS:
            self._history.discard(session)
            yield from self._opened(result, session, at)

    def _guess(self, result: Result, *, failed: bool) -> str | None:
        """Return what was asked, where the request could not be seen."""
        self._history.clear()
        if result.stop_reason is not None or (failed and None in self._prompts):
            return _PROMPT
        if result.protocol_version is not None:
            return "initialize"
        return "session/new" if result.session_id else None

    def _opened(self, result: Result, session: str | None, at: int) -> Iterator[Event]:
        who = result.agent_info or Implementation()
        self._calls.agent = who.name or self._calls.agent
        yield SessionStarted(
            at=at,
            asks=False,
            multi_prompt=True,
            session_id=result.session_id or session,
            model=_model(result),
            version=who.version,
        )
        if not self._prompts:
            yield Ready(at=at)

    def _turn_over(
        self,
        message: Message,
        result: Result,
        request: Id | None,
        session: str | None,
        at: int,
    ) -> Iterator[Event]:
        self._prompts.pop(request, None)
        self._prompts.pop(None, None)
        usage = self._used(result, session)
        error = _error(message, result)
        yield TurnFinished(
            at=at,
            error=error,
            usage=usage,
            session_cost_usd=sum(self._costs.values()) if self._costs else None,
            interrupted=error == "interrupted",
        )
        if self._prompts:
            yield TurnStarted(at=at)  # another session of this process is at work

    def _used(self, result: Result, session: str | None) -> Usage | None:
        """Return what a prompt took, by the answer to it or by what was told on the way."""
        told, spent, self._spent = _usage(result), self._spent, None
        if told is None or self._calls.agent in _TELLS_LAST_USAGE:
            return spent
        if self._calls.agent in _TELLS_TOTALS:
            before = self._totals.get(session, Usage())
            _keep(self._totals, session, told)
            return told - before
        return told


def _nothing(_message: Message, _at: int) -> Iterator[Event]:
    return iter(())


def _wait(request: Id) -> str:
    return f"request {request}"


def _keep(table: dict[Any, Any], key: object, value: object) -> None:
    """Remember one more, and forget the oldest where there are too many."""
    table[key] = value
    if len(table) > _REMEMBERED:
        del table[next(iter(table))]


def _error(message: Message, result: Result) -> str | None:
    if message.error is not None:
        return reason(message.error.message)
    if result.stop_reason == "cancelled":
        return "interrupted"
    return None if result.stop_reason == "end_turn" else word(result.stop_reason) or "error"


def _model(result: Result) -> str | None:
    chosen = [option for option in result.config_options or () if option.id == "model"]
    told = (result.models or Models()).current_model_id
    return _plain(told or next(filter(None, map(_value, chosen)), None))


def _plain(model: str | None) -> str | None:
    match = _RUNTIME_MODEL.fullmatch(model or "")
    return match[1] if match else model


def _value(option: ConfigOption) -> str | None:
    try:
        return _text_decoder.decode(given(option.current_value) or b"null")
    except BROKEN:
        return None


def _usage(result: Result) -> Usage | None:
    tokens = result.usage
    if tokens is None:
        quota = ((result.meta or ResultMeta()).quota or Quota()).token_count or QuotaTokens()
        known = quota.input_tokens is not None or quota.output_tokens is not None
        return Usage(input=quota.input_tokens, output=quota.output_tokens) if known else None
    return _tokens(tokens)


def _tokens(tokens: Tokens) -> Usage:
    return Usage(
        input=_input(tokens),
        output=tokens.output_tokens,
        cache_read=tokens.cached_read_tokens,
        cache_write=tokens.cached_write_tokens,
        reasoning=tokens.thought_tokens,
    )


def _input(tokens: Tokens) -> int | None:
    """Count cached tokens as input, once; the total tells whether they are part of it already."""
    fresh = tokens.input_tokens
    cached = (tokens.cached_read_tokens or 0) + (tokens.cached_write_tokens or 0)
    if fresh is None or tokens.total_tokens == fresh + (tokens.output_tokens or 0):
        return fresh
    return fresh + cached


_reader: Final = Reader(Message)
_text_decoder: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)
