"""Goose, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments


def _headless(args: Arguments) -> bool:
    return "run" in argv.own(args) and argv.option(args, "--output-format") == "stream-json"


def _serves(args: Arguments) -> str | None:
    return argv.command(args, "acp", "mcp")


ENGINE: Final = Engine(
    "goose",
    commands=frozenset({"goose"}),
    headless_arguments=_headless,
    json_flags="run --output-format stream-json",
    server_arguments=_serves,
    manage_arguments=argv.asks_about,
)
