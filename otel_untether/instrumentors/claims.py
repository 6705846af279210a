"""Which agent an SDK has just started, for the instrumentor that knows the SDK."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import threading
    from collections.abc import AsyncGenerator, Iterator

    from otel_untether.instrumentors.agent import HostedAgent


class Claim:
    """A piece of an SDK that starts one agent; `agent` is there once it has, if it is watched.

    `owner` is the instrumentor of that SDK. `through` is set once the program is through with the
    agent, where the agent's session shall wait for that; None where it shall not.
    """

    def __init__(self, owner: object, through: threading.Event | None = None) -> None:
        self.owner = owner
        self.through = through
        self.agent: HostedAgent | None = None

    @contextmanager
    def here(self) -> Iterator[None]:
        """Claim what is started in here, and in tasks that are begun in here."""
        token = _claim.set(self)
        try:
            yield
        finally:
            _claim.reset(token)

    async def around(self, events: Any) -> AsyncGenerator[Any]:
        """Yield what an asynchronous generator does, each step of which is within the claim."""
        try:
            while True:
                with self.here():  # not around the yield: what the caller starts is not ours
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                yield event
        finally:
            await events.aclose()


_claim: Final[ContextVar[Claim | None]] = ContextVar("untether_claim", default=None)


def current() -> Claim | None:
    """Return the claim in which this runs: also in a callback of the SDK, which inherits it."""
    return _claim.get()


def agent_here() -> HostedAgent | None:
    """Return the agent for which this runs, None where it is not watched."""
    claim = _claim.get()
    return None if claim is None else claim.agent


def claimed_by(owner: object) -> bool:
    """Tell whether an agent that is started now is `owner`'s."""
    claim = _claim.get()
    return claim is not None and claim.owner is owner and claim.agent is None


def opened(agent: HostedAgent) -> None:
    """Note who is about to be started; an agent's own children are no longer the SDK's."""
    claim = _claim.get()
    if claim is not None and claim.agent is None:
        claim.agent = agent
        agent.through = claim.through
