"""Agents that a program starts with `subprocess`: `SubprocessAgentInstrumentor`.

The program's pipes stay as they are. What it reads from ``Popen.stdout`` and writes to
``Popen.stdin`` is seen as it does so, the result of ``communicate`` when it is there. Where the
output goes elsewhere, the process and its gauges are seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether.instrumentors.base import AgentInstrumentor
from otel_untether.instrumentors.harmless import harmless
from otel_untether.instrumentors.popen_agent import PopenAgent
from otel_untether.instrumentors.recognising import is_agent, words
from otel_untether.instrumentors.seams import Seam
from otel_untether.instrumentors.spawns import Spawns
from otel_untether.sources.spawning import spawning, unstarted

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from otel_untether.instrumentors.guest import Guest
    from otel_untether.instrumentors.seams import Wrapping

_GIVES: Final = "agents started with subprocess.Popen"
_INIT: Final = Seam(_GIVES, "subprocess", "Popen.__init__")
_SHELL, _ENV = 8, 10  # where they are among the positional arguments, before which nothing is new


class SubprocessAgentInstrumentor(AgentInstrumentor):
    """Watches the coding agents among the processes that are started by `subprocess.Popen`."""

    def _begin(self, guest: Guest) -> None:
        spawns.join(self, guest)

    def _cease(self) -> None:
        spawns.leave(self)


class _PopenSpawns(Spawns):
    """What is started by `subprocess.Popen`."""

    def _wrap(self, wrapping: Wrapping) -> None:
        wrapping.wrap({_INIT: self._started})

    def _started(
        self,
        wrapped: Callable[..., None],
        process: subprocess.Popen[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        agent = None
        args, kwargs = _in_hand(args, kwargs)
        with harmless("a command is looked at"):
            agent = self._agent(args, kwargs)
            if agent is not None:
                args, kwargs = agent.with_environment(args, kwargs)
        if agent is None:
            wrapped(*args, **kwargs)
            return
        try:
            with spawning():
                wrapped(*args, **kwargs)
        except BaseException as error:
            agent.finish(unstarted(error))
            raise
        with harmless("an agent has started"):
            agent.attend(process)

    def _agent(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> PopenAgent | None:
        command = args[0] if args else kwargs.get("args")
        shell = args[_SHELL] if len(args) > _SHELL else kwargs.get("shell", False)
        if command is None:
            return None
        argv = words(command, shell=bool(shell))
        guest = self.guest(argv) if argv and is_agent(argv) else None
        return None if guest is None else PopenAgent(guest, argv, _ENV)


def _in_hand(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return Popen's arguments with a command that can be looked at more than once."""
    command: Any = args[0] if args else kwargs.get("args")
    if not hasattr(command, "__next__"):
        return args, kwargs
    return ((list(command), *args[1:]), kwargs) if args else (args, {**kwargs, "args": [*command]})


spawns: Final = _PopenSpawns()
