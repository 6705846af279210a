"""The stalls: how many, of which cause, in which engine, and each one with its trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import dashboard, table
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import VariableRefresh

from .layout import base
from .panels import JAEGER, PROMETHEUS, Query, counts, number, ranking
from .queries import count, none_is_zero, some

STALLS = 'untether_stalls_total{untether_stall_cause=~"$cause", untether_engine=~"$engine"}'


@dataclass
class JaegerSearch(Dataquery):
    """A search in Jaeger; the foundation SDK has no model of it."""

    operation: str
    service: str = "otel-untether"
    limit: int = 100
    tags: str = ""
    ref_id: str = "A"
    datasource: dict[str, str] = field(default_factory=lambda: {"type": "jaeger", "uid": "jaeger"})

    def to_json(self) -> dict[str, Any]:
        """Return the query as Grafana's Jaeger data source keeps it."""
        return {
            "datasource": self.datasource,
            "limit": self.limit,
            "operation": self.operation,
            "queryType": "search",
            "refId": self.ref_id,
            "service": self.service,
            "tags": self.tags,
        }


class _Search(Builder[Dataquery]):
    def __init__(self, operation: str) -> None:
        self._query = JaegerSearch(operation)

    def build(self) -> Dataquery:
        return self._query


def _choice(name: str, label: str, of: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(f"label_values(untether_stalls_total, {of})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(include_all=True)
        .multi(multi=True)
        .all_value(".*")
    )


def _last_stalls() -> table.Panel:
    return (
        table.Panel()
        .title("Last stalls")
        .description(
            "Traces with a stall in them. The span `untether.stall` carries the cause and the "
            "evidence; it is exported while the session is still silent."
        )
        .datasource(JAEGER)
        .targets([_Search("untether.stall")])
        .height(12)
        .span(24)
    )


def board() -> dashboard.Dashboard:
    """Return the dashboard of stalls."""
    result = base("Coding agents: stalls", "untether-stalls", "now-24h")
    result.with_variable(_choice("cause", "Cause", "untether_stall_cause"))
    result.with_variable(_choice("engine", "Engine", "untether_engine"))
    for panel in (
        number(
            "Stalls",
            "Stall warnings in the time range.",
            "short",
            none_is_zero(count(STALLS)),
        )
        .span(8)
        .height(8),
        ranking(
            "By cause",
            "In the time range.",
            "short",
            Query(some(count(STALLS, "untether_stall_cause")), "{{untether_stall_cause}}"),
        ),
        ranking(
            "By engine",
            "In the time range.",
            "short",
            Query(some(count(STALLS, "untether_engine")), "{{untether_engine}}"),
        ),
        counts(
            "Over time, by cause",
            "Stall warnings given in each interval.",
            Query(
                some(count(STALLS, "untether_stall_cause", window="$__interval")),
                "{{untether_stall_cause}}",
            ),
        ).span(24),
        _last_stalls(),
    ):
        result.with_panel(panel)
    return result
