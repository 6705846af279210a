"""Metrics of all sessions together: names, labels, and counts that are neither lost nor doubled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from otel_untether import semconv
from otel_untether.kill.killer import KillReport, Survivor
from otel_untether.metrics import MAX_NAMES, OTHER, FleetMetrics, Names
from otel_untether.session.activity import Activity, Closed, Noted, Opened
from otel_untether.session.events import Usage
from otel_untether.session.outcome import Outcome
from otel_untether.session.state import SessionState
from otel_untether.stall import Decision, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 10**9


class Fleet:
    """Fleet metrics and what they have counted."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.metrics = FleetMetrics(self.provider)

    def collected(self) -> dict[str, Any]:
        """Return the metrics there are, by name."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def values(self, metric: semconv.Metric) -> dict[tuple[tuple[str, str], ...], float]:
        """Return the values, or the counts, of a metric by its labels."""
        found = self.collected().get(metric.name)
        points = found.data.data_points if found else ()
        return {
            tuple(sorted(point.attributes.items())): (
                point.count if hasattr(point, "count") else point.value
            )
            for point in points
        }


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A fleet without sessions."""
    fleet = Fleet()
    yield fleet
    fleet.provider.shutdown()


def session(engine: str = "claude") -> SessionState:
    """Make a session."""
    return SessionState("run-1", 1000 * SECOND, engine=engine)


def tool(name: str = "Bash", **changes: Any) -> Closed:
    """Make a tool that ran for two seconds."""
    activity = Activity("tool", "call-1", name, 1000 * SECOND, end=1002 * SECOND)
    for field, value in changes.items():
        setattr(activity, field, value)
    return Closed(activity)


def finding(kind: Any = "stall", decision: Decision | None = None) -> Finding:
    """Make a finding about a silent model."""
    return Finding(kind, "model_silent", 2000 * SECOND, 1000 * SECOND, decision=decision)


def test_session_is_active_until_its_end(fleet: Fleet) -> None:
    metrics = fleet.metrics.session(session())
    label = (("untether.engine", "claude"),)
    assert fleet.values(semconv.SESSIONS_ACTIVE) == {label: 1}
    metrics.end(Outcome("completed"), 1060 * SECOND)
    assert fleet.values(semconv.SESSIONS_ACTIVE) == {label: 0}


def test_session_that_turns_out_to_be_another_engine_s_moves_there(fleet: Fleet) -> None:
    state = session("unknown")
    metrics = fleet.metrics.session(state)
    state.engine = "codex"
    metrics.tick()
    assert fleet.values(semconv.SESSIONS_ACTIVE) == {
        (("untether.engine", "unknown"),): 0,
        (("untether.engine", "codex"),): 1,
    }
    metrics.end(Outcome("completed"), 1060 * SECOND)
    assert set(fleet.values(semconv.SESSIONS_ACTIVE).values()) == {0}


def test_tool_that_ends_before_the_first_tick_is_that_of_the_engine(fleet: Fleet) -> None:
    state = session("unknown")
    metrics = fleet.metrics.session(state)
    state.engine = "codex"
    metrics.changed([tool()])
    (point,) = fleet.collected()[semconv.TOOL_DURATION.name].data.data_points
    assert point.attributes["untether.engine"] == "codex"


def test_duration_of_a_session_is_in_seconds_with_its_outcome(fleet: Fleet) -> None:
    fleet.metrics.session(session()).end(Outcome("failed", "rate_limit"), 1060 * SECOND)
    (point,) = fleet.collected()[semconv.AGENT_DURATION.name].data.data_points
    assert (point.count, point.sum) == (1, 60)
    assert point.attributes == {
        "untether.engine": "claude",
        "gen_ai.agent.name": "claude",
        "untether.session.outcome": "failed",
        "error.type": "rate_limit",
    }


def test_buckets_reach_to_sessions_of_hours(fleet: Fleet) -> None:
    fleet.metrics.session(session()).end(Outcome("completed"), 1060 * SECOND)
    (point,) = fleet.collected()[semconv.AGENT_DURATION.name].data.data_points
    assert point.explicit_bounds == semconv.SECONDS
    assert max(point.explicit_bounds) == 4 * 3600


def test_tool_that_ended_is_counted_with_its_duration(fleet: Fleet) -> None:
    metrics = fleet.metrics.session(session())
    metrics.changed([Opened(tool().activity), tool(error="1"), Noted("x", 1, {})])
    (point,) = fleet.collected()[semconv.TOOL_DURATION.name].data.data_points
    assert (point.count, point.sum) == (1, 2)
    assert point.attributes == {
        "untether.engine": "claude",
        "gen_ai.tool.name": "Bash",
        "gen_ai.tool.type": "function",
        "error.type": "1",
    }


@pytest.mark.parametrize("changes", [{"reason": "killed"}, {"end": None}, {"kind": "chat"}])
def test_what_is_no_tool_whose_end_was_seen_has_no_duration(
    fleet: Fleet, changes: dict[str, Any]
) -> None:
    fleet.metrics.session(session()).changed([tool(**changes)])
    assert fleet.values(semconv.TOOL_DURATION) == {}


def test_tool_names_are_bounded(fleet: Fleet) -> None:
    """An agent may invent tools, and MCP servers bring thousands."""
    metrics = fleet.metrics.session(session())
    metrics.changed([tool(f"mcp__{number}") for number in range(3 * MAX_NAMES)])
    names = [dict(labels)["gen_ai.tool.name"] for labels in fleet.values(semconv.TOOL_DURATION)]
    assert len(names) == MAX_NAMES + 1
    assert OTHER in names


def test_name_that_came_early_keeps_its_name() -> None:
    names = Names(limit=1)
    assert [names.name(name) for name in ("a", "b", "a")] == ["a", OTHER, "a"]


def test_stall_warning_is_counted_by_cause(fleet: Fleet) -> None:
    metrics = fleet.metrics.session(session())
    for kind in ("stall", "stall", "recovered", "liveness", "waiting"):
        metrics.found(finding(kind))
    labels = (("untether.engine", "claude"), ("untether.stall.cause", "model_silent"))
    assert fleet.values(semconv.STALLS)[labels] == 2


def test_what_every_session_may_have_is_zero_before_it_happens(fleet: Fleet) -> None:
    fleet.metrics.session(session())
    assert set(fleet.values(semconv.TELEMETRY_LOST).values()) == {0}
    assert list(fleet.values(semconv.KILL_SURVIVED).values()) == [0]
    assert fleet.values(semconv.STALLS) == {}


def test_unknown_engine_announces_nothing_until_it_is_known(fleet: Fleet) -> None:
    state = session("unknown")
    metrics = fleet.metrics.session(state)
    assert fleet.values(semconv.KILL_SURVIVED) == {}
    state.engine = "pi"
    metrics.tick()
    assert list(fleet.values(semconv.KILL_SURVIVED).values()) == [0]


def test_veto_is_counted_with_what_spoke_against_the_kill_first(fleet: Fleet) -> None:
    metrics = fleet.metrics.session(session())
    metrics.found(finding("veto", Decision("veto", ("connections", "cpu"), (), 0, 0.0)))
    metrics.found(finding("kill", Decision("dry-run", (), (), 3, 600.0)))
    vetoes = {
        dict(labels)["untether.kill.veto"]: count
        for labels, count in fleet.values(semconv.KILL_VETOED).items()
    }
    assert vetoes == {"connections": 1, "dry-run": 1}
    assert fleet.values(semconv.KILLS) == {}


def test_kill_is_counted_when_it_was_carried_out(fleet: Fleet) -> None:
    metrics = fleet.metrics.session(session())
    metrics.found(finding("kill", Decision("kill", (), (), 3, 600.0)))
    survivor = Survivor(7, "node")
    metrics.killed("wedged", KillReport(survivors=(survivor,)))
    metrics.killed("wedged", KillReport(refused="the journal cannot be written"))
    labels = (("untether.engine", "claude"), ("untether.stall.cause", "wedged"))
    assert fleet.values(semconv.KILLS)[labels] == 1
    assert list(fleet.values(semconv.KILL_SURVIVED).values()) == [1]


def test_running_totals_are_counted_by_their_growth(fleet: Fleet) -> None:
    state = session()
    state.model = "opus"
    metrics = fleet.metrics.session(state)
    for total in (100, 100, 250):
        state.usage = Usage(input=total, output=None)
        state.cost_usd = total / 100
        metrics.tick()
    metrics.end(Outcome("completed"), 1060 * SECOND)
    labels = (("gen_ai.request.model", "opus"), ("untether.engine", "claude"))
    assert fleet.values(semconv.INPUT_USAGE) == {labels: 250}
    assert fleet.values(semconv.OUTPUT_USAGE) == {}
    assert list(fleet.values(semconv.COST).values()) == [2.5]


def test_total_that_goes_back_is_not_counted_again(fleet: Fleet) -> None:
    """The engine's own total may be below the sum of its messages that stood in for it."""
    state = session()
    metrics = fleet.metrics.session(state)
    for total in (100, 60, 120):
        state.usage = Usage(input=total)
        metrics.tick()
    assert list(fleet.values(semconv.INPUT_USAGE).values()) == [120]


def test_lines_not_understood_are_counted_apart(fleet: Fleet) -> None:
    state = session()
    metrics = fleet.metrics.session(state)
    state.events, state.stray_lines = 10, 3
    metrics.tick()
    state.events, state.stray_lines = 20, 4
    metrics.tick()
    assert list(fleet.values(semconv.EVENTS_DECODED).values()) == [16]
    assert list(fleet.values(semconv.EVENTS_UNKNOWN).values()) == [4]


def test_what_should_not_happen_is_counted_by_its_kind(fleet: Fleet) -> None:
    state = session()
    metrics = fleet.metrics.session(state)
    for _ in range(2):
        state.odd("result_without_call")
        metrics.tick()
    metrics.end(Outcome("completed"), 1060 * SECOND)
    labels = (("untether.engine", "claude"), ("untether.oddity", "result_without_call"))
    assert fleet.values(semconv.ODDITIES_COUNTED) == {labels: 2}


def test_lost_telemetry_is_counted_by_signal(fleet: Fleet) -> None:
    fleet.metrics.lost("traces", 3)
    labels = (("untether.telemetry.signal", "traces"),)
    assert fleet.values(semconv.TELEMETRY_LOST)[labels] == 3


def test_metrics_are_what_the_registry_says(fleet: Fleet) -> None:
    """Name, unit, description and labels, of every fleet metric and in both directions."""
    state = session()
    state.model, state.cost_usd = "opus", 1.0
    state.usage = Usage(input=1, output=1, cache_read=1, cache_write=1, reasoning=1)
    state.odd("result_without_call")
    metrics = fleet.metrics.session(state)
    metrics.changed([tool(error="1")])
    metrics.found(finding("stall"))
    metrics.found(finding("veto", Decision("veto", ("cpu",), (), 0, 0.0)))
    metrics.killed("wedged", KillReport())
    metrics.end(Outcome("failed", "x"), 1060 * SECOND)
    found = fleet.collected()
    registered = {
        name: metric
        for name, metric in semconv.METRICS.items()
        if not metric.instrument.startswith("observable")
    }
    assert found.keys() == registered.keys()
    for name, metric in registered.items():
        assert (found[name].unit, found[name].description) == (metric.unit, metric.brief)
        labels = {key for point in found[name].data.data_points for key in point.attributes}
        assert labels == set(metric.attributes)


def test_ten_thousand_sessions_make_no_more_series_than_one(fleet: Fleet) -> None:
    for _ in range(10_000):
        metrics = fleet.metrics.session(session())
        metrics.changed([tool()])
        metrics.end(Outcome("completed"), 1060 * SECOND)
    assert len(fleet.values(semconv.AGENT_DURATION)) == 1
    assert list(fleet.values(semconv.SESSIONS_ACTIVE).values()) == [0]
    assert list(fleet.values(semconv.TOOL_DURATION).values()) == [10_000]


def test_provider_that_does_nothing_will_do() -> None:
    metrics = FleetMetrics(NoOpMeterProvider()).session(session())
    metrics.changed([tool()])
    metrics.end(Outcome("completed"), 1060 * SECOND)
