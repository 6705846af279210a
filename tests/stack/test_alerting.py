"""Who is told what, with the shipped rules and the shipped Alertmanager configuration."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import Hurried, eventually, get
from tests.stack.agents import Runner, Session
from tests.stack.receiver import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STALLED = "UntetherSessionStalled"
EVERYBODY = "UntetherModelSilentFleetWide"


class Watch:
    """A stack in a hurry, its receiver, and sessions that wait for a model for ever."""

    def __init__(self, stack: Hurried, receiver: Receiver, directory: Path) -> None:
        self.stack = stack
        self.receiver = receiver
        self.directory = directory
        self.runner = Runner(stack, directory / "state")

    def silent(self) -> Session:
        """Start a session and wait until it has been warned about."""
        session = self.runner.start("--stall", "model", service="otel-untether")
        session.wait_for("waiting for the model on")
        return session

    def warnings(self) -> float:
        """Return how many warnings Prometheus has counted."""
        return self.stack.value("sum(untether_stalls_total)")

    def inhibited(self, alert: str) -> bool:
        """Whether all there is of an alert is held back by another one."""
        found = [a for a in self.stack.alerts() if a["labels"]["alertname"] == alert]
        return bool(found) and all(a["status"]["inhibitedBy"] for a in found)


@pytest.fixture
def watch(binaries: dict[str, str], tmp_path: Path) -> Iterator[Watch]:
    with receiving() as receiver, Hurried(binaries, tmp_path, receiver.url) as stack:
        state = tmp_path / "state"
        state.mkdir()
        watch = Watch(stack, receiver, tmp_path)
        yield watch
        watch.runner.end_all()


def test_one_silent_session_is_one_alert_and_the_right_one(watch: Watch) -> None:
    """However often it is warned about. Its end is told, too."""
    session = watch.silent()
    (told,) = eventually("the receiver is told", lambda: watch.receiver.told(STALLED))[:1]
    (alert,) = told["alerts"]
    assert alert["labels"]["untether_stall_cause"] == "model_silent"
    run = alert["labels"]["instance"]
    assert alert["annotations"]["dashboard_url"].endswith(f"untether-session?var-run={run}")
    assert run in alert["annotations"]["trace_url"]
    assert not {"runbooks", "grafana", "jaeger"} & alert["labels"].keys()
    eventually("there have been many warnings", lambda: watch.warnings() >= 6)
    seen = len(watch.receiver.told("UntetherDeadMansSwitch"))
    session.end()
    eventually("the end is told", lambda: watch.receiver.told(STALLED, "resolved"))
    assert watch.receiver.names() == {STALLED}
    assert seen > 0


def test_three_silent_models_are_told_once_and_hold_the_single_ones_back(watch: Watch) -> None:
    for _ in range(3):
        watch.silent()
    (told,) = eventually("the receiver is told", lambda: watch.receiver.told(EVERYBODY))[:1]
    assert told["groupLabels"] == {"alertname": EVERYBODY, "untether_engine": "claude"}
    eventually("single ones are held back", lambda: watch.inhibited(STALLED))


def test_a_dead_collector_is_no_news_of_the_watchers(watch: Watch) -> None:
    """Nobody is heard of while it is away; that is its alert, and no watcher's."""
    watch.runner.start("--stall", "approval", service="otel-untether")
    active = "untether_sessions_active > 0"
    eventually("the session is counted", lambda: watch.stack.query(active))
    watch.stack.collector.kill()
    eventually("it is told", lambda: watch.receiver.told("UntetherCollectorDown"))
    eventually("nobody is heard of", lambda: not watch.stack.query(active))
    since = watch.stack.value("vector(time())")
    eventually("rules have run since", lambda: watch.stack.value(EVALUATED) > since + 5)
    assert not watch.stack.query('ALERTS{alertname="UntetherWatcherDead"}')
    watch.stack.collector.start()
    eventually("it is told to be back", lambda: back(watch.receiver))
    eventually("the session is counted again", lambda: watch.stack.query(active))
    assert not watch.stack.query('ALERTS{alertname="UntetherWatcherDead"}')


# When the rules were last evaluated, in seconds since the epoch.
EVALUATED = "max(prometheus_rule_group_last_evaluation_timestamp_seconds)"


def back(receiver: Receiver) -> bool:
    return bool(receiver.told("UntetherCollectorDown", "resolved"))


def silence(watch: Watch) -> None:
    """Have Alertmanager hold its tongue about an alert that is none of ours."""
    minutes = [(datetime.now(UTC) + timedelta(minutes=m)).isoformat() for m in (-1, 60)]
    matcher = {"name": "alertname", "value": "Another", "isRegex": False, "isEqual": True}
    told = {"startsAt": minutes[0], "endsAt": minutes[1], "matchers": [matcher]}
    body = json.dumps(told | {"createdBy": "a test", "comment": "none"}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(silences(watch), body, headers)).close()


def silences(watch: Watch) -> str:
    return f"http://127.0.0.1:{watch.stack.ports['alertmanager']}/api/v2/silences"


def written_down(watch: Watch) -> bool:
    """Whether what was told and what is not to be told are on Alertmanager's disk."""
    log, silenced = (watch.directory / "alertmanager" / name for name in ("nflog", "silences"))
    if not (log.exists() and silenced.exists()):
        return False
    return STALLED.encode() in log.read_bytes() and b"Another" in silenced.read_bytes()


def told_once(watch: Watch, alert: str) -> bool:
    """Whether no notification of an alert says what another has said."""
    told = [
        tuple(sorted((a["fingerprint"], a["status"]) for a in each["alerts"]))
        for each in watch.receiver.told(alert)
    ]
    return len(told) == len(set(told)) > 0


def test_nobody_is_told_twice_by_an_alertmanager_that_was_killed(watch: Watch) -> None:
    """It remembers what it told, and what it is not to tell; what ended meanwhile is told."""
    session = watch.silent()
    eventually("the receiver is told", lambda: watch.receiver.told(STALLED))
    silence(watch)
    eventually("it is written down", lambda: written_down(watch))
    watch.stack.alertmanager.kill()
    watch.stack.alertmanager.start()
    assert len(get(silences(watch))) == 1
    known = {"alertname": STALLED}
    eventually(
        "it has the alert again",
        lambda: any(known.items() <= a["labels"].items() for a in watch.stack.alerts()),
    )
    watch.stack.alertmanager.kill()
    session.end()
    eventually("the alert is over", lambda: STALLED not in watch.stack.firing())
    watch.stack.alertmanager.start()
    eventually("the end is told", lambda: watch.receiver.told(STALLED, "resolved"))
    assert told_once(watch, STALLED)


def test_an_alert_that_waited_long_enough_fires_on_after_a_restart(watch: Watch) -> None:
    """Prometheus knows from its samples how long it has waited: nothing is told over or again."""
    alert = "UntetherBackendDown"
    watch.stack.jaeger.kill()
    eventually("it is told", lambda: watch.receiver.told(alert))
    watch.stack.prometheus.kill()
    watch.stack.prometheus.start()
    since = time.time()
    eventually("rules have run since", lambda: watch.stack.value(EVALUATED) > since)
    states = watch.stack.query(f'ALERTS{{alertname="{alert}"}}')
    assert [state["metric"]["alertstate"] for state in states] == ["firing"]
    watch.stack.jaeger.start()
    eventually("the end is told", lambda: watch.receiver.told(alert, "resolved"))
    assert told_once(watch, alert)


def test_jaeger_and_alertmanager_are_missed(watch: Watch) -> None:
    watch.stack.jaeger.kill()
    eventually("it is told", lambda: watch.receiver.told("UntetherBackendDown"))
    watch.stack.alertmanager.kill()
    down = 'ALERTS{alertname="UntetherBackendDown", job="alertmanager", alertstate="firing"}'
    eventually("the other one's alert fires, though nobody hears", lambda: watch.stack.query(down))
