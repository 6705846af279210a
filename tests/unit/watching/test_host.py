"""What a finding does outside this process must not hold up what it is about."""

from __future__ import annotations

import threading
import time

from opentelemetry.sdk.trace import TracerProvider

from otel_untether.watching.host import Host


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
    host = Host.guest(tracer_provider=provider)
    began = time.monotonic()
    host.flush()
    assert time.monotonic() - began < 10
    provider.released.set()
