"""Amp, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_THREAD: Final = lazily(r"T-[0-9a-f]{8}-[0-9a-f-]{27}")
_MANAGES: Final = ("doctor", "login", "logout", "mcp", "permissions", "skill", "tools", "update")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--stream-json", "--stream-json-thinking") is not False


def _multi_prompt(args: Arguments) -> bool:
    return argv.option(args, "--stream-json-input") is not False


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell its ``init`` from Claude's, whose words it speaks: its sessions are threads."""
    session = line.get("session_id")
    init = line.get("type") == "system" and line.get("subtype") == "init"
    return init and isinstance(session, str) and _THREAD.fullmatch(session) is not None


ENGINE: Final = Engine(
    "amp",
    decoder="otel_untether.engines.amp.stream:decode",
    input_decoder="otel_untether.engines.claude.given:decode",
    commands=frozenset({"amp"}),
    packages=frozenset({"@sourcegraph/amp", "@ampcode/cli"}),
    headless_arguments=_headless,
    json_flags="-x --stream-json",
    prompt_arguments=_multi_prompt,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "subagents", "usage"}),
    traits=Traits(names_tools_late=False, hides_subagents=False),
)
