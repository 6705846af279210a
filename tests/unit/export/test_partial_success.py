"""A collector that says how much of a request it threw away, and exaggerates."""

from __future__ import annotations

import json
from types import SimpleNamespace as Level
from typing import TYPE_CHECKING

import pytest

from otel_untether.export import delivery, resend
from otel_untether.export.answers import Answer
from otel_untether.export.ledger import Ledger
from otel_untether.store.record import load_run
from tests.support.runs_on_disk import line, run_on_disk

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = "00000000000000a0", "00000000000000b0", "00000000000000c0"


def metrics(points: int) -> bytes:
    """Return a line of metrics.jsonl with so many data points."""
    data = {"dataPoints": [{"timeUnixNano": str(number), "asInt": "1"} for number in range(points)]}
    scopes = [{"metrics": [{"name": "untether.stalls", "gauge": data}]}]
    return json.dumps({"resourceMetrics": [{"scopeMetrics": scopes}]}).encode()


@pytest.mark.parametrize(
    ("rejected", "sent", "refused", "said"),
    [
        (2, 3, 2, "refused 2 of 3; refused 2 of 5 data points; refused 2 of 9 data points"),
        (7, 1, 4, "refused 3 of 3; refused 5 of 5 data points; refused 7 of 9 data points"),
        (99, 0, 5, "refused 3 of 3; refused 5 of 5 data points; refused 9 of 9 data points"),
    ],
)
def test_no_more_is_refused_than_was_sent(
    tmp_path: Path, rejected: int, sent: int, refused: int, said: str
) -> None:
    """Spans are counted one by one, metrics by the export: one that lost some points is sent."""
    folder = run_on_disk(tmp_path, traces=[line(A), line(B, A), line(C, A)], journal=[])
    (folder / "metrics.jsonl").write_bytes(metrics(5) + b"\n" + metrics(9) + b"\n")
    outcome = resend.resend(load_run(folder), lambda *_: Answer(None, rejected, "too odd"))
    assert (outcome.sent, outcome.refused) == (sent, refused)
    words = [it.removeprefix("the collector ").removesuffix(": too odd") for it in outcome.problems]
    assert "; ".join(words) == said
    again = resend.resend(load_run(folder), lambda *_: Answer())
    assert (again.sent, again.refused) == (0, refused)


def test_an_export_of_metrics_is_refused_by_its_points(tmp_path: Path) -> None:
    """Live, too: a ledger that counts more points than there were is no ledger."""
    metric = Level(data=Level(data_points=[1, 2, 3]))
    batch = Level(resource_metrics=[Level(scope_metrics=[Level(metrics=[metric])])])
    ledger = Ledger(kept=True)
    watching = delivery.Delivery(tmp_path, ledger)
    watching._note("metrics", batch, Answer(None, 99, "too odd"), kept=False)
    assert ledger.report() == ["the collector refused 3 data points (too odd)"]
