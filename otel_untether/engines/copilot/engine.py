"""GitHub Copilot CLI, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_KINDS: Final = ("session.", "user.", "assistant.", "tool.", "model.", "subagent.")
_MANAGES: Final = ("completion", "help", "init", "login", "mcp", "plugin", "update", "version")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--resume",), ("--continue",))


def _serves(args: Arguments) -> str | None:
    return "acp" if argv.option(args, "--acp") else None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell its envelope: a dotted type, data, a time, an id and that of the line before."""
    texts = (line.get(key) for key in ("type", "id", "timestamp"))
    envelope = all(isinstance(text, str) and text for text in texts) and "parentId" in line
    return envelope and str(line["type"]).startswith(_KINDS) and isinstance(line.get("data"), dict)


ENGINE: Final = Engine(
    "copilot",
    decoder="otel_untether.engines.copilot.stream:decode",
    commands=frozenset({"copilot"}),
    packages=frozenset({"@github/copilot"}),
    headless_arguments=_headless,
    json_flags="-p --output-format json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "subagents", "retries", "waits", "times"}),
    transcripts="otel_untether.engines.copilot.transcript.reader",
    session_files=SessionFiles(
        (("COPILOT_HOME", ""), ("HOME", ".copilot")),
        "session-state/{session}/events.jsonl",
        named_late=True,
    ),
    traits=Traits(names_tools_late=False, hides_subagents=False),
)
