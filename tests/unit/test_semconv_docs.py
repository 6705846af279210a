"""The page about telemetry is what the registry says."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_untether import semconv
from scripts.semconv_docs import document, prometheus_name

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"


def test_page_is_up_to_date() -> None:
    """If not: `python -m scripts.semconv_docs > docs/telemetry.md`."""
    assert PAGE.read_text() == document()


def test_every_name_is_on_the_page() -> None:
    page = document()
    names = [*semconv.SPANS, *semconv.EVENTS, *semconv.ATTRIBUTES, *semconv.METRICS]
    assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (semconv.SESSION_IDLE, "untether_session_idle_seconds"),
        (semconv.TREE_CPU, "untether_tree_cpu_utilization_ratio"),
        (semconv.TREE_RSS, "untether_tree_memory_rss_bytes"),
        (semconv.TREE_FDS, "untether_tree_fds"),
        (semconv.TREE_IO_READ, "untether_tree_io_read_bytes_total"),
        (semconv.SESSION_STATES, "untether_session_state"),
        (semconv.SESSIONS_ACTIVE, "untether_sessions_active"),
        (semconv.STALLS, "untether_stalls_total"),
        (semconv.COST, "untether_cost_USD_total"),
        (semconv.AGENT_DURATION, "gen_ai_invoke_agent_duration_seconds"),
        (semconv.INPUT_USAGE, "gen_ai_client_inference_usage_input_tokens_total"),
    ],
)
def test_name_in_prometheus(metric: semconv.Metric, name: str) -> None:
    assert prometheus_name(metric) == name


def test_no_count_would_become_a_ratio() -> None:
    """Unit 1 makes Prometheus call a gauge a ratio."""
    ones = [name for name, metric in semconv.METRICS.items() if metric.unit == "1"]
    assert ones == ["untether.tree.cpu.utilization"]


def test_every_label_of_a_metric_is_a_registered_attribute() -> None:
    labels = {label for metric in semconv.METRICS.values() for label in metric.attributes}
    assert labels <= semconv.ATTRIBUTES.keys()
