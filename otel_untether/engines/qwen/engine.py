"""Qwen Code, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from otel_untether.engines.engine import Arguments, FirstLine

_LISTS: Final = ("--list-extensions", "-l")
_MANAGES: Final = ("auth", "channel", "extensions", "extension", "hooks", "hook", "mcp", "update")


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format", "-o") == "stream-json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--resume", "-r"), ("--continue", "-c"))


def _multi_prompt(args: Arguments) -> bool:
    return argv.option(args, "--input-format") == "stream-json"


def _serves(args: Arguments) -> str | None:
    if argv.option(args, "--acp", "--experimental-acp"):
        return "acp"
    return "http" if argv.command(args, "serve") else None


def _manages(args: Arguments) -> bool:
    return argv.asks_about(args, *_LISTS) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell its ``init`` from Claude's: it has a version of its own, and spells in snake_case."""
    init = line.get("type") == "system" and line.get("subtype") == "init"
    return init and isinstance(line.get("qwen_code_version"), str)


ENGINE: Final = Engine(
    "qwen",
    decoder="otel_untether.engines.qwen.stream:decode",
    input_decoder="otel_untether.engines.claude.given:decode",
    commands=frozenset({"qwen"}),
    packages=frozenset({"@qwen-code/qwen-code"}),
    headless_arguments=_headless,
    json_flags="--output-format stream-json",
    resume_arguments=_resumes,
    prompt_arguments=_multi_prompt,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "retries", "waits", "usage"}),
    transcripts="otel_untether.engines.qwen.transcript.reader",
    session_files=SessionFiles(
        (("QWEN_RUNTIME_DIR", ""), ("QWEN_HOME", ""), ("HOME", ".qwen")),
        "projects/*/chats/{session}.jsonl",
    ),
    traits=Traits(names_tools_late=False),
)
