"""What an agent writes down while it runs is in the trace while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from otel_untether.config.settings import Config, TelemetryConfig
from otel_untether.sources.subprocess import watch
from tests.support.otlp_receiver import wait_until
from tests.support.program import Program, attributes

# An agent that writes a file as Claude Code does, and goes on when it is told to.
AGENT = """\
    #!{python}
    import datetime, json, os, pathlib, sys

    SESSION = "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a"
    home = pathlib.Path(os.environ["CLAUDE_CONFIG_DIR"])
    main = home / "projects" / "-x" / (SESSION + ".jsonl")
    below = main.with_suffix("") / "subagents" / "agent-a1.jsonl"
    below.parent.mkdir(parents=True)

    def write(path, kind, content, message_id=None):
        now = datetime.datetime.now(datetime.timezone.utc).isoformat()
        message = {{"role": kind, "content": content, "usage": {{"output_tokens": 7}}}}
        message |= {{"id": message_id, "model": "m"}} if message_id else {{}}
        entry = {{"type": kind, "uuid": os.urandom(8).hex(), "sessionId": SESSION,
                  "cwd": os.getcwd(), "timestamp": now, "message": message,
                  "isSidechain": path is below, "agentId": "a1" if path is below else None}}
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\\n")

    def call(path, name, key, message, **arguments):
        block = {{"type": "tool_use", "id": key, "name": name, "input": arguments}}
        write(path, "assistant", [block], message)
        return block

    def result(path, key, text):
        block = {{"type": "tool_result", "tool_use_id": key, "content": text}}
        write(path, "user", [block])
        return block

    def say(**line):
        print(json.dumps({{"session_id": SESSION, "uuid": "u", **line}}), flush=True)

    events = "stream-json" in sys.argv
    sessions = home / "sessions"
    sessions.mkdir()
    (sessions / (str(os.getpid()) + ".json")).write_text(json.dumps({{"sessionId": SESSION}}))
    write(main, "user", "do it")
    task = call(main, "Agent", "toolu_agent", "msg_1", subagent_type="x", prompt="look")
    if events:
        say(type="system", subtype="init", claude_code_version="2.1.330", model="m")
        message = {{"id": "msg_1", "role": "assistant", "content": [task], "model": "m"}}
        say(type="assistant", message=message, parent_tool_use_id=None)
    (below.parent / "agent-a1.meta.json").write_text(
        json.dumps({{"agentType": "x", "toolUseId": "toolu_agent"}}))
    write(below, "user", "look")
    call(below, "Bash", "toolu_below", "msg_2", command="cat /etc/secret-name")
    result(below, "toolu_below", "found")
    sys.stdin.readline()
    write(below, "assistant", [{{"type": "text", "text": "seen"}}], "msg_3")
    done = result(main, "toolu_agent", "seen")
    if events:
        say(type="user", message={{"role": "user", "content": [done]}}, parent_tool_use_id=None)
    write(main, "assistant", [{{"type": "text", "text": "Done."}}], "msg_4")
    if events:
        text = [{{"type": "text", "text": "Done."}}]
        message = {{"id": "msg_4", "role": "assistant", "content": text, "model": "m"}}
        say(type="assistant", message=message, parent_tool_use_id=None)
        say(type="result", subtype="success", is_error=False, num_turns=1, total_cost_usd=0.1)
    else:
        print("Done.")
"""
EVENTS = ["--output-format", "stream-json", "--verbose"]


@pytest.fixture
def agent(tmp_path: Path) -> str:
    path = tmp_path / "claude"
    path.write_text(textwrap.dedent(AGENT).format(python=sys.executable))
    path.chmod(0o700)
    return str(path)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "CLAUDE_CONFIG_DIR": str(tmp_path / "config")}


def parent(program: Program, name: str) -> str:
    (span,) = program.named(name)
    (above,) = (
        s
        for s in program.spans
        if span.parent and s.context and s.context.span_id == span.parent.span_id
    )
    return above.name


@pytest.mark.parametrize("flags", [[], EVENTS], ids=["text", "events"])
def test_a_subagents_call_is_seen_while_the_agent_runs_and_once(
    agent: str, environ: dict[str, str], flags: list[str]
) -> None:
    program = Program()
    with watch(
        [agent, "-p", "do it", *flags], env=environ, stdin=subprocess.PIPE, **program.providers
    ) as watched:
        lines = iter(watched)
        for _ in flags[:2]:
            next(lines)  # who it is, and that it called a subagent
        assert wait_until(lambda: program.named("execute_tool Bash"), 100)
        assert watched.stdin is not None
        watched.stdin.write(b"go on\n")
        watched.stdin.flush()
    assert parent(program, "execute_tool Bash") == "invoke_agent x"
    assert parent(program, "invoke_agent x") == "execute_tool Agent"
    assert parent(program, "execute_tool Agent") == "invoke_agent claude"
    answers = [attributes(span)["gen_ai.response.id"] for span in program.named("chat m")]
    assert sorted(answers) == ["msg_1", "msg_2", "msg_3", "msg_4"]
    (root,) = program.roots
    assert attributes(root)["untether.session.outcome"] == "completed"
    assert attributes(root)["untether.session.turns"] == 1
    assert "untether.session.oddities" not in attributes(root)
    assert not any("secret-name" in (span.to_json() or "") for span in program.spans)


def test_nothing_is_read_where_nobody_wants_that(agent: str, environ: dict[str, str]) -> None:
    program = Program()
    config = Config(telemetry=TelemetryConfig(session_files=False))
    with watch(
        [agent, "-p", "do it"],
        env=environ,
        stdin=subprocess.PIPE,
        config=config,
        **program.providers,
    ) as watched:
        assert watched.stdin is not None
        watched.stdin.write(b"go on\n")
        watched.stdin.flush()
    assert {span.name for span in program.spans} == {
        "invoke_agent claude", "untether.session.started",
    }  # fmt: skip


def test_a_run_of_the_command_tells_what_a_text_hides(
    agent: str, environ: dict[str, str], tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    command = [sys.executable, "-m", "otel_untether", "run", "--exit-timeout", "60", "--"]
    done = subprocess.run(
        [*command, agent, "-p", "do it"],
        env={**environ, "OTEL_UNTETHER_STATE_DIR": state},
        input=b"go on\n",
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"Done.\n"
    (spans,) = Path(state).glob("runs/*/traces.jsonl")
    names = {
        span["name"]
        for line in spans.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    }
    assert {"execute_tool Agent", "invoke_agent x", "execute_tool Bash", "chat m"} <= names
    assert b"1 turn, 2 tools" in done.stderr
