"""Untether, the Telegram bridge: `UntetherInstrumentor`.

Its agents are watched like any that asyncio starts. What only Untether knows is added: which
project a run is of, runs that it refuses for want of memory, errors that it makes of an agent's
end, and what its own watchdog says. Chat and user ids never leave.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import aclosing
from dataclasses import replace
from inspect import isasyncgen
from typing import TYPE_CHECKING, Any, Final

from otel_untether import semconv
from otel_untether.config import files
from otel_untether.config.home import home_of
from otel_untether.engines.parsing.names import name as fit
from otel_untether.instrumentors.agent import HostedAgent
from otel_untether.instrumentors.asyncio import spawns
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.claims import Claim
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.seams import Patch, Seam, wrap
from otel_untether.instrumentors.untether_verdicts import Verdicts, bound, broken_off

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from opentelemetry.util.types import AttributeValue

    from otel_untether.instrumentors.guest import Guest

_PACKAGE: Final = "untether"
_LOGGING: Final = Seam("Untether's verdicts", "untether.logging", "setup_logging", _PACKAGE)
_GUARD: Final = Seam(
    "Untether's refused runs",
    "untether.runner",
    "JsonlSubprocessRunner._check_prespawn_ram_guard",
    _PACKAGE,
    since="0.35.2",
)
_RUN: Final = Seam("how long Untether's runs last", "untether.runner", "BaseRunner.run", _PACKAGE)
_COMPLETED: Final = Seam(
    "errors that Untether adds",
    "untether.runner",
    "JsonlSubprocessRunner._log_completed_event",
    _PACKAGE,
)
_REFUSED: Final = "prespawn_blocked"  # Untether's own word


class UntetherInstrumentor(AgentInstrumentor):
    """Watches the agents of an Untether bridge, and hears what its own watchdog says of them.

    Untether's ``[watchdog]`` is the base of our settings, but not what it says about killing:
    ours ends an agent only where our own settings say so.
    """

    _instruments = ("untether >= 0.34.0, < 0.37",)
    _patches: tuple[Patch, ...] = ()
    _verdicts: Verdicts | None = None

    def _begin(self, guest: Guest) -> None:
        verdicts = self._verdicts = Verdicts()
        self._guest = replace(
            _not_by_its_word(guest), attributes=_project, begun=verdicts.follow, into_clean=True
        )
        spawns.join(self, self._guest, special=lambda _argv: True)
        self._patches = tuple(
            wrap(
                {
                    _LOGGING: self._logging_set_up,
                    _GUARD: self._guarded,
                    _RUN: self._runs,
                    _COMPLETED: self._completed,
                }
            )
        )
        with harmless("Untether's verdicts"):
            verdicts.tap()

    def _cease(self) -> None:
        spawns.leave(self)
        for patch in self._patches:
            patch.restore()
        self._patches = ()
        if self._verdicts is not None:
            self._verdicts.untap()

    def _logging_set_up(
        self,
        wrapped: Callable[..., Any],
        _instance: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Follow its logging, which it sets up anew."""
        result = wrapped(*args, **kwargs)
        with harmless("Untether's verdicts"):
            if self._verdicts is not None:
                self._verdicts.tap()
        return result

    def _runs(
        self,
        wrapped: Callable[..., Any],
        _runner: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Follow a run past the end of its agent, of which it may say something yet."""
        events = wrapped(*args, **kwargs)
        return _followed(events, self) if isasyncgen(events) else events

    def _completed(
        self,
        wrapped: Callable[..., Any],
        _runner: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Hear how it counts a run, before it says so."""
        with harmless("Untether's errors"):
            if self._verdicts is not None:
                self._verdicts.completed(**kwargs)
        return wrapped(*args, **kwargs)

    def _guarded(
        self,
        wrapped: Callable[..., Any],
        runner: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Make a session, which never had a process, of a run that is refused."""
        refusal = wrapped(*args, **kwargs)
        if refusal is not None:
            with harmless("a refused run"):
                agent = HostedAgent(self._guest, [str(runner.engine)], heard=False)
                agent.session.state.last_error = _REFUSED
                agent.finish(None)
        return refusal


async def _followed(events: Any, owner: UntetherInstrumentor) -> AsyncGenerator[Any]:
    """Yield the events of a run, whose agent's session waits until there are no more."""
    claim = Claim(owner, through=threading.Event())
    try:
        async with aclosing(claim.around(events)) as its:  # in the task that leaves it
            async for event in its:
                yield event
    except (Exception, asyncio.CancelledError) as error:
        with harmless("a run that is broken off"):
            broken_off(claim.agent, error)
        raise
    finally:
        if claim.through is not None:
            claim.through.set()


def _project() -> dict[str, AttributeValue]:
    project = bound("project")
    return {semconv.HOST_PROJECT: fit(str(project))} if project else {}


def _not_by_its_word(guest: Guest) -> Guest:
    """Return the same, which kills only where a setting of ours says so."""
    settings = guest.settings
    base = files.untether_file(os.environ, home_of(os.environ))
    source = settings.sources.get("watchdog.stall_auto_kill")
    if base is None or source != base:
        return guest
    watchdog = settings.watchdog._replace(stall_auto_kill=False)
    return replace(guest, settings=settings._replace(watchdog=watchdog))
