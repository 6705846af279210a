"""A process's OpenTelemetry, set up anew for each test."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry._logs import _internal as logs_internal
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.util._once import Once

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fresh_globals() -> Iterator[None]:
    """Forget the global providers before and after.

    The loggers stay mute: exporters left behind at a deadline go on complaining.
    """
    forget_globals()
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    yield
    forget_globals()
    for name in ("opentelemetry", "urllib3", "requests", "grpc"):
        logger = logging.getLogger(name)
        for handler in logger.handlers:
            handler.close()
        logger.handlers = [logging.NullHandler()]


def forget_globals() -> None:
    """Have the process without providers, as it was at first."""
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    metrics_internal._METER_PROVIDER = None
    metrics_internal._METER_PROVIDER_SET_ONCE = Once()
    metrics_internal._PROXY_METER_PROVIDER = metrics_internal._ProxyMeterProvider()
    logs_internal._LOGGER_PROVIDER, logs_internal._LOGGER_PROVIDER_SET_ONCE = None, Once()
    logs_internal._PROXY_LOGGER_PROVIDER = logs_internal.ProxyLoggerProvider()
