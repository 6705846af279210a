"""OpenTelemetry for headless coding agents.

Three ways in, one core: the command ``otel-untether run -- AGENT …``, `watch` for agents that
you spawn from Python, and `Recorder` for output that you have already. Names are imported when
they are first used: the command must not pay for what it does not need.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .capture import Capture
    from .config import WatchdogConfig
    from .outcome import Outcome
    from .recorder import Recorder, RunInfo
    from .session import SessionState
    from .spans import SessionTracer
    from .summary import Summary
    from .watching import WatchedProcess, watch

__version__ = "0.1.0"

__all__ = [
    "Capture",
    "Outcome",
    "Recorder",
    "RunInfo",
    "SessionState",
    "SessionTracer",
    "Summary",
    "WatchdogConfig",
    "WatchedProcess",
    "__version__",
    "watch",
]

_HOMES = {
    "Capture": "capture",
    "Outcome": "outcome",
    "Recorder": "recorder",
    "RunInfo": "recorder",
    "SessionState": "session",
    "SessionTracer": "spans",
    "Summary": "summary",
    "WatchdogConfig": "config",
    "WatchedProcess": "watching",
    "watch": "watching",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
