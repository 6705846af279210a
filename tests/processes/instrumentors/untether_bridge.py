"""A real Untether bridge without Telegram: `untether_bridge.py PROMPT [PERMISSION_MODE]`.

Runs in an environment with Untether. Its transport keeps messages in memory; what it sent, and
how its process looks afterwards, goes to stderr as one line of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio

FAST = 0.5  # seconds, in place of Untether's minutes


class MemoryTransport:
    """Keeps what Telegram would show."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def send(self, *, channel_id: Any, message: Any, options: Any = None) -> Any:
        del options
        self.messages.append(message.text)
        transport = importlib.import_module("untether.transport")
        return transport.MessageRef(channel_id=channel_id, message_id=len(self.messages))

    async def edit(self, *, ref: Any, message: Any, wait: bool = True) -> Any:
        del wait
        self.messages.append(message.text)
        return ref

    async def delete(self, *, ref: Any) -> bool:
        del ref
        return True

    async def close(self) -> None:
        pass


def hurry(bridge: Any, runner: Any) -> None:
    """Have its watchdog bark within a second."""
    runner._LIVENESS_TIMEOUT_SECONDS = 2 * FAST
    if hasattr(bridge, "_load_watchdog_settings"):
        bridge._load_watchdog_settings = lambda: None
    progress = bridge.ProgressEdits
    for name in vars(progress):
        if name.startswith("_STALL_THRESHOLD"):
            setattr(progress, name, FAST)
    made = progress.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self._stall_check_interval = FAST / 2
        self._stall_repeat_seconds = FAST

    progress.__init__ = init


async def main(prompt: str, mode: str | None = None) -> None:
    bridge = importlib.import_module("untether.runner_bridge")
    logging = importlib.import_module("untether.logging")
    markdown = importlib.import_module("untether.markdown")
    logging.setup_logging()
    claude = importlib.import_module("untether.runners.claude")
    runner = claude.build_runner({"permission_mode": mode} if mode else {}, Path("untether.toml"))
    transport = MemoryTransport()
    config = bridge.ExecBridgeConfig(
        transport=transport, presenter=markdown.MarkdownPresenter(), final_notify=False
    )
    hangs = "HANG" in prompt
    if hangs:
        hurry(bridge, runner)
    logging.bind_run_context(project="my project", chat_id=471_108_154_711)
    incoming = bridge.IncomingMessage(channel_id=471_108_154_711, message_id=10, text=prompt)
    with anyio.move_on_after(float(os.environ.get("HANG_SECONDS", "6")) if hangs else 600):
        await bridge.handle_message(config, runner=runner, incoming=incoming, resume_token=None)
    print(json.dumps({"messages": transport.messages}), file=sys.stderr)


if __name__ == "__main__":
    importlib.import_module("mistakes").make()  # beside this file
    anyio.run(main, sys.argv[1], sys.argv[2] if sys.argv[2:] else None)
