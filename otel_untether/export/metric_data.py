"""A collection of metrics, in classes that are named and filled as the SDK's own.

`otlp_objects` writes both. Where no exporter of the SDK's is there to take a collection, ours
spare the import of the SDK's, which takes as long as all of `export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUMULATIVE: Final = 2
"""AGGREGATION_TEMPORALITY_CUMULATIVE of opentelemetry/proto/metrics/v1/metrics.proto."""


class NumberDataPoint(Struct):
    """One number; times in ns since the epoch, `start_time_unix_nano` of what has added it up."""

    attributes: Mapping[str, Any]
    start_time_unix_nano: int
    time_unix_nano: int
    value: float
    exemplars: Sequence[Any] = ()


class HistogramDataPoint(Struct):
    """What was measured, by size: a count for each bucket, whose upper bounds are included."""

    attributes: Mapping[str, Any]
    start_time_unix_nano: int
    time_unix_nano: int
    count: int
    sum: float
    bucket_counts: list[int]
    explicit_bounds: Sequence[float]
    min: float
    max: float
    exemplars: Sequence[Any] = ()


class Gauge(Struct):
    """What is so now."""

    data_points: Sequence[NumberDataPoint]


class Sum(Struct):
    """What has been added up."""

    data_points: Sequence[NumberDataPoint]
    aggregation_temporality: int
    is_monotonic: bool


class Histogram(Struct):
    """What has been measured."""

    data_points: Sequence[HistogramDataPoint]
    aggregation_temporality: int


class Metric(Struct):
    """The points of one instrument."""

    name: str
    description: str | None
    unit: str | None
    data: Gauge | Sum | Histogram


class ScopeMetrics(Struct):
    """The metrics of one scope."""

    scope: Any
    metrics: Sequence[Metric]
    schema_url: str


class ResourceMetrics(Struct):
    """The metrics of one Resource."""

    resource: Any
    scope_metrics: Sequence[ScopeMetrics]
    schema_url: str


class MetricsData(Struct):
    """One collection."""

    resource_metrics: Sequence[ResourceMetrics]


Class: TypeAlias = "Any"  # of either module, with the fields above


class Classes(Protocol):
    """The classes a collection is made of: this module's, or `opentelemetry.sdk.metrics.export`."""

    NumberDataPoint: Class
    Gauge: Class
    Sum: Class
    Metric: Class
    ScopeMetrics: Class
    ResourceMetrics: Class
    MetricsData: Class
