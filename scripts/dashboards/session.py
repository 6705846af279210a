"""One session: what it was doing, what its process tree was doing, and when it went silent."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, timeseries
from grafana_foundation_sdk.models.dashboard import VariableRefresh, VariableSort

from .layout import base
from .panels import PROMETHEUS, Query, lines, number, states
from .queries import none_is_zero

RUN = '{instance="$run"}'
JAEGER_SEARCH = (
    "http://localhost:16686/search?service=otel-untether&lookback=14d&limit=20"
    "&tags=%7B%22untether.run.id%22%3A%22${run}%22%7D"
)


def _run() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("run")
        .label("Run")
        .datasource(PROMETHEUS)
        .query("label_values(untether_session_idle_seconds, instance)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_DESC)
    )


def _stall_marks() -> dashboard.AnnotationQuery:
    stalled = 'untether_session_state{instance="$run", untether_session_state="stalled"} == 1'
    return (
        dashboard.AnnotationQuery()
        .name("Stalled")
        .datasource(PROMETHEUS)
        .enable(enable=True)
        .expr(stalled)
        .icon_color("red")
        .title_format("Stalled")
        .text_format("{{untether_engine}}")
    )


def _overview(board: dashboard.Dashboard) -> None:
    board.with_panel(
        states(
            "State",
            "The state the session was in: starting, working, waiting for somebody, stalled, "
            "ended.",
            Query(f"untether_session_state{RUN} == 1", "{{untether_session_state}}"),
        )
    )
    for title, description, unit, metric, bad_from in (
        ("Idle", "Since the last line of output.", "s", "session_idle_seconds", 600),
        ("Open tools", "Tool calls without a result.", "short", "session_open_tools", None),
        ("Zombies", "Ended processes nobody waited for.", "short", "tree_zombies", 1),
    ):
        query = none_is_zero(f"max(untether_{metric}{RUN})")
        board.with_panel(number(title, description, unit, query, bad_from=bad_from).span(8))


def _curves(board: dashboard.Dashboard) -> None:
    for panel in (*_use(), *_contents()):
        board.with_panel(panel)


def _use() -> tuple[timeseries.Panel, ...]:
    """How silent it is, and what it uses."""
    return (
        lines(
            "Idle",
            "Seconds since the last line of output.",
            "s",
            Query(f"untether_session_idle_seconds{RUN}", "idle"),
        ),
        lines(
            "Processor",
            "Cores used by the whole process tree.",
            "none",
            Query(f"untether_tree_cpu_utilization_ratio{RUN}", "cores"),
        ),
        lines(
            "Memory",
            "Resident memory of the whole process tree; shared pages count once a process.",
            "bytes",
            Query(f"untether_tree_memory_rss_bytes{RUN}", "resident"),
        ),
        lines(
            "TCP connections",
            "The tree's own sockets, by state.",
            "short",
            Query(f"untether_tree_tcp_connections{RUN}", "{{network_connection_state}}"),
        ),
        lines(
            "Since data was received",
            "Since any established connection of the tree last received data.",
            "s",
            Query(f"untether_tree_tcp_receive_age_seconds{RUN}", "receive age"),
        ),
    )


def _contents() -> tuple[timeseries.Panel, ...]:
    """What the process tree consists of, and holds open."""
    return (
        lines(
            "Processes and threads",
            "Members of the process tree.",
            "short",
            Query(f"untether_tree_processes{RUN}", "processes"),
            Query(f"untether_tree_threads{RUN}", "threads"),
            Query(f"untether_tree_zombies{RUN}", "zombies"),
        ),
        lines(
            "File descriptors",
            "Open in the whole process tree.",
            "short",
            Query(f"untether_tree_fds{RUN}", "descriptors"),
        ),
        lines(
            "Input and output",
            "Bytes a second the tree read and wrote by system calls, pipes and sockets included.",
            "Bps",
            Query(f"rate(untether_tree_io_read_bytes_total{RUN}[$__rate_interval])", "read"),
            Query(f"rate(untether_tree_io_write_bytes_total{RUN}[$__rate_interval])", "written"),
        ),
    )


def board() -> dashboard.Dashboard:
    """Return the dashboard of one session, chosen by its run id."""
    result = base("Coding agents: session", "untether-session", "now-1h")
    result.with_variable(_run()).annotation(_stall_marks())
    trace = dashboard.DashboardLink("Trace").url(JAEGER_SEARCH).target_blank(target_blank=True)
    result.link(trace.tooltip("The traces of this run, in Jaeger"))
    _overview(result)
    _curves(result)
    return result
