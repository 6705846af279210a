"""The SDK's providers, as OTEL_* or a file asks for them, beside which the run's folder is kept.

Importing this module imports the SDK, which takes 0.1 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace import TracerProvider

from otel_untether.export import sdk
from otel_untether.export.delivery import Delivery, count_points
from otel_untether.export.ids import RootIdGenerator
from otel_untether.export.ledger import Ledger
from otel_untether.export.sdk_processors import log_processor, span_processor
from otel_untether.export.telemetry import (
    Telemetry,
    complaining,
    keep_spans,
    log_keeper,
    parent_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from otel_untether.export.environment import Plan, Signal
    from otel_untether.export.propagation import RootContext
    from otel_untether.store.runs import RunIdentity


def assemble(
    identity: RunIdentity,
    root: RootContext | None,
    run_dir: Path | None,
    environ: Mapping[str, str],
    problems: list[str],
    *,
    live: bool,
) -> Telemetry:
    """Set the global providers up; the arguments are those of `providers.start`.

    What had to be left out is added to `problems`. Raises whatever the SDK and its plug-ins do.
    """
    plan = sdk.configure(identity, run_dir, environ, problems)
    providers = sdk.global_providers()
    telemetry = Telemetry(*providers, parent=parent_of(root), problems=problems, owned=True)
    # After the configurator: OTEL_CONFIG_FILE has no place for it.
    telemetry.take_ids_from(RootIdGenerator(root))
    telemetry.ledger = Ledger(kept=run_dir is not None)
    _watch_exporters(telemetry, run_dir, plan)
    if isinstance(providers.tracer, TracerProvider):
        for told in keep_spans(telemetry, run_dir, providers.tracer.resource, live=live):
            providers.tracer.add_span_processor(span_processor(told))
    if isinstance(providers.logger, LoggerProvider):
        keeper = log_keeper(telemetry, run_dir)
        providers.logger.add_log_record_processor(log_processor(keeper))
    return telemetry


def _watch_exporters(telemetry: Telemetry, run_dir: Path | None, plan: Plan) -> None:
    providers = sdk.Providers(
        telemetry.tracer_provider, telemetry.meter_provider, telemetry.logger_provider
    )
    watched: list[tuple[Signal, Any]] = []
    for signal, exporter in sdk.exporters(providers):
        sdk.keep_off_stdout(exporter)
        if sdk.is_otlp(exporter):
            watched.append((signal, exporter))
        if isinstance(exporter, MetricExporter):
            telemetry.metric_exporters += (exporter,)
    if meant := {*plan.otlp, *(signal for signal, _ in watched)}:
        _watch_delivery(telemetry, run_dir, meant, watched)


def _watch_delivery(
    telemetry: Telemetry,
    run_dir: Path | None,
    meant: Collection[Signal],
    watched: Collection[tuple[Signal, Any]],
) -> None:
    telemetry.delivery = delivery = Delivery(run_dir, telemetry.ledger)
    for signal in meant:
        telemetry.ledger.expect(signal)
    for signal, exporter in watched:
        delivery.watch(exporter, signal)
    if "metrics" in meant and not any(signal == "metrics" for signal, _ in watched):
        for exporter in telemetry.metric_exporters:
            _count(exporter, telemetry.ledger)
    with complaining(telemetry, "what no collector takes is not kept"):
        delivery.expect(meant)


def _count(exporter: Any, ledger: Ledger) -> None:
    """Have it known what is written to a file and was meant for a collector."""
    export = exporter.export

    def counted(metrics: Any, *args: Any, **kwargs: Any) -> Any:
        result = export(metrics, *args, **kwargs)
        if result is MetricExportResult.SUCCESS:
            ledger.kept("metrics", "")
        else:
            ledger.not_kept("metrics", count_points(metrics), "")
        return result

    exporter.export = counted
