"""A host of the Agent Client Protocol on its Python SDK: `acp_host.py PROMPT… -- COMMAND…`.

Gives leave to whatever it is asked for; what it does meanwhile, it traces. A prompt that says
CANCEL is cancelled once its tool has begun (it makes a file). Prints how each prompt ended.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from os import environ
from pathlib import Path
from typing import Any

from opentelemetry import trace

acp: Any = importlib.import_module("acp")
TRACER = trace.get_tracer("the program")
PASSED_ON = ("TRACEPARENT", "PYTHONPATH")


class Host:
    """Says yes."""

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> Any:
        del session_id, tool_call
        with TRACER.start_as_current_span("the program's leave"):
            await asyncio.sleep(0.5)
        allowed = next(option for option in options if option.kind.startswith("allow"))
        outcome = acp.schema.AllowedOutcome(outcome="selected", option_id=allowed.option_id)
        return acp.schema.RequestPermissionResponse(outcome=outcome)

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        pass


async def main(prompts: list[str], command: list[str]) -> None:
    env = {key: value for key, value in environ.items() if key not in PASSED_ON}
    async with acp.spawn_agent_process(
        Host(), *command, env=env, transport_kwargs={"limit": 1 << 24}
    ) as (agent, _process):
        await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        session = await agent.new_session(cwd=str(Path.cwd()), mcp_servers=[])
        for prompt in prompts:
            with TRACER.start_as_current_span(f"request {prompt}"):
                await ask(agent, session.session_id, prompt)


async def ask(agent: Any, session: str, prompt: str) -> None:
    asked = asyncio.create_task(agent.prompt(session_id=session, prompt=[acp.text_block(prompt)]))
    while "CANCEL" in prompt and not asked.done():
        if begun():
            await agent.cancel(session_id=session)
            break
        await asyncio.sleep(0.05)
    print(prompt, (await asked).stop_reason, file=sys.stderr)


def begun() -> bool:
    return Path("begun").exists()


if __name__ == "__main__":
    importlib.import_module("mistakes").make()  # beside this file
    split = sys.argv.index("--")
    asyncio.run(main(sys.argv[1:split], sys.argv[split + 1 :]))
