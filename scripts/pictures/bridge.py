"""A session of an Untether bridge whose agent freezes, told to the stack by what instruments it.

UNTETHER_PYTHON names the Python of an environment that has Untether and this package in it. The
bridge is the one of the tests, which barks after a second, so that both watchdogs are in the trace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.stack.backends import ROOT, eventually

if TYPE_CHECKING:
    from scripts.stack.backends import Stack

WANTED: Final = "UNTETHER_PYTHON"
_BRIDGE: Final = ROOT / "tests" / "processes" / "instrumentors" / "untether_bridge.py"
_SERVICE: Final = "untether"
_HASTE: Final = {
    "HANG_SECONDS": "20",
    "OTEL_UNTETHER_SAMPLE_INTERVAL": "0.25",
    "OTEL_UNTETHER_STALL_TIMEOUT": "1",
    "OTEL_UNTETHER_STALL_REPEAT_SECONDS": "5",
}


def session(stack: Stack, folder: Path) -> str:
    """Have a bridge run an agent that freezes, until it gives up; return the trace's id."""
    agents = folder / "bin"
    agents.mkdir()
    claude = agents / "claude"
    claude.write_text(f"#!/bin/sh\nexec {sys.executable} -m otel_untether.demo --stall model\n")
    claude.chmod(0o755)
    python = Path(os.environ[WANTED])
    kept = {key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ}
    environ = kept | {
        **_HASTE,
        "HOME": str(folder),
        "PATH": f"{agents}:{os.environ['PATH']}",
        "OTEL_SERVICE_NAME": _SERVICE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint(),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    launcher = str(python.with_name("opentelemetry-instrument"))
    command = [launcher, str(python), str(_BRIDGE), "HANG: why is the login slow?"]
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return str(eventually("the bridge's session is in Jaeger", lambda: _found(stack)))


def _found(stack: Stack) -> str:
    spans = stack.spans_of(_SERVICE)
    return next((it["traceId"] for it in spans if it["name"].startswith("invoke_agent claude")), "")
