"""Amp, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments

_MANAGES: Final = ("doctor", "login", "logout", "mcp", "permissions", "skill", "tools", "update")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--stream-json", "--stream-json-thinking") is not False


def _multi_prompt(args: Arguments) -> bool:
    return argv.option(args, "--stream-json-input") is not False


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


ENGINE: Final = Engine(
    "amp",
    commands=frozenset({"amp"}),
    packages=frozenset({"@sourcegraph/amp", "@ampcode/cli"}),
    headless_arguments=_headless,
    json_flags="-x --stream-json",
    prompt_arguments=_multi_prompt,
    manage_arguments=_manages,
)
