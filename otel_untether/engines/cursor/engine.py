"""Cursor's agent, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments

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


ENGINE: Final = Engine(
    "cursor",
    commands=frozenset({"cursor-agent"}),
    headless_arguments=_headless,
    json_flags="-p --output-format stream-json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
)
