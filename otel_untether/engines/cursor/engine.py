"""Cursor's agent, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_MANAGES: Final = (
    "about", "create-chat", "install-shell-integration", "login", "logout", "ls", "mcp",
    "models", "status", "uninstall-shell-integration", "update", "whoami",
)  # fmt: skip


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "stream-json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--resume",), ("--continue",))


def _serves(args: Arguments) -> str | None:
    return argv.command(args, "acp")


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell its own lines: an ``init`` without tools and versions, and calls named by a member."""
    if line.get("type") == "system" and line.get("subtype") == "init":
        told = all(isinstance(line.get(key), str) for key in ("apiKeySource", "model", "cwd"))
        return told and not {"tools", "claude_code_version", "uuid"} & set(line)
    call = line.get("tool_call")
    return line.get("type") == "tool_call" and isinstance(call, dict) and "call_id" in line


ENGINE: Final = Engine(
    "cursor",
    decoder="otel_untether.engines.cursor.stream:decode",
    commands=frozenset({"cursor-agent"}),
    headless_arguments=_headless,
    json_flags="-p --output-format stream-json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "times", "usage"}),
    traits=Traits(names_tools_late=False),
)
