"""Whatever a collector does: what was made is with it or on disk, exactly, and that is told.

Each test runs the real command against a receiver that goes wrong in one way, compares what was
made with what the receiver kept and what is still on disk, then has `resend` deliver the rest to
one that works. The accounting is printed at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from otel_untether.store import run_lock
from tests.support import faults
from tests.support.faults import GRPC_FAULTS, HTTP_FAULTS, TOKEN, Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Serve = Callable[[], AbstractContextManager[Kept]]

RECORDING = Path(__file__).parents[2] / "conformance" / "recordings" / "claude" / "claude_ok.jsonl"
MADE = 19  # spans of that recording
LINE = "{:26}{:>6}{:>6}{:>13}{:>9}{:>8}  {}"
TAKEN = ("taken", "taken, no type", "taken, JSON")
SERVES: dict[str, Serve] = {
    "refuse": faults.refusing,
    "hang": faults.hanging,
    **{f"HTTP {name}": partial(faults.http_fault, it) for name, it in HTTP_FAULTS.items()},
    **{f"gRPC {name}": partial(faults.grpc_fault, it) for name, it in GRPC_FAULTS.items()},
}


class Row(NamedTuple):
    """One run's accounting."""

    name: str
    made: int
    kept: int
    thrown_away: int
    on_disk: int
    resent: int
    said: str


@pytest.fixture(scope="module")
def accounting(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """Gather rows, and print them when all is done."""
    rows: list[Row] = []
    yield rows
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    heads = ("receiver", "made", "kept", "thrown away", "on disk", "resent", "said")
    assert capture
    assert reporter
    with capture.global_and_fixture_disabled():
        for row in ((), heads, *rows):
            reporter.write_line(LINE.format(*row) if row else "")


def command(state: Path, url: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run our command for a collector at that place; return when nobody works for it any more."""
    environ = {
        "PATH": os.environ["PATH"],
        "OTEL_UNTETHER_STATE_DIR": str(state),
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={TOKEN}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        # A busy machine must not keep us from hearing what is said at the end.
        "OTEL_UNTETHER_EXIT_TIMEOUT": "60",
        **more,
    }
    result = subprocess.run(
        [sys.executable, "-m", "otel_untether", *words],
        env=environ,
        cwd=state,
        capture_output=True,
        text=True,
        check=False,
    )
    until = time.monotonic() + 90
    while any(run_lock.is_held(folder) for folder in state.glob("runs/*")):
        assert time.monotonic() < until, "somebody still holds the run"
        time.sleep(0.02)
    return result


def watch(state: Path, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Watch an agent that says what a recording has."""
    words = ("run", "--engine", "claude", "--", "cat", str(RECORDING))
    result = command(state, url, *words, **more)
    assert result.returncode == 0
    assert result.stdout == RECORDING.read_text()
    return result


def span_ids(state: Path) -> list[str]:
    """Return the ids of all spans on disk."""
    return [
        span["spanId"]
        for path in state.glob("runs/*/traces.jsonl")
        for line in path.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def settled(state: Path) -> set[str]:
    """Return the ids of spans that need not be sent any more."""
    words = [
        line.split()
        for path in state.glob("runs/*/delivered")
        for line in path.read_text().splitlines()
    ]
    return {key for signal, *keys in words if signal.partition(":")[0] == "traces" for key in keys}


def lost(state: Path) -> int:
    """Return what `untether.telemetry.lost` says, as far as it is on disk."""
    values = [0]
    for path in state.glob("runs/*/metrics.jsonl"):
        for line in path.read_text().splitlines():
            for resource in json.loads(line)["resourceMetrics"]:
                for scope in resource["scopeMetrics"]:
                    for metric in scope["metrics"]:
                        if metric["name"] == "untether.telemetry.lost":
                            points = metric["sum"]["dataPoints"]
                            values += [int(point["asInt"]) for point in points]
    return max(values)


@pytest.mark.parametrize("name", SERVES)
def test_what_was_made_is_with_the_collector_or_on_disk(
    name: str, tmp_path: Path, accounting: list[Row]
) -> None:
    """Nothing is missing, nothing is there twice, and `resend` completes it."""
    protocol = "grpc" if name.startswith("gRPC") else "http/protobuf"
    with SERVES[name]() as kept:
        told = watch(tmp_path, kept.url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol).stderr
        received = list(kept.spans)
    made, done = span_ids(tmp_path), settled(tmp_path)
    left = set(made) - done
    thrown_away = len(done) - len(received)
    with faults.http_fault(HTTP_FAULTS["taken"]) as good:
        resent = command(tmp_path, good.url, "resend")
    accounting.append(
        Row(name, len(made), len(received), thrown_away, len(left), len(good.spans), said(told))
    )
    assert (len(made), len(set(made))) == (MADE, MADE)
    assert Counter(received).keys() <= done
    assert max(Counter(received).values(), default=1) == 1
    assert thrown_away == 0 or "refused" in name
    assert sorted(good.spans) == sorted(left)
    assert resent.returncode == 0, resent.stderr
    assert " 0 left" in resent.stdout
    assert lost(tmp_path) == 0
    assert all(TOKEN not in str(headers) for _, headers in kept.elsewhere)
    assert kept.elsewhere == []
    assert said(told) or name.partition(" ")[2] in TAKEN, told
    assert not set("\x1b\x07\u202e") & set(told + resent.stderr + resent.stdout)


def test_a_collector_that_nobody_has_reason_to_trust_gets_nothing(tmp_path: Path) -> None:
    """Its certificate is its own: everything stays on disk, and that is why."""
    certificate = faults.self_signed(tmp_path)
    with faults.http_fault(HTTP_FAULTS["taken"], certificate) as kept:
        told = watch(tmp_path, kept.url).stderr
        assert (kept.requests, kept.spans) == (0, [])
    assert "not everything reached the collector: 19 spans" in told
    assert "certificate" in told.lower()
    assert len(set(span_ids(tmp_path)) - settled(tmp_path)) == MADE


def said(stderr: str) -> str:
    """Return what of a run's stderr is about delivery."""
    words = ("not everything reached", "refused", "goes on without us")
    lines = [line for line in stderr.splitlines() if any(word in line for word in words)]
    return " | ".join(line.removeprefix("otel-untether: ") for line in lines)
