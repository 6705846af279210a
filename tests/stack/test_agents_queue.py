"""The collector beside the sessions keeps what it took, whatever happens to the gateways."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import eventually
from scripts.stack.measure import counter
from scripts.stack.scaled import ScaledStack
from tests.stack.test_outages import send_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPANS = 10


@pytest.fixture
def own_stack(binaries: dict[str, str], tmp_path: Path) -> Iterator[ScaledStack]:
    """An agent and a gateway that a test may break."""
    with ScaledStack(binaries, tmp_path) as running:
        yield running


def arrive(stack: ScaledStack, trace_ids: list[str]) -> None:
    for trace_id in trace_ids:
        eventually(f"trace {trace_id} is in Jaeger", lambda: stack.trace(trace_id))  # noqa: B023


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_traces_outlive_an_agent_that_ends_while_the_gateway_is_away(
    own_stack: ScaledStack, how: signal.Signals
) -> None:
    (gateway,) = own_stack.gateways
    gateway.kill()
    sent = [send_span(own_stack) for _ in range(SPANS)]
    own_stack.agent.end(how)
    gateway.start()
    own_stack.agent.start()
    arrive(own_stack, sent)


def test_traces_wait_for_a_gateway_whose_name_is_not_known_yet(own_stack: ScaledStack) -> None:
    """A headless service without a ready pod has no address."""
    agent = own_stack.agent
    agent.kill()
    known = agent.environment["GATEWAY_HOST"]
    agent.environment["GATEWAY_HOST"] = "gateway.invalid"
    agent.start()
    sent = [send_span(own_stack) for _ in range(SPANS)]
    agent.kill()
    agent.environment["GATEWAY_HOST"] = known
    agent.start()
    arrive(own_stack, sent)


def test_a_sidecar_that_is_given_its_time_leaves_nothing_behind(own_stack: ScaledStack) -> None:
    """Told to stop it keeps its queue: so the manifest has it wait first, and go on sending."""
    (gateway,) = own_stack.gateways
    gateway.kill()
    sent = [send_span(own_stack) for _ in range(SPANS)]
    gateway.start()
    arrive(own_stack, sent)
    queued = "otelcol_exporter_queue_size"
    eventually("its queue is empty", lambda: not counter(own_stack, queued))


def test_what_waits_for_the_gateway_is_in_the_agents_metrics(own_stack: ScaledStack) -> None:
    """Alerts on the queue see it."""
    own_stack.gateways[0].kill()
    for _ in range(SPANS):
        send_span(own_stack)
    size = 'otelcol_exporter_queue_size{exporter="load_balancing"}'
    eventually("the queue is seen to fill", lambda: own_stack.value(size) > 0)
