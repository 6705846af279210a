"""One run of Untether's without Telegram, watched without a line of ours in it.

    pip install 'otel-untether[distro,untether]'
    opentelemetry-instrument python examples/untether_run.py "Say hello"

An installed bridge needs no program at all: ``opentelemetry-instrument untether``; see
docs/instrumentation.md for pipx, uv and systemd. This one shows on a terminal what a chat would.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import anyio


class Terminal:
    """A transport of Untether's that prints the messages of a chat."""

    async def send(self, *, channel_id: Any, message: Any, **_: Any) -> Any:
        """Print a message."""
        print(message.text)
        transport = importlib.import_module("untether.transport")
        return transport.MessageRef(channel_id=channel_id, message_id=1)

    async def edit(self, *, ref: Any, message: Any, **_: Any) -> Any:
        """Print it anew."""
        print(message.text)
        return ref

    async def delete(self, **_: Any) -> bool:
        """Leave it on the terminal."""
        return True

    async def close(self) -> None:
        """Have nothing to close."""


async def main(prompt: str) -> None:
    """Hand Claude a prompt, as a chat would."""
    bridge = importlib.import_module("untether.runner_bridge")
    importlib.import_module("untether.logging").setup_logging()
    presenter = importlib.import_module("untether.markdown").MarkdownPresenter()
    runner = importlib.import_module("untether.runners.claude").build_runner({}, Path("x.toml"))
    config = bridge.ExecBridgeConfig(transport=Terminal(), presenter=presenter, final_notify=False)
    incoming = bridge.IncomingMessage(channel_id=1, message_id=2, text=prompt)
    await bridge.handle_message(config, runner=runner, incoming=incoming, resume_token=None)


if __name__ == "__main__":
    anyio.run(main, " ".join(sys.argv[1:]) or "Say hello")
