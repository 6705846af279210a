"""OpenCode, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_TYPES: Final = ("step_start", "text", "reasoning", "tool_use", "step_finish", "error")
_SERVERS: Final = {"acp": "acp", "serve": "http", "web": "http"}
_MANAGES: Final = (
    "agent", "auth", "completion", "db", "debug", "export", "github", "import", "mcp", "models",
    "plugin", "pr", "providers", "session", "stats", "uninstall", "upgrade",
)  # fmt: skip


def _headless(args: Arguments) -> bool:
    return "run" in argv.own(args) and argv.option(args, "--format") == "json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--session", "-s"), ("--continue", "-c"))


def _serves(args: Arguments) -> str | None:
    return _SERVERS.get(argv.command(args, *_SERVERS) or "")


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    session = line.get("sessionID")
    printed = line.get("type") in _TYPES and isinstance(line.get("timestamp"), int)
    return printed and isinstance(session, str) and session.startswith("ses_")


ENGINE: Final = Engine(
    "opencode",
    decoder="otel_untether.engines.opencode.stream:decode",
    commands=frozenset({"opencode"}),
    packages=frozenset({"opencode-ai"}),
    headless_arguments=_headless,
    json_flags="run --format json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"ends", "times", "usage", "cost"}),
    transcripts="otel_untether.engines.opencode.transcript.reader",
    session_files=SessionFiles(
        (("XDG_DATA_HOME", "opencode"), ("HOME", ".local/share/opencode")),
        "opencode.db",
        holds_all=True,
    ),
    traits=Traits(tools_leave_session=True, idles_awake=True, asks_again_after=300.0),
)
