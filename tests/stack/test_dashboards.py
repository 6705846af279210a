"""Dashboards and provisioning, as far as they can be judged without Grafana."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from otel_untether import semconv
from scripts.stack.backends import CONFIG

DASHBOARDS = {p.stem: json.loads(p.read_text()) for p in CONFIG.glob("grafana/dashboards/*.json")}
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in sorted(DASHBOARDS.items())
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
# What the collector and Prometheus themselves provide.
FOREIGN = re.compile(r"otelcol_|traces_span_metrics_|up$")
UNITS = {"s": "_seconds", "By": "_bytes", "1": "_ratio", "USD": "_USD"}


def prometheus_name(metric: semconv.Metric) -> str:
    """Return what Prometheus calls a metric that comes over OTLP (its default translation)."""
    name = metric.name.replace(".", "_") + UNITS.get(metric.unit, "")
    return (
        f"{name}_total"
        if metric.instrument.endswith("counter") and ("updown" not in metric.instrument)
        else name
    )


class Datasource(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One entry of a data source file, the keys of it that Grafana documents and we use."""

    name: str
    uid: str
    type: str
    access: str
    url: str
    json_data: dict[str, Any]
    editable: bool
    is_default: bool = False


class Datasources(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: int
    prune: bool
    datasources: list[Datasource]


class Provider(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One entry of a dashboard provider file."""

    name: str
    type: str
    folder: str
    folder_uid: str
    disable_deletion: bool
    allow_ui_updates: bool
    update_interval_seconds: int
    options: dict[str, str]


class Providers(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    api_version: int
    providers: list[Provider]


def datasources() -> Datasources:
    path = CONFIG / "grafana/provisioning/datasources/datasources.yaml"
    return msgspec.yaml.decode(path.read_bytes(), type=Datasources)


def test_data_sources_fit_the_schema_and_know_each_other() -> None:
    by_uid = {source.uid: source for source in datasources().datasources}
    assert sum(source.is_default for source in by_uid.values()) == 1
    exemplars = by_uid["prometheus"].json_data["exemplarTraceIdDestinations"]
    assert {target["datasourceUid"] for target in exemplars} == {"jaeger"}
    assert by_uid["jaeger"].json_data["tracesToMetrics"]["datasourceUid"] == "prometheus"


def test_provisioning_escapes_what_is_not_a_variable() -> None:
    """Grafana expands `$name` from its environment in provisioning files, and `$$` is a dollar."""
    text = (CONFIG / "grafana/provisioning/datasources/datasources.yaml").read_text()
    assert re.findall(r"(?<!\$)\$(?!\$)", text) == []


def test_dashboards_are_provided_from_where_they_are_mounted() -> None:
    path = CONFIG / "grafana/provisioning/dashboards/dashboards.yaml"
    (provider,) = msgspec.yaml.decode(path.read_bytes(), type=Providers).providers
    assert provider.options["path"] == "/etc/grafana/dashboards"


def test_dashboards_have_the_uids_that_links_name() -> None:
    uids = {dashboard["uid"] for dashboard in DASHBOARDS.values()}
    assert uids == {"untether-fleet", "untether-session", "untether-stalls"}
    linked = set(re.findall(r"/d/([\w-]+)", (CONFIG / "jaeger/ui.json").read_text()))
    for dashboard in DASHBOARDS.values():
        linked |= set(re.findall(r"/d/([\w-]+)", json.dumps(dashboard)))
    assert linked <= uids


@pytest.mark.parametrize("panel", PANELS)
def test_panels_say_what_they_show_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    known = {source.uid for source in datasources().datasources}
    assert {target["datasource"]["uid"] for target in panel["targets"]} <= known
    if panel["type"] not in {"table", "state-timeline"}:
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_panels_do_not_overlap() -> None:
    for name, dashboard in DASHBOARDS.items():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24, (name, panel["title"])
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not taken & cells, (name, panel["title"])
            taken |= cells


def test_dashboards_and_rules_name_metrics_that_are_emitted() -> None:
    emitted = {prometheus_name(metric) for metric in semconv.METRICS.values()}
    texts = [json.dumps(dashboard) for dashboard in DASHBOARDS.values()]
    texts += [path.read_text() for path in (CONFIG / "prometheus/rules").glob("*.yaml")]
    texts.append((CONFIG / "grafana/provisioning/datasources/datasources.yaml").read_text())
    named = {
        name
        for text in texts
        for name in re.findall(r"\b(?:untether|gen_ai)_\w+(?=[\[{ )/]|$)", text)
    }
    labels = {a.name.replace(".", "_") for a in semconv.ATTRIBUTES.values()}
    assert {name for name in named if name not in labels} <= emitted
