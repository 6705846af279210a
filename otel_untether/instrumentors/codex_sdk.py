"""The Codex SDK for Python, ``openai-codex``: `CodexSdkInstrumentor`.

Its server (``codex app-server``) is watched like any agent that `subprocess.Popen` starts. What
only the SDK knows is added: the program's approvals run under the spans that wait for them, a
turn is linked to the span in which it was asked for, and an interruption is noted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from otel_untether.instrumentors import claims
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.callbacks import answering
from otel_untether.instrumentors.claims import Claim
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.seams import Seam, Wrapping
from otel_untether.instrumentors.subprocess import spawns

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.instrumentors.agent import HostedAgent
    from otel_untether.instrumentors.guest import Guest

    Positional = tuple[Any, ...]
    Named = dict[str, Any]


def _seam(gives: str, method: str) -> Seam:
    return Seam(gives, "openai_codex.client", f"CodexClient.{method}", "openai-codex")


_START: Final = _seam("what programs on the Codex SDK are asked", "start")
_ASK: Final = _seam("spans around approvals", "_handle_server_request")
_TURN: Final = _seam("links to who prompted", "_start_turn")
_INTERRUPT: Final = _seam("interruptions", "turn_interrupt")


class CodexSdkInstrumentor(AgentInstrumentor):
    """Watches the servers of programs on the Codex SDK, and what those ask their program."""

    _instruments = ("openai-codex >= 0.154, < 0.170",)
    _wrapping = Wrapping()

    def _begin(self, guest: Guest) -> None:
        self._claims: WeakKeyDictionary[object, Claim] = WeakKeyDictionary()
        spawns.join(self, guest, special=lambda _argv: claims.claimed_by(self))
        self._wrapping = Wrapping()
        self._wrapping.once_imported("openai_codex", self._wrap)

    def _cease(self) -> None:
        spawns.leave(self)
        self._wrapping.restore()

    def _wrap(self) -> None:
        self._wrapping.wrap(
            {
                _START: self._starts,
                _ASK: self._asks,
                _TURN: self._prompts,
                _INTERRUPT: self._interrupts,
            }
        )

    def _starts(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        claim = Claim(self)
        with claim.here():
            result = wrapped(*args, **kwargs)
        with harmless("a client starts"):
            if claim.agent is not None:  # else it had started before
                self._claims[client] = claim
        return result

    def _asks(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        """Answer a request of the server's, in the thread that reads what it says."""
        about, call = None, None
        with harmless("a request"):
            about, call = _request(*args, **kwargs)
        with answering(self._agent(client), about, call):
            return wrapped(*args, **kwargs)

    def _prompts(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        if (agent := self._agent(client)) is not None:
            agent.prompted()
        return wrapped(*args, **kwargs)

    def _interrupts(
        self, wrapped: Callable[..., Any], client: Any, args: Positional, kwargs: Named
    ) -> Any:
        if (agent := self._agent(client)) is not None:
            agent.interrupted()
        return wrapped(*args, **kwargs)

    def _agent(self, client: Any) -> HostedAgent | None:
        claim = None
        with harmless("whose client it is"):
            claim = self._claims.get(client)
        return None if claim is None else claim.agent


def _request(msg: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return what a request is called, and the item that it is about."""
    params = msg.get("params")
    return msg.get("method"), params.get("itemId") if isinstance(params, dict) else None
