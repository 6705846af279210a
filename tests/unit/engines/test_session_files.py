"""Where each CLI writes its sessions down, worked out from the agent's own environment."""

from __future__ import annotations

import pytest

from otel_untether.engines import registry
from otel_untether.engines.engine import Engine
from otel_untether.engines.session_files import SessionFiles

SESSION = "01a2162a-6c37-7293-ac3c-93962081c14d"
FOLLOWED = [engine for engine in registry.engines() if engine.session_files is not None]


def files(name: str) -> SessionFiles:
    found = registry.get(name).session_files
    assert found is not None
    return found


def test_whose_records_are_read_is_followed() -> None:
    read = {engine.name for engine in registry.engines() if engine.transcripts is not None}
    assert {engine.name for engine in FOLLOWED} == read


@pytest.mark.parametrize(
    ("name", "variable", "folder"),
    [
        ("claude", "CLAUDE_CONFIG_DIR", "/x"),
        ("codex", "CODEX_HOME", "/x"),
        ("gemini", "GEMINI_CLI_HOME", "/x/.gemini"),
        ("qwen", "QWEN_HOME", "/x"),
        ("pi", "PI_CODING_AGENT_DIR", "/x"),
        ("copilot", "COPILOT_HOME", "/x"),
        ("opencode", "XDG_DATA_HOME", "/x/opencode"),
    ],
)
def test_its_own_variable_counts_before_the_home(name: str, variable: str, folder: str) -> None:
    assert files(name).home({"HOME": "/h", variable: "/x/"}) == folder
    assert (files(name).home({"HOME": "/h", variable: "here"}) or "").startswith("/h/.")
    assert files(name).home({}) is None


@pytest.mark.parametrize("engine", FOLLOWED, ids=lambda engine: engine.name)
def test_a_sessions_file_is_named_after_it(engine: Engine) -> None:
    found = engine.session_files
    assert found is not None
    told = found.of_session(SESSION) or ""
    assert found.holds_all or SESSION[:8] in told
    assert "{" not in told
    assert "{" not in (found.of_session(None) or "")


@pytest.mark.parametrize(
    "told", ["../../etc/passwd", "a/b", "*", "", "-x", "a" * 200, "a\n", "[a]"]
)
def test_an_id_that_is_no_word_leads_nowhere(told: str) -> None:
    assert files("claude").of_session(told) is None
