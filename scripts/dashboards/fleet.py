"""The fleet at a glance: who runs, who is stuck, what ended how, and is anybody watching."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, stat, table

from .layout import base
from .panels import SESSION_LINK, Query, column, counts, lines, link, number, ranking, rows
from .queries import count, histogram_count, live, none_is_zero, quantile, some

SESSIONS = 'gen_ai_invoke_agent_duration_seconds{untether_session_outcome!=""}'
TOOLS = "gen_ai_execute_tool_duration_seconds"
TOKENS = "gen_ai_client_inference_usage"
STATE = "untether_session_state"
IDLE = "untether_session_idle_seconds"
INTERVAL = "$__interval"


def _in_state(state: str) -> str:
    return none_is_zero(f'count({STATE}{{untether_session_state="{state}"}} == 1)')


def _now(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Now"))
    for panel in (*_standing(), *_happened()):
        board.with_panel(panel)


def _standing() -> tuple[stat.Panel, ...]:
    """How things stand at this moment."""
    return (
        number(
            "Running",
            "Sessions whose agent process is alive.",
            "short",
            none_is_zero("sum(untether_sessions_active)"),
        ),
        number(
            "Stalled",
            "Running sessions that have been silent for longer than anything explains.",
            "short",
            _in_state("stalled"),
            bad_from=1,
        ),
        number(
            "Waiting for a human",
            "Running sessions that asked for an approval or an answer.",
            "short",
            _in_state("waiting"),
        ),
        number(
            "Longest idle",
            "The longest silence of any running session.",
            "s",
            none_is_zero(f"max{live(IDLE)}"),
            bad_from=600,
        ),
    )


def _happened() -> tuple[stat.Panel, ...]:
    """What has happened in the time range."""
    return (
        number(
            "Stalls",
            "Stall warnings in the time range.",
            "short",
            none_is_zero(count("untether_stalls_total")),
        ),
        number(
            "Kills",
            "Sessions killed by their watcher in the time range.",
            "short",
            none_is_zero(count("untether_kills_total")),
        ),
        number(
            "Survivors",
            "Processes that outlived a kill in the time range.",
            "short",
            none_is_zero(count("untether_kill_survivors_total")),
            bad_from=1,
        ),
        number(
            "Telemetry lost",
            "Spans, points and log records that no collector took, in the time range.",
            "short",
            none_is_zero(count("untether_telemetry_lost_total")),
            bad_from=1,
        ),
    )


def _running() -> table.Panel:
    """The table of running sessions."""
    running = rows(
        "Running sessions",
        "One row a session; the run opens its own dashboard.",
        Query(live(IDLE)),
        Query(f"sum by (instance) {live('untether_tree_cpu_utilization_ratio')}"),
        Query(f"sum by (instance) {live('untether_tree_memory_rss_bytes')}"),
        Query(f"sum by (instance) {live('untether_tree_processes')}"),
        Query(f"sum by (instance) {live('untether_session_open_tools')}"),
        names={
            "instance": "Run",
            "untether_engine": "Engine",
            "host_name": "Host",
            "Value #A": "Idle",
            "Value #B": "CPU",
            "Value #C": "Memory",
            "Value #D": "Processes",
            "Value #E": "Open tools",
        },
    )
    run = SESSION_LINK.format(run="${__value.raw}")
    columns: dict[str, dict[str, object]] = {
        "Run": {"links": [link("Session", run)]},
        "Idle": {"unit": "s"},
        "CPU": {"unit": "none", "decimals": 2},
        "Memory": {"unit": "bytes"},
    }
    for name, properties in columns.items():
        column(running, name, **properties)
    return running


def _sessions(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Sessions")).with_panel(_running())
    board.with_panel(
        counts(
            "Ended, by outcome",
            "Sessions that ended in each interval.",
            Query(
                histogram_count(SESSIONS, "untether_session_outcome", window=INTERVAL),
                "{{untether_session_outcome}}",
            ),
        )
    )
    board.with_panel(
        lines(
            "Idle",
            "Silence of the running sessions: the longest and the middle one.",
            "s",
            Query(f"max{live(IDLE)}", "longest"),
            Query(f"quantile(0.5, {live(IDLE)})", "median"),
        )
    )


def _stalls(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Stalls and kills"))
    board.with_panel(
        counts(
            "Stalls, by cause",
            "Stall warnings given in each interval.",
            Query(
                some(count("untether_stalls_total", "untether_stall_cause", window=INTERVAL)),
                "{{untether_stall_cause}}",
            ),
        )
    )
    board.with_panel(
        counts(
            "Stalls, by engine",
            "Stall warnings given in each interval.",
            Query(
                some(count("untether_stalls_total", "untether_engine", window=INTERVAL)),
                "{{untether_engine}}",
            ),
        )
    )


def _kills(board: dashboard.Dashboard) -> None:
    kills, vetoes = count("untether_kills_total"), count("untether_kill_vetoes_total")
    board.with_panel(
        ranking(
            "Kill funnel",
            "From sessions that were long silent to processes that outlived the kill. A veto "
            "is evidence of life, or a fact that is not known.",
            "short",
            Query(f"({none_is_zero(kills)}) + ({none_is_zero(vetoes)})", "candidates"),
            Query(none_is_zero(vetoes), "vetoed"),
            Query(none_is_zero(kills), "killed"),
            Query(none_is_zero(count("untether_kill_survivors_total")), "survivors"),
        ).span(12)
    )
    board.with_panel(
        ranking(
            "Outcomes",
            "How the sessions of the time range ended.",
            "short",
            Query(
                histogram_count(SESSIONS, "untether_session_outcome"),
                "{{untether_session_outcome}}",
            ),
        ).span(12)
    )


def _work(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Work and cost"))
    board.with_panel(
        ranking(
            "Session duration, 95th percentile",
            "Spawn to exit.",
            "s",
            Query(quantile(0.95, SESSIONS, "untether_engine"), "{{untether_engine}}"),
        )
    )
    board.with_panel(
        ranking(
            "Tool duration, 95th percentile",
            "Call to result, by tool.",
            "s",
            Query(quantile(0.95, TOOLS, "gen_ai_tool_name"), "{{gen_ai_tool_name}}"),
        )
    )
    board.with_panel(
        ranking(
            "Cost",
            "US dollars, as the engines report it; not every engine does.",
            "currencyUSD",
            Query(count("untether_cost_USD_total", "untether_engine"), "{{untether_engine}}"),
        )
    )
    board.with_panel(
        counts(
            "Tokens",
            "Input includes what was read from a cache.",
            Query(count(f"{TOKENS}_input_tokens_total", window=INTERVAL), "input"),
            Query(count(f"{TOKENS}_output_tokens_total", window=INTERVAL), "output"),
        ).span(24)
    )


def _health(board: dashboard.Dashboard) -> None:
    board.with_row(dashboard.Row("Telemetry health"))
    unknown = count("untether_events_unknown_total", "untether_engine", window=INTERVAL)
    decoded = count("untether_events_decoded_total", "untether_engine", window=INTERVAL)
    board.with_panel(
        lines(
            "Events not understood",
            "Share of an engine's events that no decoder knows. A rise means a new version.",
            "percentunit",
            Query(f"{unknown} / ({unknown} + {decoded})", "{{untether_engine}}"),
        ).interval("5m")
    )
    board.with_panel(
        lines(
            "Collector queue",
            "Share of the sending queue in use. It is on disk and outlives an outage.",
            "percentunit",
            Query(
                "max by (exporter) (otelcol_exporter_queue_size) "
                "/ max by (exporter) (otelcol_exporter_queue_capacity)",
                "{{exporter}}",
            ),
        )
    )


def board() -> dashboard.Dashboard:
    """Return the fleet dashboard."""
    board = base("Coding agents: fleet", "untether-fleet", "now-6h")
    for section in (_now, _sessions, _stalls, _kills, _work, _health):
        section(board)
    return board
