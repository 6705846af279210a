"""A program on the Claude Agent SDK: `claude_sdk_host.py SCENARIO`, as its users write them.

Prints what it received as one line of JSON a message on stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio

HOOK_SECONDS = 2.0


async def main(scenario: str) -> None:
    sdk = importlib.import_module("claude_agent_sdk")

    async def before_tool(_input: Any, _tool_use_id: Any, _context: Any) -> dict[str, Any]:
        await anyio.sleep(HOOK_SECONDS if scenario == "work" else 0)
        return {}

    async def allow(_name: str, given: Any, _context: Any) -> Any:
        await anyio.sleep(0.5)
        return sdk.PermissionResultAllow(updated_input=given)

    async def add(args: dict[str, Any]) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": str(args["a"] + args["b"])}]}

    tool = sdk.tool("add", "adds", {"a": int, "b": int})(add)
    options = sdk.ClaudeAgentOptions(
        cli_path=os.environ.get("CLAUDE_BIN"),
        cwd=os.environ["PROJECT"],
        hooks={"PreToolUse": [sdk.HookMatcher(hooks=[before_tool])]},
        can_use_tool=allow,
        mcp_servers={"own": sdk.create_sdk_mcp_server("own", tools=[tool])},
        stderr=lambda line: print("claude:", line, file=sys.stderr),
    )
    async with sdk.ClaudeSDKClient(options) as client:
        await client.query("MAINWORK please")
        await show(client, interrupt=scenario == "interrupt")
        if scenario == "work":
            await client.query("and once more")
            await show(client)


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
    anyio.run(main, sys.argv[1])
