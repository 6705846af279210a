"""Agents that a program starts under asyncio, by whatever library: `AsyncioAgentInstrumentor`.

All of them go through the event loop's ``subprocess_exec`` and ``subprocess_shell``, also those
of ``anyio.open_process``, of the Claude Agent SDK, of ACP and MCP hosts, and also where the
program took ``create_subprocess_exec`` by name before.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import wrapt

from otel_untether.instrumentors.asyncio_agent import AsyncioAgent
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.recognising import is_agent, words
from otel_untether.instrumentors.seams import Patch, Seam, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.instrumentors.guest import Guest

_GIVES: Final = "agents started under asyncio"
_GIVES_UVLOOP: Final = "agents started under uvloop"
_EXEC: Final = Seam(_GIVES, "asyncio.base_events", "BaseEventLoop.subprocess_exec")
_SHELL: Final = Seam(_GIVES, "asyncio.base_events", "BaseEventLoop.subprocess_shell")
_UV_EXEC: Final = Seam(_GIVES_UVLOOP, "uvloop", "Loop.subprocess_exec", "uvloop")
_UV_SHELL: Final = Seam(_GIVES_UVLOOP, "uvloop", "Loop.subprocess_shell", "uvloop")


class AsyncioAgentInstrumentor(AgentInstrumentor):
    """Watches the coding agents among the processes that are started under asyncio or uvloop."""

    def _begin(self, guest: Guest) -> None:
        spawns.join(self, guest)

    def _cease(self) -> None:
        spawns.leave(self)


class Spawns:
    """The seam itself, which several instrumentors may share.

    Whoever is `special`, as it knows the program, is asked before those who know none.
    """

    def __init__(self) -> None:
        self._guests: dict[object, Guest] = {}
        self._special: set[object] = set()
        self._patches: list[Patch] = []

    def join(self, who: object, guest: Guest, *, special: bool = False) -> None:
        """Have agents watched as `guest` says, on behalf of `who`."""
        self._guests[who] = guest
        if special:
            self._special.add(who)
        if len(self._guests) > 1:
            return
        self._patches = wrap({_EXEC: self._exec, _SHELL: self._shell})
        if "uvloop" in sys.modules:
            self._wrap_uvloop()
        else:
            wrapt.register_post_import_hook(self._wrap_uvloop, "uvloop")

    def leave(self, who: object) -> None:
        """Watch no more agents for `who`; those that run are watched to their end."""
        self._guests.pop(who, None)
        self._special.discard(who)
        if not self._guests:
            for patch in self._patches:
                patch.restore()
            self._patches = []

    def _wrap_uvloop(self, _module: object = None) -> None:
        if self._patches:
            self._patches += wrap({_UV_EXEC: self._exec, _UV_SHELL: self._shell})

    def _exec(
        self,
        wrapped: Callable[..., Any],
        loop: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        agent = None
        with harmless("a command is looked at"):
            agent = self._agent(loop, words(args[1:], shell=False), kwargs)
        return wrapped(*args, **kwargs) if agent is None else agent.spawn(wrapped, args, kwargs)

    def _shell(
        self,
        wrapped: Callable[..., Any],
        loop: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        agent = None
        with harmless("a command is looked at"):
            argv = words(args[1], shell=True)  # noqa: S604  nothing is run here
            agent = self._agent(loop, argv, kwargs)
        return wrapped(*args, **kwargs) if agent is None else agent.spawn(wrapped, args, kwargs)

    def _agent(self, loop: Any, argv: list[str], kwargs: dict[str, Any]) -> AsyncioAgent | None:
        """Return the agent that `argv` is about to start, None where it starts none."""
        if not argv or not self._guests or not is_agent(argv):
            return None
        who = max(self._guests, key=self._special.__contains__)
        guest = self._guests[who]
        piped = kwargs.get("stdout", subprocess.PIPE) == subprocess.PIPE
        return AsyncioAgent(guest, argv, loop, piped=piped)


spawns: Final = Spawns()
