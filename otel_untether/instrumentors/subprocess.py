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
from otel_untether.instrumentors.seams import Patch, Seam, wrap
from otel_untether.sources.spawning import spawning, unstarted

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from otel_untether.instrumentors.guest import Guest

_GIVES: Final = "agents started with subprocess.Popen"
_INIT: Final = Seam(_GIVES, "subprocess", "Popen.__init__")
_SHELL, _ENV = 8, 10  # where they are among the positional arguments, before which nothing is new


class SubprocessAgentInstrumentor(AgentInstrumentor):
    """Watches the coding agents among the processes that are started by `subprocess.Popen`."""

    _guest: Guest
    _patches: tuple[Patch, ...] = ()

    def _begin(self, guest: Guest) -> None:
        self._guest = guest
        self._patches = tuple(wrap({_INIT: self._started}))

    def _cease(self) -> None:
        for patch in self._patches:
            patch.restore()
        self._patches = ()

    def _started(
        self,
        wrapped: Callable[..., None],
        process: subprocess.Popen[Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        agent = None
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
        return PopenAgent(self._guest, argv, _ENV) if argv and is_agent(argv) else None
