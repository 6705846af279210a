"""What the dashboards have in common."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DashboardLinkType

TAG = "otel-untether"


def base(title: str, uid: str, since: str) -> dashboard.Dashboard:
    """Return an empty dashboard with links to the others; `since` is Grafana's `now-6h`."""
    others = dashboard.DashboardLink("Coding agents").type(DashboardLinkType.DASHBOARDS)
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags([TAG])
        .time(since, "now")
        .timezone("browser")
        .readonly()
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(others.tags([TAG]).as_dropdown(as_dropdown=True).keep_time(keep_time=True))
    )
