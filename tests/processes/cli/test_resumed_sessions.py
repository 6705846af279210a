"""A session that is continued: told by the engine's own id, linked, and counted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RECORDINGS = Path(__file__).parents[2] / "conformance" / "recordings" / "claude"
PLAIN = RECORDINGS / "claude_429.jsonl"  # one answer, then a result: $0.00444
OTEL_UNTETHER = [sys.executable, "-m", "otel_untether"]
QUICK = {
    "STALL_TIMEOUT": "0.4",
    "POST_RESULT_TIMEOUT": "0.4",
    "LIVENESS_TIMEOUT": "0.8",
    "STARTUP_TIMEOUT": "5",
    "SAMPLE_INTERVAL": "0.2",
    "KILL_GRACE": "0.5",
    "KILL_CONFIRMATIONS": "2",
}


# However late the observer was.
UNTIL_WARNED = (
    'cd "$OTEL_UNTETHER_STATE_DIR"; n=0; '
    "until grep -qs untether.stall.warning runs/*/journal.jsonl || [ $n -gt 100 ]; do "
    "n=$((n + 1)); sleep 0.1; done"
)


class Machine:
    """One machine's state directory, and the runs on it in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, script: str, **settings: str) -> dict[str, Any]:
        """Run a script as if it were Claude; return the root span."""
        before = set(self.path.glob("runs/*"))
        variables = {f"OTEL_UNTETHER_{key}": value for key, value in settings.items()}
        environment = {
            "PATH": os.environ["PATH"],
            "OTEL_UNTETHER_STATE_DIR": str(self.path),
            "OTEL_UNTETHER_EXIT_TIMEOUT": "30",
        }
        subprocess.run(
            [*OTEL_UNTETHER, "run", "--engine", "claude", "--", "sh", "-c", script],
            env={**environment, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
        (run,) = set(self.path.glob("runs/*")) - before
        spans = [
            span
            for line in (run / "traces.jsonl").read_text().splitlines()
            for resource in json.loads(line)["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]
        (root,) = (span for span in spans if not span.get("parentSpanId"))
        root["values"] = {
            item["key"]: next(iter(item["value"].values())) for item in root["attributes"]
        }
        return dict(root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def doubled() -> str:
    """What the engine prints when the session is resumed: totals that go on."""
    return f'sed \'s/"total_cost_usd":0.00444/"total_cost_usd":0.00888/\' {PLAIN}'


def test_the_first_run_of_a_session_is_not_resumed(machine: Machine) -> None:
    root = machine.run(f"cat {PLAIN}")
    assert "untether.session.resumed" not in root["values"]
    assert not root.get("links")


def test_a_resumed_session_links_to_its_predecessor(machine: Machine) -> None:
    first = machine.run(f"cat {PLAIN}")
    second = machine.run(f"cat {PLAIN}")
    assert second["values"]["untether.session.resumed"] is True
    assert second["values"]["untether.session.tainted"] is False
    (link,) = second["links"]
    assert (link["traceId"], link["spanId"]) == (first["traceId"], first["spanId"])
    assert second["traceId"] != first["traceId"]


def test_its_past_is_not_paid_for_twice(machine: Machine) -> None:
    """Claude's cost goes on from where the session's last process stopped."""
    first = machine.run(f"cat {PLAIN}")
    second = machine.run(doubled())
    assert first["values"]["untether.session.cost_usd"] == pytest.approx(0.00444)
    assert second["values"]["untether.session.cost_usd"] == pytest.approx(0.00444)


def test_a_session_that_stalled_and_was_killed_is_tainted_when_resumed(machine: Machine) -> None:
    """The same session resumed tends to stall at once: its context is tainted."""
    killing = {**QUICK, "STALL_AUTO_KILL": "true", "KILL_CAUSES": "wedged,exit_limbo"}
    killed = machine.run(f"cat {PLAIN}; sleep 60", **killing)
    assert killed["values"]["untether.session.outcome"] == "killed"
    resumed = machine.run(f"cat {PLAIN}")
    assert resumed["values"]["untether.session.tainted"] is True


def test_a_session_that_only_stalled_is_tainted_too(machine: Machine) -> None:
    machine.run(f"cat {PLAIN}; {UNTIL_WARNED}", **QUICK)
    resumed = machine.run(f"cat {PLAIN}")
    assert resumed["values"]["untether.session.tainted"] is True
