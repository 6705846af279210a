"""A client on the Agent Client Protocol's own SDK: one session, one prompt.

    python acp_sdk_client.py PROMPT NOTICE -- COMMAND…

Gives leave to whatever it is asked for, and prints how the prompt ended. It leaves once the agent
has notified it of NOTICE, too, a method of its own; "" for none.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from pathlib import Path
from typing import Any

acp: Any = importlib.import_module("acp")


class Client:
    """Says yes; `noticed` once the agent has notified it of a method."""

    def __init__(self, notice: str) -> None:
        self._notice = notice
        self.noticed = asyncio.Event()
        if not notice:
            self.noticed.set()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> Any:
        del session_id, tool_call
        allowed = next(option for option in options if option.kind.startswith("allow"))
        outcome = acp.schema.AllowedOutcome(outcome="selected", option_id=allowed.option_id)
        return acp.schema.RequestPermissionResponse(outcome=outcome)

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        """Take note of nothing."""

    async def ext_notification(self, method: str, params: Any) -> None:
        del params
        if method.lstrip("_") == self._notice:
            self.noticed.set()

    async def ext_method(self, method: str, params: Any) -> Any:
        """Know none of them."""
        del params
        raise acp.RequestError.method_not_found(method)


async def main(prompt: str, notice: str, command: list[str]) -> None:
    options = {"limit": 1 << 24, "shutdown_timeout": 60.0, "stderr": None}
    client = Client(notice)
    async with acp.spawn_agent_process(
        client, *command, env=dict(os.environ), transport_kwargs=options
    ) as (agent, _process):
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd=str(Path.cwd()), mcp_servers=[])
        said = [acp.text_block(prompt)]
        answer = await agent.prompt(session_id=session.session_id, prompt=said)
        await client.noticed.wait()
        print(prompt, answer.stop_reason, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[4:]))
