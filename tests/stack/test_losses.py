"""Telemetry that is really lost raises the shipped alert."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from scripts.stack.backends import eventually
from tests.stack.agents import AGENT, COMMAND, PATIENT
from tests.support import faults

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.backends import Stack


def test_a_session_whose_spans_are_nowhere_raises_the_alert(stack: Stack, tmp_path: Path) -> None:
    """No folder can be made for the run, and nobody listens where its spans should go."""
    blocked = tmp_path / "a file"
    blocked.touch()
    with faults.refusing() as nobody:
        result = subprocess.run(
            [COMMAND, "run", *PATIENT, "--", *AGENT],
            env=os.environ
            | {
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.endpoint(),
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{nobody.url}/v1/traces",
                "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2",
                "OTEL_METRIC_EXPORT_INTERVAL": "1000",
                "OTEL_UNTETHER_STATE_DIR": str(blocked / "state"),
            },
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    (said,) = (line for line in result.stderr.splitlines() if "lost: " in line)
    spans = int(said.partition("lost: ")[2].split()[0])
    assert spans > 0
    of_traces = 'sum(untether_telemetry_lost_total{untether_telemetry_signal="traces"})'
    assert eventually("the loss is counted", lambda: stack.value(of_traces) == spans)
    alert = 'ALERTS{alertname="UntetherTelemetryLost", alertstate="firing"}'
    assert eventually("the alert fires", lambda: stack.query(alert))
    others = 'sum(untether_telemetry_lost_total{untether_telemetry_signal!="traces"})'
    assert stack.value(others) == 0
