"""GitHub Copilot CLI, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments

_MANAGES: Final = ("completion", "help", "init", "login", "mcp", "plugin", "update", "version")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--resume",), ("--continue",))


def _serves(args: Arguments) -> str | None:
    return "acp" if argv.option(args, "--acp") else None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


ENGINE: Final = Engine(
    "copilot",
    commands=frozenset({"copilot"}),
    packages=frozenset({"@github/copilot"}),
    headless_arguments=_headless,
    json_flags="-p --output-format json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
)
