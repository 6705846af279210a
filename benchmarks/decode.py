"""How fast lines become events, against `json.loads` of the same lines in the same run.

    python benchmarks/decode.py [--seconds N]

Each row decodes one line over and over. Megabytes are 10**6 bytes; "ratio" is how many times
faster than `json.loads`, which builds objects but no events. Absolute figures depend on the
machine, ratios much less. The exit status is 1 if a line of 4 kB takes longer than the target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from otel_untether.engines import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[str], dict[str, Any]]

TARGET = 300  # MB/s on lines of 4 kB, whatever the engine
SIZES = (700, 4_000, 64_000)
PROSE = "The quick brown fox jumps over the lazy dog; \u201cdone\u201d, it says.\n"
ENVELOPE = {
    "parent_tool_use_id": None,
    "session_id": "ba41dfc2-6f72-4c77-a9f1-350b7c376a4a",
    "uuid": "a29290a1-e726-490c-a198-4a147d1d6d2d",
    "timestamp": "2026-11-22T05:52:36.166Z",
}


def assistant(block: dict[str, Any]) -> dict[str, Any]:
    """Return an ``assistant`` line of Claude Code with one block."""
    message = {
        "id": "msg_cd62dccce78244179f4699f1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5-5",
        "content": [block],
        "stop_reason": None,
        "usage": {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 1},
    }
    return {"type": "assistant", "message": message, **ENVELOPE}


def text(content: str) -> dict[str, Any]:
    """Return a line in which the model speaks."""
    return assistant({"type": "text", "text": content})


def tool_use(content: str) -> dict[str, Any]:
    """Return a line in which the model writes a file."""
    arguments = {"file_path": "/p/a.py", "content": content}
    return assistant({"type": "tool_use", "id": "toolu_01", "name": "Write", "input": arguments})


def tool_result(content: str) -> dict[str, Any]:
    """Return a line with a command's output, which Claude Code prints twice."""
    block = {"tool_use_id": "toolu_01", "type": "tool_result", "content": content}
    message = {"role": "user", "content": [{**block, "is_error": False}]}
    outcome = {"stdout": content, "stderr": "", "interrupted": False, "isImage": False}
    return {"type": "user", "message": message, "tool_use_result": outcome, **ENVELOPE}


def command_execution(content: str) -> dict[str, Any]:
    """Return a line of Codex with a command's output."""
    item = {"id": "item_3", "type": "command_execution", "command": "/bin/bash -lc ls"}
    item |= {"aggregated_output": content, "status": "completed"}
    return {"type": "item.completed", "item": {**item, "exit_code": 0}}


def tool_use_line(content: str) -> dict[str, Any]:
    """Return a line of OpenCode with a command's output."""
    state = {"status": "completed", "input": {"command": "ls"}, "output": content}
    state |= {"metadata": {"exit": 0}, "time": {"start": 1795647449194, "end": 1795647449857}}
    part = {"type": "tool", "tool": "bash", "callID": "call_a6", "messageID": "msg_21"}
    line = {"type": "tool_use", "timestamp": 1795647449860, "sessionID": "ses_deb1269efffe"}
    return {**line, "part": {**part, "state": state}}


def gemini_tool_result(content: str) -> dict[str, Any]:
    """Return a line of Gemini with a command's output."""
    line = {"type": "tool_result", "timestamp": "2026-11-25T23:05:16.217Z", "tool_id": "sh__fc_b8"}
    return {**line, "status": "success", "output": content}


def qwen_user(content: str) -> dict[str, Any]:
    """Return a line of Qwen with a command's output."""
    block = {"type": "tool_result", "tool_use_id": "call_ca", "is_error": False}
    message = {"role": "user", "content": [{**block, "content": content}]}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "uuid": "681178ae"}


def tool_execution_end(content: str) -> dict[str, Any]:
    """Return a line of Pi with a command's output."""
    line = {"type": "tool_execution_end", "toolCallId": "call_b2", "toolName": "bash"}
    result = {"content": [{"type": "text", "text": content}]}
    return {**line, "result": result, "isError": False}


def turn_end(content: str) -> dict[str, Any]:
    """Return a line of Pi that repeats what was said."""
    message = {"role": "assistant", "content": [{"type": "text", "text": content}]}
    return {"type": "turn_end", "message": message, "toolResults": []}


def execution_complete(content: str) -> dict[str, Any]:
    """Return a line of Copilot with a command's output."""
    data: dict[str, Any] = {"toolCallId": "call_ea", "model": "m", "result": {"content": content}}
    data |= {"success": True, "shellExecution": {"exitCode": 0}}
    line = {"type": "tool.execution_complete", "timestamp": "2026-11-25T23:03:22.986Z"}
    return {**line, "data": data, "id": "b601d646", "parentId": "29b1ea0e"}


def amp_tool_result(content: str) -> dict[str, Any]:
    """Return a line of Amp with a command's output."""
    block = {"type": "tool_result", "tool_use_id": "toolu_01", "content": content}
    message = {"role": "user", "content": [{**block, "is_error": False}]}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "T-0b"}


def cursor_tool_call(content: str) -> dict[str, Any]:
    """Return a line of Cursor with a command's output."""
    result = {"success": {"command": "ls", "exitCode": 0, "stdout": content}}
    call = {"shellToolCall": {"args": {"command": "ls"}, "result": result}}
    line = {"type": "tool_call", "subtype": "completed", "call_id": "call_1\nfc_1"}
    return {**line, "tool_call": call, "timestamp_ms": 1795400003300}


def antigravity_step(content: str) -> dict[str, Any]:
    """Return a line of Antigravity with a command's output."""
    step = {"step_index": 2, "state": "DONE", "step_type": "tool", "tool_name": "run_command"}
    info = {"name": "run_command", "parameters": {"CommandLine": "ls"}, "output": content}
    return {"event": "step_update", "step_update": {**step, "tool_info": info}}


def acp_update(content: str) -> dict[str, Any]:
    """Return a message of the Agent Client Protocol with a command's output."""
    call = {"sessionUpdate": "tool_call_update", "toolCallId": "call_8f", "status": "completed"}
    output = {"output": content, "metadata": {"exit": 0}}
    params = {"sessionId": "ses_de", "update": {**call, "rawOutput": output}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


LINES: tuple[tuple[str, Make], ...] = (
    ("claude", text),
    ("claude", tool_use),
    ("claude", tool_result),
    ("codex", command_execution),
    ("opencode", tool_use_line),
    ("gemini", gemini_tool_result),
    ("qwen", qwen_user),
    ("pi", tool_execution_end),
    ("pi", turn_end),
    ("copilot", execution_complete),
    ("amp", amp_tool_result),
    ("cursor", cursor_tool_call),
    ("antigravity", antigravity_step),
    ("acp", acp_update),
)


def sized(make: Make, size: int) -> bytes:
    """Return a line of about `size` bytes, as a CLI would print it."""

    def line(length: int) -> bytes:
        content = (PROSE * (length // len(PROSE) + 1))[:length]
        return json.dumps(make(content), separators=(",", ":"), ensure_ascii=False).encode()

    empty, full = len(line(0)), len(line(size))
    return line(max(0, size * (size - empty) // (full - empty)))


def rate(function: Callable[[], object], size: int, seconds: float) -> float:
    """Return MB/s: the best of five, since a shared machine only ever makes it slower."""
    best = 0.0
    for _ in range(5):
        calls, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds / 5:
            for _ in range(50):
                function()
            calls += 50
        best = max(best, calls * size / elapsed / 1e6)
    return best


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure how fast lines become events.")
    parser.add_argument("--seconds", type=float, default=0.5, help="per figure (default: 0.5)")
    seconds = parser.parse_args().seconds
    print(f"{'engine':10}{'line':20}{'bytes':>8}{'MB/s':>8}{'us/line':>9}{'json':>8}{'ratio':>7}")
    missed = False
    for name, make in LINES:
        decode = registry.get(name).reading().output
        for size in SIZES:
            line = sized(make, size)
            ours = rate(partial(decode, line, 1), len(line), seconds)
            theirs = rate(partial(json.loads, line), len(line), seconds)
            print(
                f"{name:10}{make.__name__:20}{len(line):8}{ours:8.0f}"
                f"{len(line) / ours:9.2f}{theirs:8.0f}{ours / theirs:7.1f}"
            )
            missed |= size == 4_000 and ours < TARGET
    print(f"target at 4 kB: {TARGET} MB/s, {'missed' if missed else 'met'}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
