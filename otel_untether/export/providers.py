"""OpenTelemetry for one run: providers as OTEL_* asks for them, and an end within a deadline.

Where it is asked for anything, the SDK's own configurator does the work, so every `OTEL_*`
variable and `OTEL_CONFIG_FILE` mean what OpenTelemetry documents. Each run writes its spans and
log records to its folder the moment they exist, whatever becomes of collectors. Where nothing is
asked for, that is all there is to do, and it is done without the SDK. Nothing here raises, and
nothing here is printed: what went wrong is in `Telemetry.problems`, what the SDK had to say in
the folder's `otel.log`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from opentelemetry import _logs, trace

from otel_untether.export import kept_providers, quiet
from otel_untether.export.ids import RootIdGenerator, SeededIdGenerator
from otel_untether.export.telemetry import Telemetry, parent_of
from otel_untether.export.text import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from otel_untether.export.propagation import RootContext
    from otel_untether.store.runs import RunIdentity

__all__ = ["RootIdGenerator", "SeededIdGenerator", "Telemetry", "start"]


def start(
    identity: RunIdentity,
    *,
    root: RootContext | None = None,
    run_dir: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    live: bool = True,
) -> Telemetry:
    """Start OpenTelemetry for a run, as `environ` asks for it.

    The first span started gets the ids of `root`; start it in `Telemetry.parent`. Where the
    process has a TracerProvider already (an instrumented host), that and its companions are
    used and nothing is set up. With `OTEL_SDK_DISABLED`, or where everything fails, the
    providers do nothing. What is not `live` can be read again: of its open spans only the roots
    are journaled, which takes a third off a replay.
    """
    problems = [root.problem] if root and root.problem else []
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return silent(root, problems)
    if _has_tracer_provider():
        return of_process(root, problems)
    try:
        quiet.keep_off_stderr(run_dir)
        if kept_providers.suffice(environ):
            assemble = kept_providers.assemble
        else:
            from otel_untether.export.sdk_settings import usable  # noqa: PLC0415  imports re

            environ = usable(environ, problems)
            assemble = _of_the_sdk(environ)
        return assemble(identity, root, run_dir, environ, problems, live=live)
    # Whatever a distro, an exporter or a future SDK raises: the agent goes on without us.
    except Exception as error:  # noqa: BLE001
        problems.append(f"telemetry is off: {describe(error)}")
        return silent(root, problems)


def _of_the_sdk(environ: Mapping[str, str]) -> Callable[..., Telemetry]:
    """Import the SDK, which reads some of OTEL_* at once, and raises for what it cannot use."""
    from otel_untether.export import sdk  # noqa: PLC0415  not where files suffice

    with sdk.environment(environ):
        from otel_untether.export import sdk_providers  # noqa: PLC0415  takes 0.1 s

    return sdk_providers.assemble


def of_process(root: RootContext | None = None, problems: list[str] | None = None) -> Telemetry:
    """Return the providers this process has, of whoever set them up."""
    from opentelemetry import metrics  # noqa: PLC0415  4 ms, for where there are some

    return Telemetry(
        trace.get_tracer_provider(),
        metrics.get_meter_provider(),
        _logs.get_logger_provider(),
        parent=parent_of(root),
        problems=[] if problems is None else problems,
    )


def silent(root: RootContext | None = None, problems: list[str] | None = None) -> Telemetry:
    """Return providers that do nothing."""
    from opentelemetry import metrics  # noqa: PLC0415  as above

    return Telemetry(
        trace.NoOpTracerProvider(),
        metrics.NoOpMeterProvider(),
        _logs.NoOpLoggerProvider(),
        parent=parent_of(root),
        problems=[] if problems is None else problems,
    )


def _has_tracer_provider() -> bool:
    """Whether somebody has set the SDK's up in this process, for which it must be imported."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    return sdk is not None and isinstance(trace.get_tracer_provider(), sdk.TracerProvider)
