"""The Claude Agent SDK: `ClaudeAgentSdkInstrumentor`.

Its agents are watched like any that asyncio starts. What only the SDK knows is added: the
program's hooks, permission callbacks and tools run under the spans that wait for them, a turn is
linked to the span in which its prompt was given, and an interruption is noted.
"""

from __future__ import annotations

import copy
from contextvars import ContextVar
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from otel_untether.instrumentors import claims
from otel_untether.instrumentors.asyncio import spawns
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.callbacks import answering, executing
from otel_untether.instrumentors.claims import Claim
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.seams import Seam, Wrapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.instrumentors.agent import HostedAgent
    from otel_untether.instrumentors.guest import Guest

    Positional = tuple[Any, ...]
    Named = dict[str, Any]

_PACKAGE: Final = "claude-agent-sdk"
_CALLBACKS: Final = "what programs on the Claude Agent SDK are asked"


def _seam(gives: str, module: str, attribute: str) -> Seam:
    return Seam(gives, f"claude_agent_sdk.{module}", attribute, _PACKAGE)


_CONNECT: Final = _seam(_CALLBACKS, "client", "ClaudeSDKClient.connect")
# Behind `query()`, which programs take by name before we can wrap it.
_QUERY: Final = _seam(_CALLBACKS, "_internal.client", "InternalClient.process_query")
_PROMPT: Final = _seam("links to who prompted", "client", "ClaudeSDKClient.query")
_INTERRUPT: Final = _seam("interruptions", "client", "ClaudeSDKClient.interrupt")

_SERVE: Final = _seam(
    "spans around MCP servers in-process", "_internal.query", "Query._handle_sdk_mcp_request"
)
_HANDLER: Final = Seam(
    "spans around tools in-process", "claude_agent_sdk", "SdkMcpTool.handler", _PACKAGE
)

# Whether the SDK hands a message to a server in-process here; seen there where that keeps contexts.
_serving: Final = ContextVar("untether_serving", default=False)


class ClaudeAgentSdkInstrumentor(AgentInstrumentor):
    """Watches the agents of programs on the Claude Agent SDK, and what they ask their program."""

    _instruments = ("claude-agent-sdk >= 0.1.40, < 0.3",)
    _wrapping = Wrapping()

    def _begin(self, guest: Guest) -> None:
        self._claims: WeakKeyDictionary[object, Claim] = WeakKeyDictionary()
        spawns.join(self, guest, special=lambda _argv: claims.claimed_by(self))
        self._wrapping = Wrapping()
        self._wrapping.once_imported("claude_agent_sdk", self._wrap)

    def _cease(self) -> None:
        spawns.leave(self)
        self._wrapping.restore()

    def _wrap(self) -> None:
        self._wrapping.wrap(
            {
                _CONNECT: self._connects,
                _QUERY: self._queries,
                _PROMPT: self._prompts,
                _INTERRUPT: self._interrupts,
                _SERVE: self._serves,
            }
        )
        self._wrapping.intercept(_HANDLER, _Handler)

    async def _connects(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        """Start the agent of a `ClaudeSDKClient`, whose options are ours while it does."""
        claim, theirs, ours = Claim(self), None, None
        with harmless("a client connects"):
            self._claims[client] = claim
            theirs = client.options
            ours = client.options = _overheard(theirs, claim)
        try:
            with claim.here():
                return await wrapped(*args, **kwargs)
        finally:
            if ours is not None and client.options is ours:  # nobody has changed them meanwhile
                client.options = theirs

    def _queries(
        self, wrapped: Callable[..., Any], _client: Any, args: Positional, kwargs: Named
    ) -> Any:
        """Start the agent of a `query()`, which begins with the first message asked for."""
        claim = Claim(self)
        with harmless("a query"):
            args, kwargs = _with_options(args, kwargs, claim)
        messages = wrapped(*args, **kwargs)
        return claim.around(messages) if isasyncgen(messages) else messages

    async def _prompts(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        if (agent := self._agent(client)) is not None:
            agent.prompted()
        return await wrapped(*args, **kwargs)

    async def _interrupts(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        if (agent := self._agent(client)) is not None:
            agent.interrupted()
        return await wrapped(*args, **kwargs)

    async def _serves(
        self, wrapped: Callable[..., Any], _query: Any, args: Positional, kwargs: Named
    ) -> Any:
        """Hand a message on to a server in-process, which may or may not keep the context."""
        agent, server, call = None, None, None
        with harmless("a message to a server in-process"):
            agent = claims.agent_here()
            server, call = _addressed(*args, **kwargs)
        token = _serving.set(True)
        try:
            with answering(agent, server, call):
                return await wrapped(*args, **kwargs)
        finally:
            _serving.reset(token)

    def _agent(self, client: Any) -> HostedAgent | None:
        claim = None
        with harmless("whose client it is"):
            claim = self._claims.get(client)
        return None if claim is None else claim.agent


def _addressed(server_name: str, message: dict[str, Any]) -> tuple[str, str | None]:
    """Return to which server a message goes, as the session calls it, and for which call."""
    meta = (message.get("params") or {}).get("_meta") or {}
    return f"mcp:{server_name}", meta.get("claudecode/toolUseId")


def _with_options(
    args: Positional, kwargs: Named, claim: Claim
) -> tuple[Positional, dict[str, Any]]:
    """Return the arguments of `process_query(prompt, options, …)`, with options of ours."""
    if len(args) > 1:
        return (args[0], _overheard(args[1], claim), *args[2:]), kwargs
    return args, {**kwargs, "options": _overheard(kwargs["options"], claim)}


def _overheard(options: Any, claim: Claim) -> Any:
    """Return options whose callbacks run under the spans that wait for them."""
    ours = copy.copy(options)
    if options.can_use_tool:
        ours.can_use_tool = _permission(options.can_use_tool, claim)
    if options.hooks:
        ours.hooks = {
            event: [_matcher(matcher, event, claim) for matcher in matchers]
            for event, matchers in options.hooks.items()
        }
    return ours


def _matcher(matcher: Any, event: str, claim: Claim) -> Any:
    ours = copy.copy(matcher)
    ours.hooks = [_hook(hook, event, claim) for hook in matcher.hooks]
    return ours


def _hook(hook: Callable[..., Any], event: str, claim: Claim) -> Callable[..., Any]:
    async def answer(given: Any, call: str | None, *rest: Any) -> Any:
        with answering(claim.agent, event, call):
            return await hook(given, call, *rest)

    return answer


def _permission(ask: Callable[..., Any], claim: Claim) -> Callable[..., Any]:
    async def answer(tool: str, given: Any, context: Any, *rest: Any) -> Any:
        with answering(claim.agent, tool, getattr(context, "tool_use_id", None)):
            return await ask(tool, given, context, *rest)

    return answer


class _Handler:
    """`SdkMcpTool.handler`, as the program set it; the SDK, when it calls it, gets ours."""

    def __get__(self, tool: Any, _owner: object = None) -> Any:
        handler = vars(tool)["handler"]
        with harmless("a tool in-process"):
            if (claim := claims.current()) is not None:
                return _executing(handler, tool.name, claim)
        return handler

    def __set__(self, tool: Any, handler: Any) -> None:
        vars(tool)["handler"] = handler


def _executing(handler: Callable[..., Any], name: str, claim: Claim) -> Callable[..., Any]:
    async def execute(*args: Any) -> Any:
        with executing(claim.agent, name, below=_serving.get()):
            return await handler(*args)

    return execute
