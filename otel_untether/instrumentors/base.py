"""What the instrumentors have in common: the manners of OpenTelemetry's own."""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.dependencies import get_dependency_conflicts
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from otel_untether.instrumentors.guest import Guest
from otel_untether.proc_diag import identify

if TYPE_CHECKING:
    from collections.abc import Collection

_log: Final = logging.getLogger("otel_untether")


class AgentInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Watches the coding agents that a program spawns.

    There is one of each class; instrumenting twice is harmless. `instrument` takes these
    keywords, all optional; without any it does what ``opentelemetry-instrument`` does.

    * ``config``: settings, or the path of an ``otel-untether.toml``; by default what
      `load_config` finds (the environment, the user's file).
    * ``watchdog``: a `WatchdogConfig` in place of the ``[watchdog]`` of `config`. Nothing is
      killed unless its ``stall_auto_kill`` says so.
    * ``tracer_provider``, ``meter_provider``, ``logger_provider``: the program's global ones by
      default.
    * ``capture``: whether content is captured, in place of the ``[capture]`` of `config`.
    """

    _instruments: tuple[str, ...] = ()
    """The packages, with the range of their versions, without which there is nothing to do."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that must be installed, as requirements."""
        return self._instruments

    def _instrument(self, **kwargs: Any) -> None:
        # The launcher skips this check, as it expects an extra of our package to tell.
        conflict = get_dependency_conflicts(self._instruments)
        if conflict is not None:
            _log.debug("%s: nothing to do: %s", type(self).__name__, conflict)
            return
        guest = Guest.of(**kwargs)
        identify(os.getpid())  # imports what looks at processes, not to do it in an event loop
        self._begin(guest)

    def _uninstrument(self, **kwargs: Any) -> None:
        del kwargs
        self._cease()

    @abstractmethod
    def _begin(self, guest: Guest) -> None:
        """Wrap what is to be wrapped."""

    @abstractmethod
    def _cease(self) -> None:
        """Give back what was wrapped; what was not is fine."""
