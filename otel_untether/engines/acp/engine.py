"""The Agent Client Protocol, as an engine: several CLIs serve it, each under its own name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines.engine import Engine, Traits

if TYPE_CHECKING:
    from otel_untether.engines.engine import FirstLine


def _wrote(line: FirstLine) -> bool:
    """Tell ACP from other protocols over JSON-RPC: by the first answer, or an update."""
    if line.get("jsonrpc") != "2.0":
        return False
    result = line.get("result")
    if isinstance(result, dict):
        return isinstance(result.get("protocolVersion"), int) and "agentCapabilities" in result
    return line.get("method") in ("session/update", "session/request_permission")


ENGINE: Final = Engine(
    "acp",
    dialogue="otel_untether.engines.acp.dialogue:AcpDialogue",
    commands=frozenset({"claude-agent-acp", "claude-code-acp", "codex-acp"}),
    packages=frozenset(
        {
            "@agentclientprotocol/claude-agent-acp",
            "@agentclientprotocol/codex-acp",
            "@zed-industries/claude-agent-acp",
            "@zed-industries/claude-code-acp",
            "@zed-industries/codex-acp",
        }
    ),
    headless_arguments=lambda _args: True,
    json_flags="--acp",
    prompt_arguments=lambda _args: True,
    server_arguments=lambda _args: "acp",
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "waits", "usage", "cost"}),
    traits=Traits(names_tools_late=False, tools_leave_session=True),
)
