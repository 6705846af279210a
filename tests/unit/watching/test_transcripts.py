"""Where a CLI's transcripts and debug log are, by what is known of it."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from otel_untether.engines import registry

SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"
HOME = {"HOME": "/home/u"}
WRITTEN = {
    "claude": f"/home/u/.claude/projects/-src-app/{SESSION}.jsonl",
    "codex": f"/home/u/.codex/sessions/2026/01/31/rollout-2026-01-31T10-00-00-{SESSION}.jsonl",
    "pi": f"/home/u/.pi/agent/sessions/--src-app--/2026-01-31T10-00-00_{SESSION}.jsonl",
    "qwen": f"/home/u/.qwen/projects/-src-app/chats/{SESSION}.jsonl",
    "copilot": f"/home/u/.copilot/session-state/{SESSION}/events.jsonl",
}


def patterns(engine: str, session: str = SESSION, **environ: str) -> list[str]:
    files = registry.get(engine).files
    assert files is not None
    return list(files.transcript_patterns(session, environ))


@pytest.mark.parametrize("engine", WRITTEN)
def test_a_transcript_is_found_where_its_cli_puts_it(engine: str) -> None:
    path = WRITTEN[engine]
    assert any(fnmatchcase(path, pattern) for pattern in patterns(engine, **HOME))
    assert not any(fnmatchcase(path, p) for p in patterns(engine, "another", **HOME))


def test_a_folder_of_its_own_is_named_by_the_environment() -> None:
    first, *_ = patterns("claude", CLAUDE_CONFIG_DIR="/data/[x]", **HOME)
    assert fnmatchcase(f"/data/[x]/projects/a/{SESSION}.jsonl", first)


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
