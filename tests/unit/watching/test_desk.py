"""What a finding does outside this process must not hold up what it is about."""

from __future__ import annotations

import threading
import time

from opentelemetry import _logs, metrics
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.export.providers import Telemetry
from otel_untether.session.state import SessionState
from otel_untether.watching.desk import RunDesk


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
    telemetry = Telemetry(provider, metrics.NoOpMeterProvider(), _logs.NoOpLoggerProvider())
    desk = RunDesk(None, telemetry, SessionState("run", started=0))
    began = time.monotonic()
    desk.flush()
    assert time.monotonic() - began < 10
    provider.released.set()
