"""Pi, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments

_LISTS: Final = ("--list-models", "--export")
_MANAGES: Final = ("config", "install", "list", "remove", "uninstall", "update")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--mode") == "json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--session",), ("--continue", "-c", "--resume", "-r"))


def _serves(args: Arguments) -> str | None:
    return "rpc" if argv.option(args, "--mode") == "rpc" else None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args, *_LISTS) or argv.command(args, *_MANAGES) is not None


ENGINE: Final = Engine(
    "pi",
    commands=frozenset({"pi"}),
    packages=frozenset({"@earendil-works/pi-coding-agent", "@mariozechner/pi-coding-agent"}),
    headless_arguments=_headless,
    json_flags="-p --mode json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    traits=Traits(tools_leave_session=True, asks_again_after=300.0),
)
