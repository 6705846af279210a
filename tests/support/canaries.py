"""A request for each signal with a secret of its own in every field that can hold text."""

from __future__ import annotations

import random
import string
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

CANARIES: Final[dict[str, str]] = {}
_TRACE: Final = bytes(range(16))


def everywhere() -> dict[str, str]:
    """Return what was planted where: place to the secret's own part."""
    for make in (spans, metrics, logs):
        make(0)
    return dict(CANARIES)


def canary(place: str) -> str:
    """Return the canary of a place, of one of the formats, the same one each time."""
    if place not in CANARIES:
        chance = random.Random(place)
        CANARIES[place] = "".join(chance.choices(string.ascii_letters + string.digits, k=36))
    prefix = ("sk-ant-api03-", "ghp_", "sk_live_", "hf_", "glpat-")[sum(place.encode()) % 5]
    return f"{prefix}{CANARIES[place]}"


def _attributes(target: Any, place: str) -> None:
    def add(key: str) -> Any:
        return target.add(key=key).value

    add("text").string_value = f"it says {canary(f'{place} text')} there"
    quoted = canary(f"{place} quoted").rpartition("_")[2]
    add("quoted").string_value = f'DB_PASSWORD="{quoted}"'
    add("password").string_value = canary(f"{place} key").rpartition("_")[2]
    add("db.password.hash").string_value = canary(f"{place} key within").rpartition("_")[2]
    array = add("array").array_value
    array.values.add().string_value = "first"
    array.values.add().string_value = canary(f"{place} array")
    nested = add("map").kvlist_value.values
    nested.add(key="deep").value.string_value = canary(f"{place} map")
    secret = canary(f"{place} key in map").rpartition("_")[2]
    nested.add(key="password").value.string_value = secret
    add("number").int_value = 4096
    add("commit").string_value = "commit 3f786850e387550fdab836ed7e6dc881de23001b"


def spans(now: int) -> ExportTraceServiceRequest:
    """Return spans: a foreign one, one with a link, and one of ours with a link."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    _attributes(resource.resource.attributes, "span resource")
    scope = resource.scope_spans.add()
    scope.scope.name = f"scope {canary('span scope')}"
    scope.scope.version = canary("span scope version")
    _attributes(scope.scope.attributes, "span scope")
    span = _span(scope, 1, now)
    span.name = f"mark-span {canary('span name')}"
    span.trace_state = f"a={canary('trace state')}"
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = f"failed: {canary('status')}"
    _attributes(span.attributes, "span")
    event = span.events.add(name=f"event {canary('event name')}", time_unix_nano=now)
    _attributes(event.attributes, "event")
    quiet = _span(scope, 4, now)
    quiet.name = f"without events {canary('span name without events')}"
    quiet.status.message = canary("status without events")
    linked = _span(scope, 2, now)
    linked.name = "linked"
    link = linked.links.add(trace_id=_TRACE, span_id=b"87654321")
    _attributes(link.attributes, "link")
    link.trace_state = f"a={canary('link state')}"
    ours = resource.scope_spans.add()
    ours.scope.name = "otel_untether"
    own = _span(ours, 3, now)
    own.name = "invoke_agent claude"
    link = own.links.add(trace_id=_TRACE, span_id=b"87654321")
    link.attributes.add(key="untether.session.outcome").value.string_value = "crashed"
    return request


def _span(scope: Any, number: int, now: int) -> Any:
    return scope.spans.add(
        trace_id=_TRACE,
        span_id=number.to_bytes(8, "big"),
        start_time_unix_nano=now,
        end_time_unix_nano=now + 10**6,
        kind=Span.SPAN_KIND_INTERNAL,
    )


def metrics(now: int) -> ExportMetricsServiceRequest:
    """Return a gauge, a sum and a histogram with exemplars."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    _attributes(resource.resource.attributes, "metric resource")
    scope = resource.scope_metrics.add()
    scope.scope.name = canary("metric scope")
    scope.scope.version = canary("metric scope version")
    _attributes(scope.scope.attributes, "metric scope")
    gauge = scope.metrics.add(name="mark.metric", description=canary("metric description"))
    point = gauge.gauge.data_points.add(as_double=1.5, time_unix_nano=now)
    _attributes(point.attributes, "gauge")
    named = scope.metrics.add(name=f"m {canary('metric name')}")
    named.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    named.sum.is_monotonic = True
    counted = named.sum.data_points.add(as_int=1, time_unix_nano=now, start_time_unix_nano=now)
    _attributes(counted.attributes, "sum")
    _exemplar(counted, "sum", now)
    spread = scope.metrics.add(name="mark.histogram")
    spread.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    bucket = spread.histogram.data_points.add(count=1, sum=1.0, time_unix_nano=now)
    bucket.bucket_counts.extend([1, 0])
    bucket.explicit_bounds.append(5.0)
    _attributes(bucket.attributes, "histogram")
    _exemplar(bucket, "histogram", now)
    return request


def _exemplar(point: Any, place: str, now: int) -> None:
    exemplar = point.exemplars.add(as_double=1.0, time_unix_nano=now, trace_id=_TRACE)
    _attributes(exemplar.filtered_attributes, f"{place} exemplar")


def logs(now: int, service: str = "agent") -> ExportLogsServiceRequest:
    """Return log records: one with a body of text, one with a body that is a map."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="service.name").value.string_value = service
    _attributes(resource.resource.attributes, "log resource")
    scope = resource.scope_logs.add()
    scope.scope.name = canary("log scope")
    scope.scope.version = canary("log scope version")
    _attributes(scope.scope.attributes, "log scope")
    record = scope.log_records.add(time_unix_nano=now, severity_number=9)
    record.event_name = f"event {canary('log event name')}"
    record.severity_text = canary("severity text")
    record.body.string_value = f"mark-log {canary('log body')}"
    record.attributes.add(key="arguments").value.string_value = "ls /srv/private"
    record.attributes.add(key="output").value.string_value = "ls /srv/private"
    _attributes(record.attributes, "log")
    nested = scope.log_records.add(time_unix_nano=now, severity_number=9)
    _attributes(nested.body.kvlist_value.values, "log body map")
    return request
