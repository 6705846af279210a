"""Antigravity CLI, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "stream-json"


def _multi_prompt(args: Arguments) -> bool:
    return argv.option(args, "--input-format") == "stream-json"


def _wrote(line: FirstLine) -> bool:
    """Tell its envelope: an event, and what it is about under the same name."""
    event = line.get("event")
    return event in ("init", "step_update", "result") and isinstance(line.get(str(event)), dict)


ENGINE: Final = Engine(
    "antigravity",
    decoder="otel_untether.engines.antigravity.stream:decode",
    commands=frozenset({"agy"}),
    headless_arguments=_headless,
    json_flags="-p --output-format stream-json",
    prompt_arguments=_multi_prompt,
    manage_arguments=argv.asks_about,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "usage"}),
    traits=Traits(names_tools_late=False, announces_answers=True),
)
