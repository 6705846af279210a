"""A program on the Claude Agent SDK, watched without a line of ours in it.

    pip install 'otel-untether[distro,claude-agent-sdk]'
    opentelemetry-instrument python examples/claude_agent_sdk_host.py "What is 17 + 4?"

The agent's session becomes a trace in which this program's tool and permission callback are spans'
own work: whatever they do, and other instrumentations see, lies under the agent's call.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import anyio

sdk: Any = importlib.import_module("claude_agent_sdk")


async def add(numbers: dict[str, int]) -> dict[str, Any]:
    """Add, as a tool that Claude calls."""
    total = numbers["a"] + numbers["b"]
    return {"content": [{"type": "text", "text": str(total)}]}


async def may_use(tool: str, given: dict[str, Any], _context: Any) -> Any:
    """Give leave for our own tool, and for nothing else."""
    if tool == "mcp__sums__add":
        return sdk.PermissionResultAllow(updated_input=given)
    return sdk.PermissionResultDeny(message="only sums, please")


async def main(question: str) -> None:
    """Ask, and print what is answered."""
    tool = sdk.tool("add", "Adds two numbers", {"a": int, "b": int})(add)
    options = sdk.ClaudeAgentOptions(
        mcp_servers={"sums": sdk.create_sdk_mcp_server("sums", tools=[tool])}, can_use_tool=may_use
    )
    async with sdk.ClaudeSDKClient(options) as claude:
        await claude.query(question)
        async for message in claude.receive_response():
            if isinstance(message, sdk.ResultMessage):
                print(message.result)


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]) or "What is 17 + 4?")
