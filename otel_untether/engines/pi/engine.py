"""Pi, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_LISTS: Final = ("--list-models", "--export")
_MANAGES: Final = ("config", "install", "list", "remove", "uninstall", "update")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--mode") in ("json", "rpc")


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--session", "--fork"), ("--continue", "-c", "--resume", "-r"))


def _serves(args: Arguments) -> str | None:
    return "rpc" if argv.option(args, "--mode") == "rpc" else None


def _multi_prompt(args: Arguments) -> bool:
    return _serves(args) is not None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args, *_LISTS) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    texts = (line.get(key) for key in ("id", "timestamp", "cwd"))
    header = line.get("type") == "session" and isinstance(line.get("version"), int)
    return header and all(isinstance(text, str) and text for text in texts)


ENGINE: Final = Engine(
    "pi",
    decoder="otel_untether.engines.pi.stream:decode",
    commands=frozenset({"pi"}),
    packages=frozenset({"@earendil-works/pi-coding-agent", "@mariozechner/pi-coding-agent"}),
    headless_arguments=_headless,
    json_flags="-p --mode json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    prompt_arguments=_multi_prompt,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "retries", "times", "usage", "cost"}),
    transcripts="otel_untether.engines.pi.transcript.reader",
    session_files=SessionFiles(
        (("PI_CODING_AGENT_DIR", ""), ("HOME", ".pi/agent")), "sessions/*/*_{session}.jsonl"
    ),
    traits=Traits(names_tools_late=False, tools_leave_session=True, asks_again_after=300.0),
)
