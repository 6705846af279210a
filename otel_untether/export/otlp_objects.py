"""What the SDK hands to exporters, as the objects of OTLP JSON.

Written without protobuf: its way there takes most of the time that a span costs. Each function
takes a batch of one signal and returns the request's object; the tests compare it, field by
field, with what OpenTelemetry's own encoders make.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from otel_untether.store.otlp_spans import encode_ended
from otel_untether.store.otlp_values import encode, encode_attributes, encode_double, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.metrics.export import (
        ExponentialHistogramDataPoint,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
    )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    Object = dict[str, Any]


def spans(batch: Iterable[ReadableSpan]) -> Object:
    """Return the request with ended spans."""
    return _request("Spans", "spans", batch, encode_ended)


def logs(batch: Iterable[ReadableLogRecord]) -> Object:
    """Return the request with log records."""
    return _request("Logs", "logRecords", batch, _log_record)


def metrics(data: Any) -> Object:
    """Return the request with a collection of metrics, in the SDK's classes or `metric_data`'s."""
    found = [
        {
            "resource": _resource(by_resource.resource),
            "scopeMetrics": [
                _in_scope(by_scope.scope, "metrics", [_metric(each) for each in by_scope.metrics])
                for by_scope in by_resource.scope_metrics
            ],
            **_schema(by_resource.resource),
        }
        for by_resource in data.resource_metrics
    ]
    return {"resourceMetrics": found} if found else {}


def _request(
    signal: str, key: str, batch: Iterable[Any], encode_one: Callable[[Any], Object]
) -> Object:
    """Group what has the same resource and scope, which most often is all."""
    grouped: dict[int, tuple[Resource, dict[int, tuple[Any, list[Object]]]]] = {}
    for one in batch:
        resource, scope = one.resource, one.instrumentation_scope
        _, scopes = grouped.setdefault(id(resource), (resource, {}))
        scopes.setdefault(id(scope), (scope, []))[1].append(encode_one(one))
    found = [
        {
            "resource": _resource(resource),
            f"scope{signal}": [_in_scope(scope, key, items) for scope, items in scopes.values()],
            **_schema(resource),
        }
        for resource, scopes in grouped.values()
    ]
    return {f"resource{signal}": found} if found else {}


class _Known:
    """The Resource that was encoded last: a run's spans have one, which is most of each line."""

    pair: tuple[Resource, msgspec.Raw] | None = None


def _resource(resource: Resource) -> Object | msgspec.Raw:
    known = _Known.pair
    if known is not None and known[0] is resource:
        return known[1]
    encoded = {"attributes": encode_attributes(plain(resource.attributes).items())}
    try:
        raw = msgspec.Raw(msgspec.json.encode(encoded))
    except UnicodeEncodeError:
        return encoded
    _Known.pair = resource, raw
    return raw


def _in_scope(scope: InstrumentationScope | None, key: str, items: list[Object]) -> Object:
    named: Object = {}
    if scope is not None:
        named = {"name": scope.name, **_unless_default(version=scope.version)}
        if scope.attributes:
            named["attributes"] = encode_attributes(scope.attributes.items())
    return {"scope": named, key: items, **_schema(scope)}


def _schema(holder: Resource | InstrumentationScope | None) -> Object:
    return _unless_default(schemaUrl=holder.schema_url if holder is not None else "")


def _unless_default(**fields: object) -> Object:
    return {name: value for name, value in fields.items() if value}


def _log_record(readable: ReadableLogRecord) -> Object:
    """Encode as opentelemetry/proto/logs/v1/logs.proto has it."""
    record = readable.log_record
    severity = record.severity_number
    return {
        "body": encode(record.body),
        "attributes": encode_attributes((record.attributes or {}).items()),
        **_unless_default(
            timeUnixNano=str(record.timestamp or ""),
            observedTimeUnixNano=str(record.observed_timestamp or ""),
            severityNumber=severity.value if severity is not None else 0,
            severityText=record.severity_text,
            traceId=f"{record.trace_id:032x}" if record.trace_id else "",
            spanId=f"{record.span_id:016x}" if record.span_id else "",
            flags=int(record.trace_flags or 0),
            eventName=record.event_name,
            droppedAttributesCount=readable.dropped_attributes,
        ),
    }


def _metric(metric: Metric) -> Object:
    """Encode as opentelemetry/proto/metrics/v1/metrics.proto has it."""
    found: Object = {
        "name": metric.name,
        **_unless_default(description=metric.description, unit=metric.unit),
    }
    data = metric.data
    if data.data_points:
        # By name: it may be of the SDK or of `metric_data`.
        key, encode_point = _KINDS[type(data).__name__]
        found[key] = {
            "dataPoints": [encode_point(point) for point in data.data_points],
            **_unless_default(
                aggregationTemporality=int(getattr(data, "aggregation_temporality", 0)),
                isMonotonic=getattr(data, "is_monotonic", False),
            ),
        }
    return found


def _number(point: NumberDataPoint) -> Object:
    return {
        **_point(point, point.start_time_unix_nano),
        **_value(point.value),
    }


def _histogram(point: HistogramDataPoint) -> Object:
    return {
        **_point(point, point.start_time_unix_nano),
        **_summary(point),
        "bucketCounts": [str(count) for count in point.bucket_counts],
        "explicitBounds": [encode_double(bound) for bound in point.explicit_bounds],
    }


def _exponential(point: ExponentialHistogramDataPoint) -> Object:
    sides = {"positive": point.positive, "negative": point.negative}
    return {
        **_point(point, point.start_time_unix_nano),
        **_summary(point),
        "scale": point.scale,
        "zeroCount": str(point.zero_count),
        **_unless_default(flags=point.flags),
        **{
            name: {
                "offset": side.offset,
                "bucketCounts": [str(count) for count in side.bucket_counts],
            }
            for name, side in sides.items()
            if side.bucket_counts
        },
    }


def _summary(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> Object:
    return {
        "count": str(point.count),
        "sum": encode_double(point.sum),
        "min": encode_double(point.min),
        "max": encode_double(point.max),
    }


def _point(point: Any, start: int | None) -> Object:
    found: Object = {
        "attributes": encode_attributes((point.attributes or {}).items()),
        "timeUnixNano": str(point.time_unix_nano),
    }
    if start:
        found["startTimeUnixNano"] = str(start)
    if point.exemplars:
        found["exemplars"] = [_exemplar(exemplar) for exemplar in point.exemplars]
    return found


def _exemplar(exemplar: Any) -> Object:
    filtered: Mapping[str, Any] = exemplar.filtered_attributes or {}
    found: Object = {
        "timeUnixNano": str(exemplar.time_unix_nano),
        "filteredAttributes": encode_attributes(filtered.items()),
        **_value(exemplar.value),
    }
    if exemplar.span_id is not None and exemplar.trace_id is not None:
        found["spanId"] = f"{exemplar.span_id:016x}"
        found["traceId"] = f"{exemplar.trace_id:032x}"
    return found


def _value(value: float) -> Object:
    return {"asInt": str(value)} if isinstance(value, int) else {"asDouble": encode_double(value)}


_KINDS: Final[Mapping[str, tuple[str, Callable[[Any], Object]]]] = {
    "Gauge": ("gauge", _number),
    "Sum": ("sum", _number),
    "Histogram": ("histogram", _histogram),
    "ExponentialHistogram": ("exponentialHistogram", _exponential),
}
