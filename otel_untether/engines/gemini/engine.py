"""Gemini CLI, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_LISTS: Final = ("--list-sessions", "--list-extensions", "-l", "--delete-session")
_MANAGES: Final = ("extensions", "extension", "hooks", "hook", "mcp", "skills", "skill", "gemma")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format", "-o") == "stream-json"


def _resumes(args: Arguments) -> str | bool:
    session = argv.option(args, "--resume", "-r")
    return True if session == "latest" else session


def _serves(args: Arguments) -> str | None:
    return "acp" if argv.option(args, "--acp", "--experimental-acp") else None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args, *_LISTS) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell its ``init``, the only one that has a time and a model of its own and no version."""
    texts = (line.get(key) for key in ("timestamp", "session_id", "model"))
    return line.get("type") == "init" and all(isinstance(text, str) and text for text in texts)


ENGINE: Final = Engine(
    "gemini",
    decoder="otel_untether.engines.gemini.stream:decode",
    provider="gcp.gemini",
    commands=frozenset({"gemini"}),
    packages=frozenset({"@google/gemini-cli"}),
    headless_arguments=_headless,
    json_flags="--output-format stream-json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "times", "usage"}),
    transcripts="otel_untether.engines.gemini.transcript.reader",
    session_files=SessionFiles(
        (("GEMINI_CLI_HOME", ".gemini"), ("HOME", ".gemini")),
        "tmp/*/chats/session-*-{start}.jsonl",
    ),
    traits=Traits(names_tools_late=False, tools_leave_session=True, asks_again_after=300.0),
)
