"""What a warning says of where there is more: runbook, debug log, last request, transcript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from otel_untether import semconv
from otel_untether.proc_diag.deep_look import TranscriptLook
from otel_untether.session import events as ev
from otel_untether.stall import StallDetector, describe
from otel_untether.watching.operator import Operator
from tests.unit.diagnosis.worlds import CONFIG, T0, S, deep, sample, samples, session, tell

if TYPE_CHECKING:
    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.session.state import SessionState
    from otel_untether.stall import Finding

MINUTE = 60.0


def warned(
    state: SessionState,
    *,
    written: float | None = None,
    config: WatchdogConfig = CONFIG,
    after: float = 301.0,
) -> Finding:
    """The first that is found about a session; its transcript was written at `written` (s)."""
    quiet = sample()
    look = deep(quiet)
    if written is not None:
        look = replace(look, transcript=TranscriptLook("/t.jsonl", 5, T0 / S + written))
    detector = StallDetector(config)
    found = (
        detector.tick(
            state,
            samples(quiet, seconds),
            T0 + round(seconds * S),
            look=lambda at=seconds: replace(look, at=at),  # type: ignore[misc]
        )
        for seconds in (after - 10, after - 5, after)
    )
    return next(finding for finding in found if finding is not None)


def test_the_runbook_of_the_cause_is_named() -> None:
    finding = warned(session())
    assert finding.attributes[semconv.STALL_RUNBOOK] == "docs/runbooks.md#wedged"
    published = CONFIG._replace(runbooks="https://runbooks.example/page")
    finding = warned(session(), config=published)
    assert finding.attributes[semconv.STALL_RUNBOOK] == "https://runbooks.example/page#wedged"


def test_the_operator_is_told_once_where_there_is_more() -> None:
    said: list[str] = []
    operator = Operator(said.append)
    finding = warned(session(debug_log="/home/u/d.log"))
    operator.found(finding)
    operator.found(replace(finding, number=2))
    assert said[0].endswith("(runbook: docs/runbooks.md#wedged; debug log: /home/u/d.log)")
    assert said[1] == describe(finding)


def test_the_last_request_that_it_told_of_is_named() -> None:
    state = tell(
        session(),
        ev.ModelMessage(at=T0, id="m1", request_id="req_011", complete=True),
        ev.ModelMessage(at=T0, id="m2", complete=True),
    )
    finding = warned(state)
    assert finding.attributes[semconv.STALL_REQUEST_ID] == "req_011"
    assert "last request req_011" in describe(finding)


@pytest.mark.parametrize(
    ("written", "grows"),
    [(None, False), (-5.0, False), (5.0, False), (100.0, True), (290.0, True)],
)
def test_a_transcript_written_since_it_fell_silent_speaks_against_a_wedge(
    written: float | None, *, grows: bool
) -> None:
    finding = warned(session(), written=written)
    assert (finding.cause != "wedged") == grows
    assert ("its transcript was written" in describe(finding)) == grows
    age = finding.attributes.get(semconv.STALL_TRANSCRIPT_AGE)
    assert age == (None if written is None else pytest.approx(301 - written))


def test_one_written_long_ago_is_no_sign_of_work() -> None:
    """Less than half of `liveness_timeout` ago is of late."""
    finding = warned(session(), written=20.0, after=400.0)
    assert finding.cause == "wedged"
