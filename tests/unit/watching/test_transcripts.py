"""Where a CLI's transcripts and debug log are, by what is known of it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from otel_untether.engines import registry
from otel_untether.watching.transcript import transcripts

SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"
HOME = {"HOME": "/home/u"}
WRITTEN = {
    "claude": f"/home/u/.claude/projects/-src-app/{SESSION}.jsonl",
    "codex": f"/home/u/.codex/sessions/2026/01/31/rollout-2026-01-31T10-00-00-{SESSION}.jsonl",
    "pi": f"/home/u/.pi/agent/sessions/--src-app--/2026-01-31T10-00-00_{SESSION}.jsonl",
    "qwen": f"/home/u/.qwen/projects/-src-app/chats/{SESSION}.jsonl",
    "gemini": f"/home/u/.gemini/tmp/1f/chats/session-2026-01-31T10-00-{SESSION[:8]}.jsonl",
    "copilot": f"/home/u/.copilot/session-state/{SESSION}/events.jsonl",
}


def patterns(engine: str, session: str = SESSION, **environ: str) -> list[str]:
    return list(transcripts(engine, session, environ))


@pytest.mark.parametrize("engine", WRITTEN)
def test_a_transcript_is_found_where_its_cli_puts_it(engine: str) -> None:
    path = WRITTEN[engine]
    assert any(fnmatchcase(path, pattern) for pattern in patterns(engine, **HOME))
    assert not any(fnmatchcase(path, p) for p in patterns(engine, "another", **HOME))


def test_a_folder_of_its_own_is_named_by_the_environment() -> None:
    first, *_ = patterns("claude", CLAUDE_CONFIG_DIR="/data/[x]", **HOME)
    assert fnmatchcase(f"/data/[x]/projects/a/{SESSION}.jsonl", first)


def test_a_subagent_has_a_file_of_its_own() -> None:
    _, below = patterns("claude", **HOME)
    path = f"/home/u/.claude/projects/-src-app/{SESSION}/subagents/agent-1.jsonl"
    assert fnmatchcase(path, below)


@pytest.mark.parametrize(
    ("engine", "variable"),
    [("pi", "PI_CODING_AGENT_DIR"), ("qwen", "QWEN_HOME"), ("copilot", "COPILOT_HOME")],
)
def test_a_variable_of_its_own_moves_any_of_them(engine: str, variable: str) -> None:
    assert all(each.startswith("/x/") for each in patterns(engine, **HOME, **{variable: "/x"}))


def test_a_file_of_all_sessions_says_nothing_of_one() -> None:
    assert patterns("opencode", **HOME) == []


@pytest.mark.parametrize("session", ["", "../../etc/passwd", "*", "a/b", "x" * 200])
def test_what_is_no_id_becomes_no_path(session: str) -> None:
    assert patterns("claude", session, **HOME) == []


def test_without_a_home_nobody_knows() -> None:
    assert patterns("claude") == []


@pytest.mark.parametrize(
    ("words", "environ", "path"),
    [
        (["claude", "-p", "hi", "--debug-file", "/tmp/d.log"], {}, "/tmp/d.log"),
        (["npx", "@anthropic-ai/claude-code", "--debug-file=d.log"], {}, "d.log"),
        (["claude", "-p", "hi"], {"CLAUDE_CODE_DEBUG_LOGS_DIR": "/logs"}, "/logs"),
        (["claude", "-p", "hi"], {}, None),
        (["claude", "--", "--debug-file", "x"], {}, None),
        (["codex", "exec", "--json", "hi"], {}, None),
    ],
)
def test_the_debug_log_is_named_by_words_or_environment(
    words: list[str], environ: dict[str, str], path: str | None
) -> None:
    engine = registry.detect_argv(words)
    assert engine is not None
    assert engine.debug_log(words, environ) == path
