"""A program on the Codex SDK for Python: `codex_host.py PROMPT…`.

Gives leave to whatever it is asked for; what it does meanwhile, it traces. A turn whose prompt
says CANCEL is interrupted once its command has begun (it makes a file). Prints how each ended.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from opentelemetry import trace

TRACER = trace.get_tracer("the program")
PROVIDER = '{name="fake",base_url="%s/v1",env_key="FAKE_KEY",wire_api="responses"}'


def leave(_method: str, _params: Any) -> dict[str, str]:
    with TRACER.start_as_current_span("the program's leave"):
        time.sleep(0.5)
    return {"decision": "accept"}


def main(prompts: list[str]) -> None:
    sdk = importlib.import_module("openai_codex.client")
    overrides = (
        'model_provider="fake"',
        f"model_providers.fake={PROVIDER % os.environ['MODEL_URL']}",
    )
    config = sdk.CodexConfig(codex_bin=os.environ["CODEX_BIN"], config_overrides=overrides)
    with sdk.CodexClient(config, approval_handler=leave) as client:
        client.initialize()
        asking = {
            "model": "fake-model",
            "approvalPolicy": "untrusted",
            "sandbox": "danger-full-access",
        }
        thread = client.thread_start(asking).thread.id
        for prompt in prompts:
            with TRACER.start_as_current_span(f"request {prompt}"):
                ask(client, thread, prompt)


def ask(client: Any, thread: str, prompt: str) -> None:
    turn = client.turn_start(thread, prompt).turn.id
    if "CANCEL" in prompt:
        while not Path("begun").exists():
            time.sleep(0.05)
        client.turn_interrupt(thread, turn)
    over = client.wait_for_turn_completed(turn)
    print(prompt, over.turn.status.value, file=sys.stderr)


if __name__ == "__main__":
    importlib.import_module("mistakes").make()  # beside this file
    main(sys.argv[1:])
