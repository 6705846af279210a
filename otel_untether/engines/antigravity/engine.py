"""Antigravity CLI, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "stream-json"


ENGINE: Final = Engine(
    "antigravity",
    commands=frozenset({"agy"}),
    headless_arguments=_headless,
    json_flags="-p --output-format stream-json",
    manage_arguments=argv.asks_about,
)
