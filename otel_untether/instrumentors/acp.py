"""Hosts of the Agent Client Protocol, on its Python SDK: `AcpInstrumentor`.

Their agents are watched like any that asyncio starts. What only the SDK knows is added: what the
program answers (leave, files, terminals) runs under the spans that wait for it, a turn is linked
to the span in which its prompt was given, and a cancellation is noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import wrapt

from otel_untether.engines import registry
from otel_untether.instrumentors.asyncio import spawns
from otel_untether.instrumentors.asyncio_agent import agent_of
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.callbacks import answering
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.seams import Seam, Wrapping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.instrumentors.agent import HostedAgent
    from otel_untether.instrumentors.guest import Guest

    Positional = tuple[Any, ...]
    Named = dict[str, Any]


def _seam(gives: str, method: str) -> Seam:
    attribute = f"ClientSideConnection.{method}"
    return Seam(gives, "acp.client.connection", attribute, "agent-client-protocol")


_INIT: Final = _seam("what hosts of ACP are asked", "__init__")
_PROMPT: Final = _seam("links to who prompted", "prompt")
_CANCEL: Final = _seam("cancellations", "cancel")

# What a client may be asked: its method, and what the agent's request is called.
_ASKED: Final = {
    "request_permission": None,
    "create_elicitation": None,
    "read_text_file": "fs/read_text_file",
    "write_text_file": "fs/write_text_file",
    "create_terminal": "terminal/create",
    "terminal_output": "terminal/output",
    "release_terminal": "terminal/release",
    "wait_for_terminal_exit": "terminal/wait_for_exit",
    "kill_terminal": "terminal/kill",
}


class AcpInstrumentor(AgentInstrumentor):
    """Watches the agents of programs on the Agent Client Protocol's SDK, and what those answer."""

    _instruments = ("agent-client-protocol >= 0.8, < 0.14",)
    _wrapping = Wrapping()

    def _begin(self, guest: Guest) -> None:
        self._agents: WeakKeyDictionary[object, HostedAgent] = WeakKeyDictionary()
        spawns.join(self, guest, special=_serves_acp)
        self._wrapping = Wrapping()
        self._wrapping.once_imported("acp", self._wrap)

    def _cease(self) -> None:
        spawns.leave(self)
        self._wrapping.restore()

    def _wrap(self) -> None:
        self._wrapping.wrap({_INIT: self._connects, _PROMPT: self._prompts, _CANCEL: self._cancels})

    def _connects(
        self, wrapped: Callable[..., Any], connection: Any, args: Positional, kwargs: Named
    ) -> None:
        """Note whose connection it is, and stand before the client, or before what makes it."""
        with harmless("a client connects"):
            agent = agent_of(kwargs.get("input_stream", args[1] if len(args) > 1 else None))
            if agent is not None:
                self._agents[connection] = agent
                args, kwargs = _with_client(args, kwargs, agent)
        wrapped(*args, **kwargs)

    def _prompts(
        self, wrapped: Callable[..., Any], connection: Any, args: Positional, kwargs: Named
    ) -> Any:
        with harmless("a prompt"):
            if (agent := self._agents.get(connection)) is not None:
                agent.prompted()
        return wrapped(*args, **kwargs)

    def _cancels(
        self, wrapped: Callable[..., Any], connection: Any, args: Positional, kwargs: Named
    ) -> Any:
        with harmless("a cancellation"):
            if (agent := self._agents.get(connection)) is not None:
                agent.interrupted()
        return wrapped(*args, **kwargs)


def _serves_acp(argv: Sequence[str]) -> bool:
    engine = registry.detect_argv(argv)
    return engine is not None and engine.serves(argv) == "acp"


def _with_client(args: Positional, kwargs: Named, agent: HostedAgent) -> tuple[Positional, Named]:
    """Return the arguments of `ClientSideConnection(to_client, …)`, with a client of ours."""
    theirs = args[0] if args else kwargs["to_client"]
    ours: Any = _Client(theirs, agent)
    if callable(theirs):
        ours = lambda connection: _Client(theirs(connection), agent)  # noqa: E731
    return ((ours, *args[1:]), kwargs) if args else (args, {**kwargs, "to_client": ours})


class _Client:
    """A program's client, each method of which runs under the span that waits for its answer."""

    def __init__(self, client: Any, agent: HostedAgent) -> None:
        self._client = client
        self._agent = agent

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        with harmless("a client's method"):
            if _snake(name) in _ASKED:
                return _answering(found, _ASKED[_snake(name)], self._agent)
        return found


def _answering(
    method: Callable[..., Any], request: str | None, agent: HostedAgent
) -> Callable[..., Any]:
    async def answer(
        wrapped: Callable[..., Any], _client: Any, args: Positional, kwargs: Named
    ) -> Any:
        call = None
        with harmless("a request"):
            call = _call(*args, **kwargs)
        with answering(agent, request, call):
            return await wrapped(*args, **kwargs)

    return wrapt.FunctionWrapper(method, answer)  # of the same signature, which the SDK looks at


def _call(params: Any = None, **named: Any) -> str | None:
    """Return the call that a request is about; older clients take all in one object."""
    call = named.get("tool_call") or getattr(params, "tool_call", None)
    found = getattr(call, "tool_call_id", None)
    return found if isinstance(found, str) else None


def _snake(name: str) -> str:
    """Return a method's name as it is now; once it was ``requestPermission``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
