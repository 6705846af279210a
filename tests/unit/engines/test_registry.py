"""Which engine a command line starts, and which one is talking."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from otel_untether.engines import registry
from otel_untether.session.events import StrayLine
from tests.unit.engines.recordings import RECORDINGS, lines, streams

CLAUDE = registry.get("claude")
CODEX = registry.get("codex")


def test_an_unknown_name_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="unknown engine 'cluade': expected one of claude, codex"):
        registry.get("cluade")


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ("claude -p hi", "claude"),
        ("/usr/local/bin/claude", "claude"),
        ("C:\\bin\\claude.exe -p", "claude"),
        ("npx @anthropic-ai/claude-code -p", "claude"),
        ("npx -y @anthropic-ai/claude-code@2.1.330 -p", "claude"),
        ("npx -p @anthropic-ai/claude-code claude -p", "claude"),
        ("npm exec -- @anthropic-ai/claude-code", "claude"),
        ("bunx @openai/codex exec", "codex"),
        ("pnpm dlx @openai/codex exec", "codex"),
        ("node /x/node_modules/@anthropic-ai/claude-code/cli.js -p", "claude"),
        ("node --max-old-space-size=8 -r m /n/node_modules/@openai/codex/bin/codex.js", "codex"),
        ("node /usr/bin/claude -p", "claude"),
        ("env X=1 claude -p", "claude"),
        ("/usr/bin/env -i -u Y X=1 claude -p", "claude"),
        ("nohup env A=b codex exec", "codex"),
        ("codex exec --json", "codex"),
        ("bash -c claude", "claude"),
        ("nice -n 10 codex exec", "codex"),
        ("nice codex exec", "codex"),
        ("timeout -k 5 60s claude -p", "claude"),
        ("timeout --signal=INT 60 env A=b nice -n 5 gemini -p", "gemini"),
        ("stdbuf -oL qwen -p", "qwen"),
        ("stdbuf -o L opencode run", "opencode"),
        ("sudo -u dev -- claude", "claude"),
        ("taskset -c 0,1 pi -p", "pi"),
        ("time -p copilot -p", "copilot"),
        ("cmd /c claude.cmd -p", "claude"),
        ("timeout 60", None),
        ("nice -n", None),
        ("bash run.sh", None),
        ("bash -c", None),
        ("node /x/cli.js", None),
        ("python claude", None),
        ("claudette", None),
        ("npx", None),
        ("env", None),
        ("", None),
    ],
)
def test_a_command_line_is_recognised_only_if_it_is_certain(argv: str, name: str | None) -> None:
    found = registry.detect_argv(argv.split())
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("claude -p 'fix it; now' --output-format stream-json", "claude"),
        ("exec codex exec --json", "codex"),
        ("cd /tmp/x && exec nice codex exec --json", "codex"),
        ("A=b gemini -p", "gemini"),
        ("claude -p x | jq .", None),
        ("claude -p x; codex exec", None),
        ("claude -p x > log", None),
        ("echo $(claude -p x)", None),
        ("claude -p `date`", None),
        ("claude -p 'open", None),
        ("", None),
    ],
)
def test_a_shells_one_simple_command_is_certain(text: str, name: str | None) -> None:
    for shell in (["sh", "-c"], ["/bin/bash", "-lc"], ["zsh", "-l", "-c"]):
        found = registry.detect_argv([*shell, text])
        assert (found and found.name) == name


def test_a_shells_command_keeps_its_arguments() -> None:
    argv = ["timeout", "9", "sh", "-c", "claude -p x --output-format stream-json -r 'a b'"]
    assert CLAUDE.headless(argv)
    assert CLAUDE.resumes(argv) == "a b"


def test_the_empty_program_is_no_engine() -> None:
    assert registry.detect_argv([""]) is None


@pytest.mark.parametrize(
    ("argv", "headless"),
    [
        ("claude -p x --output-format stream-json --verbose", True),
        ("claude --output-format=stream-json", True),
        ("claude -p x --output-format json", False),
        ("claude", False),
        ("claude -p -- --output-format stream-json", False),
        ("claude --output-format", False),
        ("codex exec --json x", True),
        ("codex -c a=b e --experimental-json", True),
        ("codex exec x", False),
        ("codex --json", False),
        ("codex exec -- --json", False),
    ],
)
def test_headless_means_asking_for_json_lines(argv: str, *, headless: bool) -> None:
    engine = registry.detect_argv(argv.split())
    assert engine is not None
    assert engine.headless(argv.split()) is headless


@pytest.mark.parametrize(
    ("argv", "resumes"),
    [
        ("claude -p x", False),
        ("claude -p x --resume 5338d48e", "5338d48e"),
        ("claude --resume=abc -p x", "abc"),
        ("claude -r abc", "abc"),
        ("claude --resume -p x", True),
        ("claude --continue", True),
        ("claude -c", True),
        ("codex exec --json x", False),
        ("codex exec resume --last x", True),
        ("codex exec resume 01a201d4-09ad-7861-93a8-d7e167cdfead x",
         "01a201d4-09ad-7861-93a8-d7e167cdfead"),
        ("codex exec fork 01a201d4-09ad-7861-93a8-d7e167cdfead x",
         "01a201d4-09ad-7861-93a8-d7e167cdfead"),
        ("codex fork --last", True),
        ("codex exec -- resume", False),
        ("claude -p x --resume 5338d48e --fork-session", "5338d48e"),
        ("pi -p --fork 01a21956 x", "01a21956"),
        ("opencode run --session ses_1 --fork x", "ses_1"),
    ],
)  # fmt: skip
def test_what_a_command_line_continues(argv: str, *, resumes: str | bool) -> None:
    engine = registry.detect_argv(argv.split())
    assert engine is not None
    assert engine.resumes(argv.split()) == resumes


def test_claude_takes_several_prompts_when_its_input_is_a_stream() -> None:
    assert CLAUDE.multi_prompt(["claude", "--input-format", "stream-json"])
    assert not CLAUDE.multi_prompt(["claude", "-p"])
    assert not CODEX.multi_prompt(["codex", "exec"])


def test_another_engines_command_line_says_nothing() -> None:
    assert not CODEX.headless(["claude", "--output-format", "stream-json"])
    assert registry.get("generic").resumes(["claude", "--continue"]) is False


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_each_recording_is_recognised_by_its_first_lines(name: str) -> None:
    for path in streams(name):
        told = map(registry.detect_line, islice(lines(path), 5))
        found = next(filter(None, told), None)
        assert found is not None, path
        assert found.name == name


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"system","subtype":"init","session_id":"s","tools":[],"apiKeySource":"none"}',
        b'{"type":"system","subtype":"init","session_id":"s","tools":[],"permissionMode":"plan"}',
        b'{"type":"system","subtype":"init","session_id":"s","claude_code_version":"1.0.108"}',
        b'{"type":"system","subtype":"hook_started","session_id":"s","uuid":"u","hook_id":"h"}',
        b'{"subtype":"success","session_id":"s","total_cost_usd":0.1,"type":"result"}',
    ],
)
def test_claude_is_known_by_what_only_it_says(line: bytes) -> None:
    assert registry.detect_line(line) is CLAUDE


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("gemini",
         b'{"type":"init","timestamp":"2026-11-22T05:55:51.625Z","session_id":"s","model":"g"}'),
        ("opencode", b'{"type":"step_start","timestamp":1795647449322,"sessionID":"ses_1"}'),
    ],
)  # fmt: skip
def test_others_are_known_by_what_only_they_say(name: str, line: bytes) -> None:
    assert registry.detect_line(line) is registry.get(name)


def test_key_order_does_not_matter() -> None:
    line = json.loads(next(lines(RECORDINGS / "claude" / "claude_ok.jsonl")))
    backwards = json.dumps(dict(reversed(line.items()))).encode()
    assert registry.detect_line(backwards) is CLAUDE


@pytest.mark.parametrize(
    "line",
    [
        # Qwen Code, Amp and Cursor, which speak in Claude's words
        b'{"type":"system","subtype":"init","uuid":"u","session_id":"s","tools":[],"model":"m"}',
        b'{"type":"system","subtype":"init","cwd":"/","session_id":"T-1","tools":["x"]}',
        b'{"type":"system","subtype":"init","apiKeySource":"env","session_id":"s","model":"m"}',
        # Gemini without a time or a model, Pi, Copilot
        b'{"type":"init","session_id":"s","model":"g"}',
        b'{"type":"init","timestamp":"2026-11-22T05:55:51.625Z","session_id":"s","model":7}',
        b'{"type":"session","version":3,"id":"01a201d2"}',
        b'{"type":"session.skills_loaded","data":{}}',
        b"Warning: something",
        b"",
        b"[1]",
        b"\xff",
        b'{"a":' * 3000,
    ],
)
def test_a_line_that_others_may_write_decides_nothing(line: bytes) -> None:
    assert registry.detect_line(line) is None


def test_generic_is_another_word_for_unknown() -> None:
    assert registry.get("generic") is registry.get("unknown")


def test_generic_takes_every_object_for_a_sign_of_life() -> None:
    decode = registry.get("generic").decode
    assert decode(b'{"type":"whatever","x":[1]}\n', 5) == ()
    assert decode(b"\n", 5) == ()
    for line in (b"plain text", b"[1]", b'{"x":', b"\xff"):
        assert decode(line, 5) == (StrayLine(at=5, reason="not_json"),)
