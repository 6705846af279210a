"""The exporter of metrics that `OTEL_METRICS_EXPORTER` knows as `untether_file`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData

from otel_untether.export.otlp_json import FILES, Lines
from otel_untether.store.runs import state_dir

if TYPE_CHECKING:
    from pathlib import Path


class FileMetricExporter(MetricExporter):
    """Appends metrics to a file; by default `export/metrics.jsonl` in the state directory.

    The SDK takes metric exporters only when it makes the provider. Spans and log records get
    theirs added to the provider.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        default = state_dir(os.environ) / "export" / FILES["metrics"]
        self._lines = Lines("metrics", path or default)

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,  # noqa: ARG002
        **_kwargs: Any,
    ) -> MetricExportResult:
        """Append a collection as one line."""
        problem = self._lines.write(metrics_data)
        return MetricExportResult.FAILURE if problem else MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:  # noqa: ARG002
        """Nothing is buffered."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_kwargs: Any) -> None:  # noqa: ARG002
        """Close the file."""
        self._lines.close()
