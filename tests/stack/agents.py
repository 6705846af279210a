"""Real sessions: the scripted agent, run by the command as a user would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.stack.backends import PATIENCE, eventually

if TYPE_CHECKING:
    from scripts.stack.backends import Stack

COMMAND = str(Path(sys.executable).with_name("otel-untether"))
AGENT = (sys.executable, "-m", "otel_untether.demo", "--pace", "0.05")
# A busy test machine must not cost a session its last export.
PATIENT = ("--exit-timeout", "60")
# The defaults, a hundred times faster; but a busy machine takes as long to start as it takes.
SCALED = {
    "OTEL_UNTETHER_STALL_TIMEOUT": "2",
    "OTEL_UNTETHER_STALL_REPEAT_SECONDS": "2",
    "OTEL_UNTETHER_LIVENESS_TIMEOUT": "4",
    "OTEL_UNTETHER_STARTUP_TIMEOUT": "60",
    "OTEL_UNTETHER_TOOL_TIMEOUT": "3",
    "OTEL_UNTETHER_APPROVAL_TIMEOUT": "30",
    "OTEL_UNTETHER_KILL_GRACE": "1",
    "OTEL_UNTETHER_SAMPLE_INTERVAL": "0.25",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
}

_WARNING = re.compile(r"^otel-untether: (?:silent|no progress) for ", re.MULTILINE)


@dataclass
class Session:
    """One run; its service name is its own, so that it is found in Jaeger before it ends."""

    service: str
    process: subprocess.Popen[bytes]
    said: Path

    @property
    def errors(self) -> str:
        """What it has said on stderr so far."""
        return self.said.read_text()

    @property
    def warnings(self) -> int:
        """How many stalls it has warned of: of silence, or of life without progress."""
        return len(_WARNING.findall(self.errors))

    def wait_for(self, text: str) -> None:
        """Wait until it has said `text` on stderr."""
        eventually(f"it says {text!r}", lambda: text in self.errors)

    def finish(self, patience: float = PATIENCE) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(timeout=patience)

    def end(self) -> int:
        """End it as its user would, and wait."""
        self.process.send_signal(signal.SIGTERM)
        return self.finish()


@dataclass
class Runner:
    """Starts sessions against one stack, with nothing but its endpoint."""

    stack: Stack
    directory: Path
    options: tuple[str, ...] = PATIENT
    started: list[Session] = field(default_factory=list)

    def start(
        self,
        *arguments: str,
        agent: tuple[str, ...] = AGENT,
        protocol: str = "http/protobuf",
        service: str = "",
        **settings: str,
    ) -> Session:
        """Start the agent with `arguments` under `otel-untether run`."""
        service = service or f"stack-test-{uuid.uuid4().hex[:8]}"
        environment = os.environ | SCALED | settings
        environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.stack.endpoint(protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_SERVICE_NAME": service,
            "OTEL_UNTETHER_STATE_DIR": str(self.directory),
        }
        said = self.directory / f"stderr-{uuid.uuid4().hex}.txt"
        with said.open("wb") as errors:
            process = subprocess.Popen(
                [COMMAND, "run", *self.options, "--", *agent, *arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        session = Session(service, process, said)
        self.started.append(session)
        return session

    def run(
        self,
        *arguments: str,
        agent: tuple[str, ...] = AGENT,
        protocol: str = "http/protobuf",
        service: str = "",
        **settings: str,
    ) -> Session:
        """Start, and wait for the end."""
        session = self.start(
            *arguments, agent=agent, protocol=protocol, service=service, **settings
        )
        session.finish()
        return session

    def end_all(self) -> None:
        """End what a failed test left running."""
        for session in self.started:
            if session.process.poll() is None:
                session.end()
