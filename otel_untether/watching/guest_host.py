"""A host in other people's programs: their providers, their threads, their processes.

What elsewhere is imported where it is first needed comes with this module: not on a thread of
ours, as `judge` says.
"""

from __future__ import annotations

import gzip  # noqa: F401
import html  # noqa: F401
import json  # noqa: F401
import os
import signal  # noqa: F401
from typing import TYPE_CHECKING, Final

from opentelemetry import _logs, metrics, trace
from opentelemetry.context import get_value

from otel_untether.config.settings import Config
from otel_untether.export import providers as export
from otel_untether.export.run_spans import keep_spans
from otel_untether.kill import left_behind  # noqa: F401
from otel_untether.session import redactor  # noqa: F401
from otel_untether.watching import judge  # noqa: F401
from otel_untether.watching.attendant import attendant
from otel_untether.watching.guest_measures import guest_measures, shared_sampler
from otel_untether.watching.host import Host, capture_of
from otel_untether.watching.operator import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from otel_untether.clock import Clock
    from otel_untether.session.content import Capture
    from otel_untether.store.runs import Run, Store
    from otel_untether.watching.session import WatchedSession

_SUPPRESSED: Final = ("suppress_instrumentation", "suppress_language_model_instrumentation")
# How often a session is looked at, in seconds, at most: a program may have hundreds of them.
_TICK: Final = 2.0


class GuestHost(Host):
    """Reports through a program's own providers, by default its global ones.

    `store` is where runs and outcomes are kept, None where nothing is. Under
    `suppress_instrumentation` (opentelemetry.instrumentation.utils) nothing is reported at all.
    """

    def __init__(
        self,
        settings: Config | None = None,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        capture: Capture | None = None,
        store: Store | None = None,
    ) -> None:
        settings = settings or Config()
        telemetry = (
            export.silent()
            if is_suppressed()
            else export.Telemetry(
                tracer_provider or trace.get_tracer_provider(),
                meter_provider or metrics.get_meter_provider(),
                logger_provider or _logs.get_logger_provider(),
            )
        )
        super().__init__(
            settings,
            telemetry,
            store=store,
            capture=capture or capture_of(settings, os.environ),
            measures=guest_measures(telemetry.meter_provider),
            say=warn,
            sampler=shared_sampler(settings.watchdog.sample_interval),
        )

    def _keep_spans(self, run_id: str, run: Run | None) -> Callable[[], None] | None:
        """Have a session's spans in its run's folder, too, beside the program's exporters."""
        if run is None:
            return None
        return keep_spans(self.telemetry.tracer_provider, run_id, run.path)

    def _attend(
        self,
        session: WatchedSession,
        clock: Clock,
        run: Run | None,
        stop_keeping: Callable[[], None] | None,
    ) -> None:
        """Have a thread of ours tick it, which all sessions of the process share."""
        interval = min(_TICK, self.settings.watchdog.sample_interval)
        attendant().tick(session, interval, lambda: session.tick(clock.now()))

        def leave() -> None:
            attendant().release(session)
            if stop_keeping is not None:
                stop_keeping()
            if run is not None:
                run.release()

        session.on_end = leave


def is_suppressed() -> bool:
    """Tell whether the current context asks instrumentations to keep quiet."""
    return any(get_value(key) for key in _SUPPRESSED)
