"""Panels as this project likes them: one data source, a description, a unit, no decoration."""

from __future__ import annotations

from typing import NamedTuple

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    DataSourceRef,
    GraphDrawStyle,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
JAEGER = DataSourceRef(type_val="jaeger", uid="jaeger")
SESSION_LINK = "/d/untether-session?var-run={run}&${{__url_time_range}}"
# Counted things are shown in buckets of at least this, well above the export interval.
COUNT_INTERVAL = "5m"


class Query(NamedTuple):
    """PromQL and what its series are called; `legend` may name labels in double braces."""

    expr: str
    legend: str = ""


def _target(query: Query, ref: str, *, instant: bool = False) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expr).ref_id(ref)
    target = target.legend_format(query.legend or "__auto")
    return target.instant() if instant else target.range().exemplar(exemplar=True)


def _refs(queries: tuple[Query, ...], *, instant: bool = False) -> list[prometheus.Dataquery]:
    return [_target(q, chr(ord("A") + i), instant=instant) for i, q in enumerate(queries)]


def _thresholds(bad_from: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="text" if bad_from is None else "green")]
    if bad_from is not None:
        steps.append(Threshold(value=bad_from, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def number(
    title: str, description: str, unit: str, query: str, *, bad_from: float | None = None
) -> stat.Panel:
    """Return one large number, red from `bad_from` on."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .with_target(_target(Query(query), "A", instant=True))
        .thresholds(_thresholds(bad_from))
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none")
        .height(4)
        .span(3)
    )


def lines(title: str, description: str, unit: str, *queries: Query) -> timeseries.Panel:
    """Return curves over time; where there are no samples there is no line."""
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .targets(list(_refs(queries)))
        .min(0)
        .line_width(1)
        .fill_opacity(5)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .height(8)
        .span(12)
    )


def counts(title: str, description: str, *queries: Query) -> timeseries.Panel:
    """Return stacked bars of how many there were in each interval."""
    return (
        lines(title, description, "short", *queries)
        .draw_style(GraphDrawStyle.BARS)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        .interval(COUNT_INTERVAL)
        .fill_opacity(70)
        .decimals(0)
    )


def ranking(title: str, description: str, unit: str, *queries: Query) -> bargauge.Panel:
    """Return one bar a series, for what was in the whole range."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .targets(list(_refs(queries, instant=True)))
        .min(0)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(None))
        .height(8)
        .span(8)
    )


def states(title: str, description: str, *queries: Query) -> statetimeline.Panel:
    """Return a coloured band a series."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .targets(list(_refs(queries)))
        .merge_values(merge_values=True)
        .height(6)
        .span(24)
    )


def rows(title: str, description: str, *queries: Query, names: dict[str, str]) -> table.Panel:
    """Return a table: the queries joined on `instance`, columns renamed, the rest left out.

    `names` gives label or "Value #A" (the first query's value) to the column's title, in the
    order of the columns.
    """
    targets = [t.format(PromQueryFormat.TABLE) for t in _refs(queries, instant=True)]
    options: dict[str, object] = {
        "renameByName": names,
        "indexByName": {name: i for i, name in enumerate(names)},
    }
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .targets(list(targets))
        .with_transformation(
            DataTransformerConfig(id_val="joinByField", options={"byField": "instance"})
        )
        .with_transformation(
            DataTransformerConfig(
                id_val="filterFieldsByName", options={"include": {"names": list(names)}}
            )
        )
        .with_transformation(DataTransformerConfig(id_val="organize", options=options))
        .filterable(filterable=True)
        .height(9)
        .span(24)
    )


def column(panel: table.Panel, name: str, **properties: object) -> table.Panel:
    """Set properties (`unit`, `links`, …) of one column, by its title."""
    values = [DynamicConfigValue(id_val=key, value=value) for key, value in properties.items()]
    return panel.override_by_name(name, values)


def link(title: str, url: str) -> dict[str, object]:
    """Return a data link, as a column's `links` want it."""
    return {"title": title, "url": url, "targetBlank": False}
