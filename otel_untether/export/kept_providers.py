"""Providers of telemetry that goes nowhere but into a run's folder, without the SDK.

Where no endpoint, exporter, sampler or limit is asked for, as where nothing is set at all, all
that the SDK does comes to three files. Its import alone takes longer than a short run, and what
it does for each span a quarter of a replay; so it is left out there. What is written is the
same, which the tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from opentelemetry._logs import NoOpLoggerProvider

from otel_untether.export.ids import RootIdGenerator
from otel_untether.export.kept_logs import KeptLoggerProvider
from otel_untether.export.kept_metrics import KeptMeterProvider, KeptMetrics
from otel_untether.export.kept_resource import resource_of
from otel_untether.export.kept_spans import KeptTracerProvider
from otel_untether.export.ledger import Ledger
from otel_untether.export.otlp_json import FILES
from otel_untether.export.resource import RESOURCE_VARIABLES
from otel_untether.export.telemetry import Telemetry, keep_spans, log_keeper, parent_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentelemetry.metrics import MeterProvider

    from otel_untether.export.propagation import RootContext
    from otel_untether.store.runs import RunIdentity

# Of OTEL_*, what is not the SDK's: ours, and what instrumentations heed.
_NOT_THE_SDKS: Final = (
    "OTEL_UNTETHER_",
    "OTEL_INSTRUMENTATION_",
    "OTEL_SEMCONV_",
)


def suffice(environ: Mapping[str, str]) -> bool:
    """Tell whether nothing is asked for that takes the SDK.

    Any variable of OpenTelemetry's may ask for something, also one that we do not know; an empty
    one counts as unset.
    """
    return not any(
        name.startswith("OTEL_")
        and value.strip()
        and not name.startswith(_NOT_THE_SDKS)
        and name not in RESOURCE_VARIABLES
        for name, value in environ.items()
    )


def assemble(
    identity: RunIdentity,
    root: RootContext | None,
    run_dir: Path | None,
    environ: Mapping[str, str],
    problems: list[str],
    *,
    live: bool,
) -> Telemetry:
    """Set providers up; the arguments are those of `providers.start`."""
    resource = resource_of(identity, environ)
    file = KeptMetrics(run_dir / FILES["metrics"]) if run_dir is not None else None
    tracers = KeptTracerProvider(resource, RootIdGenerator(root))
    telemetry = Telemetry(
        tracers,
        cast("MeterProvider", KeptMeterProvider(resource, file)),
        NoOpLoggerProvider(),
        parent=parent_of(root),
        metric_exporters=() if file is None else (file,),
        problems=problems,
        ledger=Ledger(kept=run_dir is not None),
        owned=True,
        kept=True,
    )
    telemetry.logger_provider = KeptLoggerProvider(resource, log_keeper(telemetry, run_dir))
    for told in keep_spans(telemetry, run_dir, resource, live=live):
        tracers.add_span_processor(told)
    return telemetry
