"""Other people's programs as sources: agents that they spawn become sessions.

    from otel_untether.instrumentors import AsyncioAgentInstrumentor

    AsyncioAgentInstrumentor().instrument()

``opentelemetry-instrument python bridge.py`` does the same without a change to the program.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otel_untether.instrumentors.acp import AcpInstrumentor
    from otel_untether.instrumentors.asyncio import AsyncioAgentInstrumentor
    from otel_untether.instrumentors.claude_agent_sdk import ClaudeAgentSdkInstrumentor
    from otel_untether.instrumentors.codex_sdk import CodexSdkInstrumentor
    from otel_untether.instrumentors.subprocess import SubprocessAgentInstrumentor
    from otel_untether.instrumentors.untether import UntetherInstrumentor

__all__ = [
    "AcpInstrumentor",
    "AsyncioAgentInstrumentor",
    "ClaudeAgentSdkInstrumentor",
    "CodexSdkInstrumentor",
    "SubprocessAgentInstrumentor",
    "UntetherInstrumentor",
]

_WHERE = {
    "AcpInstrumentor": "acp",
    "AsyncioAgentInstrumentor": "asyncio",
    "ClaudeAgentSdkInstrumentor": "claude_agent_sdk",
    "CodexSdkInstrumentor": "codex_sdk",
    "SubprocessAgentInstrumentor": "subprocess",
    "UntetherInstrumentor": "untether",
}


def __getattr__(name: str) -> object:
    """Import an instrumentor when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
