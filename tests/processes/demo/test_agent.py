"""The scripted agent prints what Claude Code prints, and freezes for real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from otel_untether.demo.freezes import FREEZES
from tests.support.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND = (sys.executable, "-m", "otel_untether.demo", "--pace", "0.01")
Line = dict[str, Any]

# What is in the last line before it freezes, where that is not the failed command's result.
LAST = {"tool": b"exec sleep 3600", "approval": b"control_request"}


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    """Every line of one healthy run."""
    done = subprocess.run(COMMAND, capture_output=True, check=True, timeout=30)
    assert done.stderr == b""
    return [json.loads(line) for line in done.stdout.splitlines()]


def blocks(lines: list[Line], kind: str) -> list[tuple[Line, Line]]:
    """(line, block) of every block of a kind in the messages."""
    messages = [line for line in lines if line["type"] in ("assistant", "user")]
    return [
        (line, block)
        for line in messages
        for block in line["message"]["content"]
        if block["type"] == kind
    ]


@contextmanager
def frozen(*options: str) -> Iterator[tuple[psutil.Process, list[Line]]]:
    """Start a run that freezes; give its process, once it said its last, and its lines."""
    with subprocess.Popen([*COMMAND, "--stall", *options], stdout=subprocess.PIPE) as agent:
        process = psutil.Process(agent.pid)
        try:
            yield process, read_until(LAST.get(options[0], b"Exit code 3"), agent)
        finally:
            with suppress(psutil.NoSuchProcess):
                for child in process.children():
                    child.kill()
            agent.kill()


def read_until(last: bytes, agent: subprocess.Popen[bytes]) -> list[Line]:
    """Read lines up to the one with `last` in it."""
    assert agent.stdout is not None
    lines: list[Line] = []
    for line in agent.stdout:
        lines.append(json.loads(line))
        if last in line:
            return lines
    raise AssertionError(f"it ended without a line with {last!r}")


def test_it_says_that_it_is_scripted(lines: list[Line]) -> None:
    """Nobody takes it for a model: its name and its first words say so."""
    assert lines[0]["model"] == "scripted-demo"
    assert "scripted" in blocks(lines, "text")[0][1]["text"]


def test_every_line_has_the_session_and_its_own_uuid(lines: list[Line]) -> None:
    """As with the real CLI, `session_id` is one and `uuid` is each line's own."""
    assert len({line["session_id"] for line in lines}) == 1
    assert len({line["uuid"] for line in lines}) == len(lines)


def test_every_call_has_one_result(lines: list[Line]) -> None:
    """No call stays open and no result comes from nowhere."""
    calls = Counter(block["id"] for _, block in blocks(lines, "tool_use"))
    results = Counter(block["tool_use_id"] for _, block in blocks(lines, "tool_result"))
    assert calls == results
    assert len(calls) == 8


def test_one_tool_fails_with_code_3(lines: list[Line]) -> None:
    """The failure is printed as Claude prints one."""
    failed = [block for _, block in blocks(lines, "tool_result") if block.get("is_error")]
    assert [block["content"] for block in failed] == ["Exit code 3\none test failed"]


def test_two_subagents_work_at_the_same_time(lines: list[Line]) -> None:
    """Both tasks start before either ends, and each makes its own call."""
    tasks = [line for line in lines if line.get("subtype", "").startswith("task_")]
    order = [line["subtype"] for line in tasks]
    assert (
        order.index("task_notification")
        > [i for i, s in enumerate(order) if s == "task_started"][1]
    )
    agents = {block["id"] for _, block in blocks(lines, "tool_use") if block["name"] == "Agent"}
    nested = {line["parent_tool_use_id"] for line, _ in blocks(lines, "tool_use")} - {None}
    assert nested == agents == {line["tool_use_id"] for line in tasks if "tool_use_id" in line}


def test_the_result_counts_the_subagents_only_in_the_models_totals(lines: list[Line]) -> None:
    """`usage` is the main loop's, `modelUsage` everybody's; nothing is billed."""
    result = lines[-1]
    assert (result["type"], result["subtype"], result["total_cost_usd"]) == ("result", "success", 0)
    assert result["usage"]["output_tokens"] == 20 * result["num_turns"]
    assert result["modelUsage"]["scripted-demo"]["outputTokens"] == 20 * (result["num_turns"] + 4)


def test_shapes_are_those_of_the_recorded_cli(lines: list[Line]) -> None:
    """No line has a key that the real CLI's line of that kind does not have."""
    recording = Path(__file__).parents[2] / "conformance/recordings/claude/claude_ok.jsonl"
    real: dict[tuple[str, str | None], set[str]] = {}
    for text in recording.read_text().splitlines():
        line = json.loads(text)
        real.setdefault((line["type"], line.get("subtype")), set()).update(line)
    for line in lines:
        assert set(line) <= real[line["type"], line.get("subtype")]


@pytest.mark.parametrize("kind", FREEZES)
def test_frozen_it_dies_of_sigterm_with_its_children(kind: str) -> None:
    """SIGTERM ends it with 143, from every state, and nothing is left behind."""
    with frozen(kind) as (agent, _):
        children = agent.children()
        agent.terminate()
        assert agent.wait(60) == 143
        psutil.wait_procs(children, 5)
        assert not [child for child in children if child.is_running()]


def test_deaf_it_ignores_sigterm() -> None:
    """Only SIGKILL ends a deaf one."""
    with frozen("wedged", "--deaf") as (agent, _):
        agent.terminate()
        with pytest.raises(psutil.TimeoutExpired):
            agent.wait(0.5)


def cpu_in(seconds: float, agent: psutil.Process) -> float:
    """Return the CPU seconds used in the next so many."""
    before = sum(agent.cpu_times()[:2])
    time.sleep(seconds)
    return float(sum(agent.cpu_times()[:2]) - before)


def connections(agent: psutil.Process, kind: str) -> list[Any]:
    """Before psutil 6 the method had another name."""
    method = getattr(agent, "net_connections", None) or agent.connections
    return list(method(kind))


def test_wedged_it_has_no_sockets_no_children_and_uses_no_cpu() -> None:
    """Nothing at all happens in it."""
    with frozen("wedged") as (agent, _):
        eventually(lambda: cpu_in(0.3, agent) == 0)
        assert connections(agent, "all") == []
        assert agent.children() == []


def test_waiting_for_the_model_it_holds_one_established_connection() -> None:
    """And its other end is no process's."""
    with frozen("model") as (agent, _):
        eventually(
            lambda: (
                Counter(connection.status for connection in connections(agent, "tcp"))
                == {"ESTABLISHED": 1, "LISTEN": 1}
            )
        )


def test_spinning_it_burns_a_core() -> None:
    """It computes and says nothing."""
    with frozen("spin") as (agent, _):
        eventually(lambda: cpu_in(0.3, agent) > 0.05)


def test_in_a_hung_tool_it_has_an_open_call_and_a_live_child() -> None:
    """The last line is the call."""
    with frozen("tool") as (agent, lines):
        assert lines[-1]["message"]["content"][0]["type"] == "tool_use"
        eventually(lambda: [child.name() for child in agent.children()] == ["sleep"])


def test_waiting_for_approval_its_last_line_is_the_request() -> None:
    """On the control protocol, with neither session nor uuid, as the real one."""
    with frozen("approval") as (_, lines):
        assert set(lines[-1]) == {"type", "request_id", "request"}
        assert lines[-1]["request"]["subtype"] == "can_use_tool"


def test_interrupted_it_prints_a_result_and_exits_with_0() -> None:
    """Claude Code's own behaviour on SIGINT."""
    with subprocess.Popen([*COMMAND, "--stall", "wedged"], stdout=subprocess.PIPE) as agent:
        read_until(b"Exit code 3", agent)
        agent.send_signal(signal.SIGINT)
        out, _ = agent.communicate(timeout=60)
    result = json.loads(out.splitlines()[-1])
    assert (agent.returncode, result["terminal_reason"]) == (0, "aborted_tools")


@pytest.mark.parametrize("pace", ["-1", "nan", "fast", "1e9"])
def test_a_bad_pace_is_refused(pace: str) -> None:
    """With the option's name and status 2."""
    done = subprocess.run([*COMMAND, f"--pace={pace}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--pace" in done.stderr
