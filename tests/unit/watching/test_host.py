"""What a finding does outside this process must not hold up what it is about."""

from __future__ import annotations

import threading
import time

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.config.settings import Config, Native, TelemetryConfig
from otel_untether.session.events import ToolFinished, ToolStarted
from otel_untether.watching.guest_host import GuestHost
from otel_untether.watching.subject import End, RunInfo, Subject
from otel_untether.watching.surroundings import Surroundings
from tests.support.program import Program


class Stuck(TracerProvider):
    """A provider whose collector is dead, and whose flush ignores its timeout, as the SDK's."""

    def __init__(self) -> None:
        super().__init__(shutdown_on_exit=False)
        self.released = threading.Event()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.released.wait(60 * timeout_millis / 1000)


def test_a_flush_that_hangs_is_left_behind() -> None:
    """A kill flushes its decision first: it must not wait for a dead collector."""
    provider = Stuck()
    host = GuestHost(tracer_provider=provider)
    began = time.monotonic()
    host.flush()
    assert time.monotonic() - began < 10
    provider.released.set()


BETA = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
}


@pytest.mark.parametrize(
    ("engine", "environ", "native", "made"),
    [
        ("claude", BETA, "join", False),
        ("claude", BETA, "pass", True),
        ("claude", BETA | {"OTEL_TRACES_EXPORTER": "none"}, "join", True),
        ("claude", {"CLAUDE_CODE_ENABLE_TELEMETRY": "1"}, "join", True),
        ("codex", BETA, "join", True),
    ],
)
def test_an_agents_own_spans_stand_for_ours(
    engine: str, environ: dict[str, str], native: Native, *, made: bool
) -> None:
    """Of its answers and calls, where they join our trace; the root is ours in any case."""
    program = Program()
    settings = Config(telemetry=TelemetryConfig(native=native, session_files=False))
    host = GuestHost(settings, **program.providers)
    run = RunInfo("run", 1, engine=engine)
    session = host.open(Subject(run, sampled=True, surroundings=Surroundings(environ, "/")))
    session.event(ToolStarted(at=2, id="1", name="Bash"))
    session.event(ToolFinished(at=3, id="1"))
    summary = session.finish(End(0))
    assert summary.tools == 1
    names = {span.name for span in program.spans}
    assert ("execute_tool Bash" in names) is made
    assert any(name.startswith("chat") for name in names) is made
    assert f"invoke_agent {engine}" in names
