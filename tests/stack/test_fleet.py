"""Every query of every panel and rule, against what fifty real sessions left in Prometheus."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from scripts.stack.backends import CONFIG, Stack, eventually, get
from tests.stack.agents import Runner, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARDS = {p.stem: json.loads(p.read_text()) for p in CONFIG.glob("grafana/dashboards/*.json")}
HEALTHY, STALLED, KILLED = 40, 5, 5
SERVICE = "otel-untether"  # the package's own default: fleets share it
NO_ANSWER = "waiting for the model on"
SUMMARY = re.compile(r"^\S+ (?P<outcome>[a-z]+)\b.* in [\d.]+ s", re.MULTILINE)
# Panels that have nothing to show unless something went wrong that here did not.
QUIET = {"Events not understood", "Collector queue", "Cost"}


@dataclass
class Fleet:
    """Fifty sessions that ended, what they said of themselves, one that waited, two that run on."""

    stack: Stack
    ended: list[Session]
    gone: Session
    stalled: Session
    waiting: Session

    @property
    def outcomes(self) -> Counter[str]:
        """How they ended, by their own summaries."""
        summaries = [SUMMARY.search(session.errors) for session in self.ended]
        return Counter(summary["outcome"] for summary in summaries if summary)

    @property
    def warnings(self) -> int:
        """Stall warnings that were printed, one a line."""
        sessions = (*self.ended, self.gone, self.stalled, self.waiting)
        return sum(session.warnings for session in sessions)


def end_after_a_warning(runner: Runner) -> Session:
    """Run a session into one stall warning, or two, and end it as its user would."""
    session = runner.start("--stall", "model", service=SERVICE)
    session.wait_for(NO_ANSWER)
    session.end()
    return session


def run_into_a_kill(runner: Runner) -> Session:
    """Run a session that its watcher ends."""
    return runner.run("--stall", "wedged", service=SERVICE, OTEL_UNTETHER_STALL_AUTO_KILL="true")


@pytest.fixture(scope="module")
def fleet(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    with Stack(binaries, directory) as stack:
        runner = Runner(stack, directory / "state")
        runner.directory.mkdir()
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(runner.run, service=SERVICE) for _ in range(HEALTHY)]
            jobs += [pool.submit(end_after_a_warning, runner) for _ in range(STALLED)]
            jobs += [pool.submit(run_into_a_kill, runner) for _ in range(KILLED)]
            ended = [job.result() for job in jobs]
        stalled = runner.start("--stall", "model", OTEL_UNTETHER_STALL_REPEAT_SECONDS="600")
        waiting = runner.start("--stall", "approval")
        gone = runner.start("--stall", "approval")
        fleet = Fleet(stack, ended, gone, stalled, waiting)
        eventually("the live sessions are known", lambda: known(fleet, stalled, waiting, gone))
        stalled.wait_for(NO_ANSWER)
        gone.end()
        yield fleet
        runner.end_all()


def idle_of(fleet: Fleet, session: Session) -> list[dict[str, Any]]:
    """Return the idle time of a session that has a service name of its own."""
    return fleet.stack.query(f'untether_session_idle_seconds{{service_name="{session.service}"}}')


def known(fleet: Fleet, *sessions: Session) -> bool:
    """Whether there are enough samples of each session for a rate."""
    rate = 'rate(untether_tree_io_read_bytes_total{{service_name="{}"}}[1m])'
    return all(fleet.stack.query(rate.format(session.service)) for session in sessions)


def run_of(fleet: Fleet, session: Session) -> str:
    (series,) = idle_of(fleet, session)
    return str(series["metric"]["instance"])


def expression(fleet: Fleet, text: str) -> str:
    """Fill in what Grafana would."""
    for variable, value in {
        "$__range": "1h",
        "$__interval": "5m",
        "$__rate_interval": "1m",
        "$run": run_of(fleet, fleet.stalled),
        "$cause": ".*",
        "$engine": ".*",
    }.items():
        text = text.replace(variable, value)
    return text


def panel(dashboard: str, title: str) -> dict[str, Any]:
    (found,) = [p for p in DASHBOARDS[dashboard]["panels"] if p["title"] == title]
    result: dict[str, Any] = found
    return result


def shown(fleet: Fleet, dashboard: str, title: str, label: str = "") -> dict[str, float]:
    """Return what a panel shows, by one label of its series."""
    return {
        series["metric"].get(label, ""): float(series["value"][1])
        for target in panel(dashboard, title)["targets"]
        for series in fleet.stack.query(expression(fleet, target["expr"]))
    }


PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, dashboard in sorted(DASHBOARDS.items())
    for panel in dashboard["panels"]
    if panel.get("datasource", {}).get("type") == "prometheus"
]


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_has_data(fleet: Fleet, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        result = fleet.stack.query(expression(fleet, target["expr"]))
        assert result or panel["title"] in QUIET, target["expr"]


def test_the_fleet_says_exactly_how_many(fleet: Fleet) -> None:
    silent = [s.errors for s in fleet.ended if not SUMMARY.search(s.errors)]
    assert silent == [], "every session has a summary"
    outcomes = fleet.outcomes + Counter(terminated=1)  # the one that is gone
    assert shown(fleet, "fleet", "Outcomes", "untether_session_outcome") == dict(outcomes)
    assert shown(fleet, "fleet", "Kills") == {"": KILLED}
    assert shown(fleet, "fleet", "Survivors") == {"": 0}
    # Those that live on may have warned since they last exported.
    eventually(
        "every warning is counted",
        lambda: shown(fleet, "fleet", "Stalls") == {"": fleet.warnings},
    )
    by_cause = shown(fleet, "stalls", "By cause", "untether_stall_cause")
    assert sum(by_cause.values()) == fleet.warnings
    assert by_cause["model_silent"] >= STALLED + 1
    assert shown(fleet, "fleet", "Telemetry lost") == {"": 0}


def test_the_fleet_knows_who_runs_stalls_and_waits(fleet: Fleet) -> None:
    def now() -> bool:
        return (
            shown(fleet, "fleet", "Running") == {"": 2}
            and shown(fleet, "fleet", "Stalled") == {"": 1}
            and shown(fleet, "fleet", "Waiting for a human") == {"": 1}
        )

    eventually("two run, of which one is stalled and one waits", now)
    assert 2 < shown(fleet, "fleet", "Longest idle")[""] < 3600


def test_a_session_shows_its_process_tree_in_sane_units(fleet: Fleet) -> None:
    def of(title: str) -> dict[str, float]:
        return shown(fleet, "session", title)

    assert 0 <= of("Processor")[""] < 0.5
    assert 4 << 20 < of("Memory")[""] < 1 << 30
    assert 3 <= of("File descriptors")[""] < 200
    states = shown(fleet, "session", "TCP connections", "network_connection_state")
    assert states.get("ESTABLISHED", states.get("established")) == 1
    assert 1 < of("Since data was received")[""] < 3600
    assert shown(fleet, "session", "State", "untether_session_state") == {"stalled": 1}


def test_every_rule_is_evaluated_and_the_stall_fires(fleet: Fleet) -> None:
    def evaluated() -> bool:
        return all(rule["health"] == "ok" for rule in fleet.stack.rules())

    eventually("every rule has been evaluated", evaluated)

    def firing() -> bool:
        alert = 'ALERTS{alertname="UntetherSessionStalled", alertstate="firing"}'
        runs = {series["metric"]["instance"] for series in fleet.stack.query(alert)}
        return run_of(fleet, fleet.stalled) in runs and run_of(fleet, fleet.waiting) not in runs

    eventually("the stalled session fires, the waiting one does not", firing)
    often = 'ALERTS{alertname="UntetherKillRate", alertstate="firing"}'
    eventually("five kills are too many", lambda: fleet.stack.query(often))
    assert not fleet.stack.query('ALERTS{alertname="UntetherKillSurvivors"}')
    assert not fleet.stack.query('ALERTS{alertname="UntetherWatcherDead", alertstate="firing"}')


def monitor_link() -> dict[str, str]:
    """Return what our menu entry of Jaeger's Monitor tab asks for."""
    menu = json.loads((CONFIG / "jaeger/ui.json").read_text())["menu"]
    (link,) = [entry["url"] for entry in menu if entry["url"].startswith("/monitor?")]
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(link).query))


def test_jaegers_monitor_tab_has_its_figures_by_our_link(fleet: Fleet) -> None:
    """Jaeger computes them from the span metrics in Prometheus."""

    def latencies() -> list[float]:
        answer = get(
            f"http://127.0.0.1:{fleet.stack.ports['jaeger_http']}/api/metrics/latencies",
            **monitor_link(),
            quantile="0.95",
            groupByOperation="true",
            endTs=str(int(time.time() * 1000)),
            lookback="3600000",
            step="60000",
            ratePer="600000",
        )
        points = [p for metric in answer["metrics"] for p in metric["metricPoints"]]
        values = [float(point["gaugeValue"]["doubleValue"]) for point in points]
        return [value for value in values if value > 0]

    found = eventually("Jaeger has latencies of a session's spans", latencies)
    assert 1000 < max(found) < 3_600_000, "sessions take seconds, and this is in milliseconds"


def test_an_ended_session_is_gone(fleet: Fleet) -> None:
    gone = f'service_name="{fleet.gone.service}"'
    ended = f'last_over_time(untether_session_state{{{gone}, untether_session_state="ended"}}[1h])'
    last = eventually("its last export says that it ended", lambda: fleet.stack.query(ended))
    assert last[0]["value"][1] == "1"
    table = panel("fleet", "Running sessions")["targets"][0]["expr"]
    running = {s["metric"]["instance"] for s in fleet.stack.query(expression(fleet, table))}
    assert last[0]["metric"]["instance"] not in running
    eventually(
        "its series are gone",
        lambda: not fleet.stack.query(f"untether_session_idle_seconds{{{gone}}}"),
    )
