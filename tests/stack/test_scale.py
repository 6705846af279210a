"""Agent collector and sampling gateway, for real: what is kept, and when it is seen."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from scripts.stack.backends import eventually
from scripts.stack.scaled import ScaledStack
from tests.stack.agents import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def runner(binaries: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Sessions against a gateway that keeps nothing without a reason."""
    directory = tmp_path_factory.mktemp("scaled")
    with ScaledStack(
        binaries,
        directory,
        "scale/gateway-sampling.yaml",
        OTELCOL_KEEP_PERCENT="0",
        OTELCOL_DECISION_WAIT="60s",
    ) as stack:
        runner = Runner(stack, directory / "state")
        runner.directory.mkdir()
        yield runner
        runner.end_all()


def names(spans: list[dict[str, Any]]) -> list[str]:
    return [span["name"] for span in spans]


def test_a_stalled_session_is_seen_at_once_and_kept_whole(runner: Runner) -> None:
    session = runner.start("--stall", "model")
    spans_of = runner.stack.spans_of
    eventually(
        "the stall is in Jaeger", lambda: "untether.stall" in names(spans_of(session.service))
    )
    assert set(names(spans_of(session.service))) == {"untether.stall", "untether.session.started"}
    session.end()
    spans = eventually(
        "the whole trace is in Jaeger",
        lambda: (s := spans_of(session.service)) and "invoke_agent claude" in names(s) and s,
    )
    by_id = {span["spanId"] for span in spans}
    assert len(by_id) == len(spans)
    assert {span.get("parentSpanId", "") for span in spans} <= by_id | {""}
    assert names(spans).count("execute_tool Bash") == 2
    assert names(spans).count("untether.session.started") == 1


def test_of_a_session_without_fault_only_the_marker_is_kept(runner: Runner) -> None:
    session = runner.run(agent=("true",))
    page = f"http://127.0.0.1:{runner.stack.ports['gateway_metrics_0']}/metrics"

    def decided() -> bool:
        with urllib.request.urlopen(page) as response:
            metrics = response.read().decode()
        return bool(re.search(r"global_count_traces_sampled\S*{[^}]*sampled=\"false\"", metrics))

    eventually("the gateway has decided against a trace", decided)
    assert names(runner.stack.spans_of(session.service)) == ["untether.session.started"]


def test_a_session_with_an_error_is_kept(runner: Runner) -> None:
    session = runner.run()
    eventually(
        "the trace with a failed tool is in Jaeger",
        lambda: "invoke_agent claude" in names(runner.stack.spans_of(session.service)),
    )
