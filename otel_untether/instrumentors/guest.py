"""What an instrumentor was told: settings and providers; it opens sessions with them."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_untether.config.settings import Config, ConfigError, load
from otel_untether.watching.guest_host import GuestHost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.session.content import Capture

_log: Final = logging.getLogger("otel_untether")


def _nothing() -> dict[str, AttributeValue]:
    return {}


@dataclass(frozen=True)
class Guest:
    """Settings, and the providers to report through; the program's global ones where None.

    What an instrumentor of one program knows on top: `attributes` returns some of the root span,
    when a session begins; `begun` hears of each `HostedAgent`. `into_clean` has the trace context
    put into a ``env -i …`` command line as well.
    """

    settings: Config
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    logger_provider: LoggerProvider | None = None
    capture: Capture | None = None
    attributes: Callable[[], Mapping[str, AttributeValue]] = _nothing
    begun: Callable[[Any], object] = lambda _agent: None
    into_clean: bool = False

    @classmethod
    def of(
        cls,
        *,
        config: Config | str | os.PathLike[str] | None = None,
        watchdog: WatchdogConfig | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        capture: Capture | None = None,
    ) -> Guest:
        """Return what `instrument()` was given; ConfigError for a setting that cannot be."""
        settings = _settings(config)
        if watchdog is not None:
            settings = settings._replace(watchdog=watchdog)
        settings.watchdog.check()
        return cls(settings, tracer_provider, meter_provider, logger_provider, capture)

    def host(self) -> GuestHost:
        """Return a host, made anew, as the global providers may be set after `instrument()`."""
        return GuestHost(
            self.settings,
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            capture=self.capture,
        )


def _settings(config: Config | str | os.PathLike[str] | None) -> Config:
    if isinstance(config, Config):
        return config
    if config is not None:
        return load(os.fspath(config))
    try:
        settings = load()
    except ConfigError as error:
        # What lies about in the environment must not stop the program, nor its other
        # instrumentations; the defaults warn and never kill.
        _log.error("settings are ignored, the defaults hold: %s", error)
        return Config()
    for line in settings.notices:
        _log.warning("%s", line)
    return settings
