"""A host of the Agent Client Protocol, watched without a line of ours in it.

    pip install 'otel-untether[distro,acp]'
    opentelemetry-instrument python examples/acp_host.py "What is here?" gemini --acp

The agent's session becomes a trace, a turn for each prompt; the leave that this program gives lies
under the call that waits for it.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from typing import Any

acp: Any = importlib.import_module("acp")


class Host:
    """Prints what the agent says, and gives leave once for whatever it asks."""

    async def request_permission(self, options: list[Any], **_: Any) -> Any:
        """Choose the option that allows once."""
        chosen = next(option for option in options if option.kind == "allow_once")
        outcome = acp.schema.AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        return acp.schema.RequestPermissionResponse(outcome=outcome)

    async def session_update(self, update: Any, **_: Any) -> None:
        """Print text as it comes."""
        if isinstance(update, acp.schema.AgentMessageChunk):
            print(getattr(update.content, "text", ""), end="", flush=True)


async def main(prompt: str, command: list[str]) -> None:
    """Start the agent, and prompt it once."""
    started = acp.spawn_agent_process(
        Host(), *command, env=dict(os.environ), transport_kwargs={"limit": 1 << 24}
    )
    async with started as (agent, _process):
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd=os.getcwd(), mcp_servers=[])  # noqa: PTH109
        text = acp.text_block(prompt)
        answer = await agent.prompt(session_id=session.session_id, prompt=[text])
        print(f"\n({answer.stop_reason})")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
