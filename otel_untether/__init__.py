"""OpenTelemetry for headless coding agents.

Three ways in, one core: the command ``otel-untether run -- AGENT …``, `watch` for agents that
you spawn from Python, and `Recorder` for output that you have already. Names are imported when
they are first used: the command must not pay for what it does not need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_untether.config.settings import Config, ConfigError, WatchdogConfig
    from otel_untether.config.settings import load as load_config
    from otel_untether.session.content import Capture
    from otel_untether.session.outcome import Outcome
    from otel_untether.session.state import SessionState
    from otel_untether.session.summary import Summary
    from otel_untether.sources.recorder import Recorder
    from otel_untether.sources.subprocess import watch
    from otel_untether.sources.watched_process import BlockingWatchedProcess, WatchedProcess
    from otel_untether.spans import SessionTracer
    from otel_untether.watching.subject import RunInfo

    __version__: str

__all__ = [
    "BlockingWatchedProcess",
    "Capture",
    "Config",
    "ConfigError",
    "Outcome",
    "Recorder",
    "RunInfo",
    "SessionState",
    "SessionTracer",
    "Summary",
    "WatchdogConfig",
    "WatchedProcess",
    "__version__",
    "load_config",
    "watch",
]

# Where a name lives; after a colon, what it is called there.
_HOMES = {
    "BlockingWatchedProcess": "sources.watched_process",
    "Capture": "session.content",
    "Config": "config.settings",
    "ConfigError": "config.settings",
    "Outcome": "session.outcome",
    "Recorder": "sources.recorder",
    "RunInfo": "watching.subject",
    "SessionState": "session.state",
    "SessionTracer": "spans",
    "Summary": "session.summary",
    "WatchdogConfig": "config.settings",
    "WatchedProcess": "sources.watched_process",
    "__version__": "semconv:SCOPE_VERSION",
    "load_config": "config.settings:load",
    "watch": "sources.subprocess",
}


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    module, _, called = home.partition(":")
    value = getattr(import_module(f"{__name__}.{module}"), called or name)
    globals()[name] = value
    return value
