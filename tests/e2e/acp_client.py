"""A client of the Agent Client Protocol: one session, a prompt for each argument, leave given.

    python acp_client.py PROMPT… -- COMMAND…

What the agent prints is passed on to stdout; its status is ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class Client:
    """Asks one request after another, and answers what the agent asks meanwhile."""

    def __init__(self, command: list[str]) -> None:
        self.agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._number = 0

    def ask(self, method: str, **params: Any) -> dict[str, Any] | None:
        """Return the answer, None where the agent ended without one."""
        self._number += 1
        self._write({"id": self._number, "method": method, "params": params})
        assert self.agent.stdout is not None
        for line in self.agent.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            message = json.loads(line)
            if "method" in message and "id" in message:
                self._answer(message)
            elif message.get("id") == self._number:
                return dict(message.get("result") or {})
        return None

    def _answer(self, message: dict[str, Any]) -> None:
        if message["method"] == "session/request_permission":
            options = message["params"]["options"]
            chosen = next(o["optionId"] for o in options if o["kind"].startswith("allow"))
            outcome = {"outcome": "selected", "optionId": chosen}
            self._write({"id": message["id"], "result": {"outcome": outcome}})
        else:
            error = {"code": -32601, "message": "no such method"}
            self._write({"id": message["id"], "error": error})

    def _write(self, message: dict[str, Any]) -> None:
        assert self.agent.stdin is not None
        self.agent.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.agent.stdin.flush()


def main() -> int:
    split = sys.argv.index("--")
    prompts, command = sys.argv[1:split], sys.argv[split + 1 :]
    client = Client(command)
    files = {"readTextFile": False, "writeTextFile": False}
    able = {"fs": files, "terminal": False}
    client.ask("initialize", protocolVersion=1, clientCapabilities=able)
    session = client.ask("session/new", cwd=str(Path.cwd()), mcpServers=[]) or {}
    for text in prompts:
        said = [{"type": "text", "text": text}]
        client.ask("session/prompt", sessionId=session.get("sessionId"), prompt=said)
    return client.agent.wait()


if __name__ == "__main__":
    sys.exit(main())
