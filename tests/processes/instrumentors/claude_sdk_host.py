"""A program on the Claude Agent SDK: `claude_sdk_host.py SCENARIO`, as its users write them.

Prints what it received as one line of JSON a message on stderr. What it does while the agent
waits for it, it traces.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from opentelemetry import trace

HOOK_SECONDS = float(os.environ.get("HOOK_SECONDS", "2"))
TRACER = trace.get_tracer("the program")


def options(sdk: Any, scenario: str) -> Any:
    async def before_tool(_input: Any, _tool_use_id: Any, _context: Any) -> dict[str, Any]:
        with TRACER.start_as_current_span("the program's hook"):
            await anyio.sleep(HOOK_SECONDS if scenario == "work" else 0)
        return {}

    async def allow(_name: str, given: Any, _context: Any) -> Any:
        with TRACER.start_as_current_span("the program's leave"):
            await anyio.sleep(0.5)
        return sdk.PermissionResultAllow(updated_input=given)

    async def add(args: dict[str, Any]) -> dict[str, Any]:
        with TRACER.start_as_current_span("the program's tool"):
            total = args["a"] + args["b"]
        if total < 0:
            raise ArithmeticError("a secret that must not leave")
        return {"content": [{"type": "text", "text": str(total)}]}

    tool = sdk.tool("add", "adds", {"a": int, "b": int})(add)
    return sdk.ClaudeAgentOptions(
        cli_path=os.environ.get("CLAUDE_BIN"),
        cwd=os.environ["PROJECT"],
        hooks={"PreToolUse": [sdk.HookMatcher(hooks=[before_tool])]},
        can_use_tool=allow,
        mcp_servers={"own": sdk.create_sdk_mcp_server("own", tools=[tool])},
        stderr=lambda line: print("claude:", line, file=sys.stderr),
    )


async def main(scenario: str) -> None:
    sdk = importlib.import_module("claude_agent_sdk")
    chosen = options(sdk, scenario)
    if scenario == "query":
        await asked_once(sdk, chosen)
        return
    client = sdk.ClaudeSDKClient(chosen)
    async with client:
        assert client.options is chosen
        with TRACER.start_as_current_span("first request"):
            await client.query("MAINWORK please")
            await show(client, interrupt=scenario == "interrupt")
        if scenario == "work":
            with TRACER.start_as_current_span("second request"):
                await client.query("and once more")
                await show(client)


async def asked_once(sdk: Any, chosen: Any) -> None:
    """Ask with `query()`, prompts as a stream; the first message is the last that is wanted."""

    async def prompts() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "user", "message": {"role": "user", "content": "MAINWORK please"}}

    with TRACER.start_as_current_span("one request"):
        async for message in sdk.query(prompt=prompts(), options=chosen):
            print(json.dumps({"message": type(message).__name__}), file=sys.stderr)


async def show(client: Any, *, interrupt: bool = False) -> None:
    """Print what comes; interrupt the agent once its tool has begun (it makes a file)."""
    async with anyio.create_task_group() as tasks:
        if interrupt:
            tasks.start_soon(interrupt_at_work, client)
        await receive(client)


async def interrupt_at_work(client: Any) -> None:
    begun = Path(os.environ["PROJECT"]) / "x"
    await anyio.to_thread.run_sync(lambda: wait_for(begun))
    await client.interrupt()


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.05)


async def receive(client: Any) -> None:
    async for message in client.receive_response():
        print(json.dumps({"message": type(message).__name__}), file=sys.stderr)


if __name__ == "__main__":
    importlib.import_module("mistakes").make()  # beside this file
    anyio.run(main, sys.argv[1])
