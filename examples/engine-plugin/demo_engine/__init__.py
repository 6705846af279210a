"""The demo agent, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--json") is not False


def _wrote(line: FirstLine) -> bool:
    return line.get("event") == "hello" and line.get("agent") == "demo"


ENGINE = Engine(
    "demo",
    decoder="demo_engine.stream:decode",
    commands=frozenset({"demo"}),
    headless_arguments=_headless,
    json_flags="--json",
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "usage"}),
    traits=Traits(names_tools_late=False),
)
