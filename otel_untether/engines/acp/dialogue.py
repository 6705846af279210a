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

from typing import TYPE_CHECKING, Any, Final

from otel_untether.engines.acp.answers import error_of, model_of, plain, tokens_of, usage_of
from otel_untether.engines.acp.calls import Calls
from otel_untether.engines.acp.shapes import (
    BackgroundTask,
    Implementation,
    Message,
    Meta,
    Outcome,
    Params,
    Result,
    Update,
)
from otel_untether.engines.parsing.json_rpc import Reader
from otel_untether.engines.parsing.salvage import given
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import (
    Event,
    ModelMessage,
    Ready,
    SessionStarted,
    StrayLine,
    ToolUpdated,
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

_NOTHING: Final = (None, b"null", b"[]")
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
_NAMES_MESSAGES: Final = frozenset({"OpenCode"})  # as its own files do
# Qwen Code begins a turn of its own accord when a subagent in the background is done.
_WAKES: Final = "_qwencode/start_turn"
_WOKEN_OVER: Final = "_qwencode/end_turn"
_WOKEN_ANSWER: Final = "background_notification_response"


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
        if method == _WAKES:
            yield from self._begin(_woken(params), at)
            return
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
        if message.method == _WOKEN_OVER:
            yield from self._woken_over(params, at)
            return
        update = params.update or Update()
        kind = update.session_update or ""
        if kind == "user_message_chunk" and not self._prompts and not self._hears_client:
            self._history.add(params.session_id)
        if params.session_id in self._history:
            return  # a session is loaded, and its past is told
        if kind in _CALLS and update.tool_call_id:
            yield from self._act(self._called(update, at), at)
        elif kind in _CALLS:
            yield StrayLine(at=at, reason="bad_shape", detail=word(kind))
        elif kind in _SAID:
            yield from self._piece(update, update.meta or Meta(), at)
        elif kind == "usage_update" and update.cost and update.cost.currency == "USD":
            _keep(self._costs, params.session_id, update.cost.amount or 0.0)
        elif update.current_model_id:
            yield SessionStarted(at=at, asks=False, model=plain(update.current_model_id))

    def _called(self, update: Update, at: int) -> Iterator[Event]:
        """What is told of a call; a command that writes was given leave, whoever saw that."""
        if self._waits and update.kind == "execute" and given(update.content) not in _NOTHING:
            for request, (call, _) in tuple(self._waits.items()):
                if call == update.tool_call_id and update.status == "in_progress":
                    del self._waits[request]
                    yield WaitEnded(at=at, id=_wait(request))
        yield from self._calls.updated(update, at)

    def _piece(self, update: Update, meta: Meta, at: int) -> Iterator[Event]:
        """Of an answer; or, in its form, what an answer took, or of a subagent behind."""
        if meta.usage is not None:
            used = tokens_of(meta.usage)
            self._spent = used if self._spent is None else self._spent + used
        elif meta.background_task is not None:
            yield from self._of_background(meta, meta.background_task, at)
        elif meta.parent_tool_call_id is not None:
            # Its files have the answer itself.
            yield from self._calls.alive(meta.parent_tool_call_id, at)
        else:
            yield from self._act(self._said(update, at), at)

    def _said(self, update: Update, at: int) -> Iterator[Event]:
        """Whoever speaks: the main agent, or a subagent that it waits for; of several, no one."""
        speakers = self._calls.speakers()
        if len(speakers) > 1:
            yield from (ToolUpdated(at=at, id=call) for call in speakers)
            return
        told = update.session_update != "agent_thought_chunk"  # which has an id of its own
        named = update.message_id if told and self._calls.agent in _NAMES_MESSAGES else None
        yield ModelMessage(at=at, id=named, parent=speakers[0] if speakers else None)

    def _of_background(self, meta: Meta, task: BackgroundTask, at: int) -> Iterator[Event]:
        """A piece about a subagent in the background: that it is over, or what is said to that."""
        if meta.source != _WOKEN_ANSWER:
            yield from self._calls.subagents.told(task, at)
        elif not task.turn_complete:
            yield from self._act(iter((ModelMessage(at=at),)), at)
        elif list(self._prompts) == [None]:  # older ones do not say that they wake
            yield from self._over(None, TurnFinished(at=at, usage=self._taken(), woken=True))

    def _begin(self, prompt: Id, at: int) -> Iterator[Event]:
        if not self._prompts:
            yield TurnStarted(at=at)
        _keep(self._prompts, prompt, None)

    def _woken_over(self, params: Params, at: int) -> Iterator[Event]:
        if _woken(params) in self._prompts:
            error = None if params.reason in (None, "end_turn") else word(params.reason) or "error"
            over = TurnFinished(at=at, error=error, usage=self._taken(), woken=True)
            yield from self._over(_woken(params), over)

    def _over(self, prompt: Id | None, turn: TurnFinished) -> Iterator[Event]:
        self._prompts.pop(prompt, None)
        yield turn
        if self._prompts:
            yield TurnStarted(at=turn.at)  # another session of this process is at work

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
            model=model_of(result),
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
        self._prompts.pop(None, None)
        error = error_of(message, result)
        yield from self._calls.subagents.settle(at)
        turn = TurnFinished(
            at=at,
            error=error,
            usage=self._used(result, session),
            session_cost_usd=sum(self._costs.values()) if self._costs else None,
            interrupted=error == "interrupted",
        )
        yield from self._over(request, turn)

    def _taken(self) -> Usage | None:
        """Return what was told on the way of what answers took, once."""
        spent, self._spent = self._spent, None
        return spent

    def _used(self, result: Result, session: str | None) -> Usage | None:
        """Return what a prompt took, by the answer to it or by what was told on the way."""
        told, spent = usage_of(result), self._taken()
        if told is None or self._calls.agent in _TELLS_LAST_USAGE:
            return spent
        if self._calls.agent in _TELLS_TOTALS:
            before = self._totals.get(session, Usage())
            _keep(self._totals, session, told)
            return told - before
        return told


def _nothing(_message: Message, _at: int) -> Iterator[Event]:
    return iter(())


def _woken(params: Params) -> str:
    return f"turn {params.turn_id}"


def _wait(request: Id) -> str:
    return f"request {request}"


def _keep(table: dict[Any, Any], key: object, value: object) -> None:
    """Remember one more, and forget the oldest where there are too many."""
    table[key] = value
    if len(table) > _REMEMBERED:
        del table[next(iter(table))]


_reader: Final = Reader(Message)
