"""Agents that a program starts under asyncio, by whatever library: `AsyncioAgentInstrumentor`.

All of them go through the event loop's ``subprocess_exec`` and ``subprocess_shell``, also those
of ``anyio.open_process``, of the Claude Agent SDK, of ACP and MCP hosts, and also where the
program took ``create_subprocess_exec`` by name before.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any, Final

from otel_untether.instrumentors.asyncio_agent import AsyncioAgent
from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.recognising import is_agent, words
from otel_untether.instrumentors.seams import Seam
from otel_untether.instrumentors.spawns import Spawns

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.instrumentors.guest import Guest
    from otel_untether.instrumentors.seams import Wrapping

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


class _AsyncioSpawns(Spawns):
    """What is started by an event loop."""

    def _wrap(self, wrapping: Wrapping) -> None:
        wrapping.wrap({_EXEC: self._exec, _SHELL: self._shell})
        wrapping.once_imported("uvloop", self._wrap_uvloop)

    def _wrap_uvloop(self) -> None:
        self._wrapping.wrap({_UV_EXEC: self._exec, _UV_SHELL: self._shell})

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
        args, kwargs = _by_position(args, kwargs)
        with harmless("a command is looked at"):
            argv = words(args[1], shell=True) if len(args) > 1 else []  # noqa: S604  not run here
            agent = self._agent(loop, argv, kwargs)
        return wrapped(*args, **kwargs) if agent is None else agent.spawn(wrapped, args, kwargs)

    def _agent(self, loop: Any, argv: list[str], kwargs: dict[str, Any]) -> AsyncioAgent | None:
        """Return the agent that `argv` is about to start, None where it starts none."""
        if not argv or not is_agent(argv):
            return None
        guest = self.guest(argv)
        if guest is None:
            return None
        piped = kwargs.get("stdout", subprocess.PIPE) == subprocess.PIPE
        return AsyncioAgent(guest, argv, loop, piped=piped)


def _by_position(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of ``subprocess_shell`` with its command among those without a name."""
    missing = ("protocol_factory", "cmd")[len(args) :]
    if not missing or not kwargs.keys() >= set(missing):
        return args, kwargs
    rest = {name: value for name, value in kwargs.items() if name not in missing}
    return (*args, *(kwargs[name] for name in missing)), rest


spawns: Final = _AsyncioSpawns()
