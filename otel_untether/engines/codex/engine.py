"""Codex, as an engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles
from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_THREAD: Final = lazily(r"[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)
_TYPES: Final = frozenset({"thread.started", "turn.started", "item.started", "item.completed"})
_SERVERS: Final = {"app-server": "app-server", "mcp-server": "mcp", "exec-server": "exec-server"}
_WITH_VALUE: Final = frozenset({
    "-a", "--add-dir", "--ask-for-approval", "-C", "-c", "--cd", "--config", "--disable",
    "--enable", "-i", "--image", "--local-provider", "-m", "--model", "-p", "--profile",
    "--remote", "-s", "--sandbox",
})  # fmt: skip
_MANAGES: Final = (
    "apply", "archive", "cloud", "completion", "debug", "delete", "doctor", "execpolicy",
    "features", "help", "login", "logout", "mcp", "plugin", "sandbox", "unarchive", "update",
)  # fmt: skip


def _headless(args: Arguments) -> bool:
    words = set(argv.own(args))
    return bool(words & {"exec", "e"} and words & {"--json", "--experimental-json"})


def _resumes(args: Arguments) -> str | bool:
    words = argv.own(args)
    goes_on = next((word for word in words if word in ("resume", "fork")), None)
    if goes_on is None:
        return False
    after = words[words.index(goes_on) + 1 :]
    return next((arg for arg in after if _THREAD.fullmatch(arg)), True)


def _serves(args: Arguments) -> str | None:
    return _SERVERS.get(argv.command(_operands(args), *_SERVERS) or "")


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args) or argv.command(_operands(args), *_MANAGES) is not None


def _operands(args: Arguments) -> Arguments:
    """Return the arguments from the subcommand on: the SDKs put ``--config a=b`` before it."""
    while args and args[0].startswith("-"):
        args = args[2 if args[0] in _WITH_VALUE else 1 :]
    return args


def _wrote(line: FirstLine) -> bool:
    type_ = line.get("type")
    if type_ == "thread.started":
        return isinstance(line.get("thread_id"), str) and line["thread_id"] != ""
    return isinstance(type_, str) and type_ in _TYPES


ENGINE: Final = Engine(
    "codex",
    decoder="otel_untether.engines.codex.stream:decode",
    provider="openai",
    commands=frozenset({"codex"}),
    packages=frozenset({"@openai/codex"}),
    headless_arguments=_headless,
    json_flags="exec --json",
    resume_arguments=_resumes,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "retries", "waits", "usage"}),
    transcripts="otel_untether.engines.codex.transcript.reader",
    session_files=SessionFiles(
        (("CODEX_HOME", ""), ("HOME", ".codex")), "sessions/*/*/*/rollout-*-{session}.jsonl"
    ),
    traits=Traits(
        names_tools_late=False,
        tools_leave_session=True,
        leaves_calls_open=True,
        asks_again_after=300.0,
    ),
)
