"""Claude Code, as an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.engines import argv
from otel_untether.engines.debug_log import DebugLog
from otel_untether.engines.engine import Engine, Traits
from otel_untether.engines.session_files import SessionFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.engines.engine import Arguments, FirstLine

_MANAGES: Final = (
    "agents", "auth", "auto-mode", "config", "doctor", "install", "mcp", "plugin", "plugins",
    "project", "setup-token", "update", "upgrade",
)  # fmt: skip


def _headless(args: Arguments) -> bool:
    return argv.option(args, "--output-format") == "stream-json"


def _resumes(args: Arguments) -> str | bool:
    return argv.resumed(args, ("--resume", "-r"), ("--continue", "-c"))


def _multi_prompt(args: Arguments) -> bool:
    return argv.option(args, "--input-format") == "stream-json"


def _serves(args: Arguments) -> str | None:
    return "mcp" if list(args[:2]) == ["mcp", "serve"] else None


def _manages(args: Arguments) -> bool:
    if _serves(args):
        return False
    return argv.asks_about(args) or argv.command(args, *_MANAGES) is not None


def _wrote(line: FirstLine) -> bool:
    """Tell Claude's own lines from those of the CLIs that speak in its words.

    What only Claude says is its version in ``init`` (in older ones its tools and how they are
    allowed), before that its SessionStart hooks, and in a ``result`` the cost.
    """
    if not _text(line, "session_id"):
        return False
    if line.get("type") == "result":
        return isinstance(line.get("total_cost_usd"), int | float)
    if line.get("type") != "system":
        return False
    if line.get("subtype") == "init":
        older = _text(line, "apiKeySource") or _text(line, "permissionMode")
        return _text(line, "claude_code_version") or (line.get("tools") is not None and older)
    return _text(line, "uuid") and line.get("subtype") in ("hook_started", "hook_response")


def _joins_trace(environ: Mapping[str, str]) -> bool:
    """Tell whether it makes spans (a beta); where it does, it goes on from TRACEPARENT."""
    switches = ("CLAUDE_CODE_ENABLE_TELEMETRY", "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA")
    on = all(environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in switches)
    return on and environ.get("OTEL_TRACES_EXPORTER", "none") not in ("", "none")


def _text(line: FirstLine, key: str) -> bool:
    value = line.get(key)
    return isinstance(value, str) and value != ""


ENGINE: Final = Engine(
    "claude",
    decoder="otel_untether.engines.claude.stream:decode",
    input_decoder="otel_untether.engines.claude.given:decode",
    provider="anthropic",
    commands=frozenset({"claude"}),
    packages=frozenset({"@anthropic-ai/claude-code"}),
    headless_arguments=_headless,
    json_flags="-p --output-format stream-json --verbose",
    resume_arguments=_resumes,
    prompt_arguments=_multi_prompt,
    server_arguments=_serves,
    manage_arguments=_manages,
    first_line=_wrote,
    tells=frozenset({"starts", "ends", "subagents", "retries", "waits", "times", "usage", "cost"}),
    transcripts="otel_untether.engines.claude.transcript.reader",
    session_files=SessionFiles(
        (("CLAUDE_CONFIG_DIR", ""), ("HOME", ".claude")),
        "projects/*/{session}.jsonl",
        process="sessions/{pid}.json",
        subagents="projects/*/{session}/subagents/agent-*.jsonl",
    ),
    writes_log=DebugLog(("--debug-file",), "CLAUDE_CODE_DEBUG_LOGS_DIR"),
    joins_trace=_joins_trace,
    traits=Traits(
        names_tools_late=False,
        tools_leave_session=True,
        hides_subagents=False,
        idles_awake=True,
        asks_again_after=300.0,
    ),
)
