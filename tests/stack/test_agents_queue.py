"""The collector beside the sessions keeps what it took, whatever happens to the gateways."""

from __future__ import annotations

import signal
import urllib.error
from typing import TYPE_CHECKING

import pytest

from scripts.stack.backends import eventually
from scripts.stack.measure import counter, post
from scripts.stack.scaled import ScaledStack, make_certificate
from tests.stack.test_limits import LARGE, large
from tests.stack.test_outages import send_span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.stack.backends import Stack

SPANS = 10


@pytest.fixture
def own_stack(binaries: dict[str, str], tmp_path: Path) -> Iterator[ScaledStack]:
    """An agent and a gateway that a test may break."""
    with ScaledStack(binaries, tmp_path) as running:
        yield running


def arrive(stack: Stack, trace_ids: list[str]) -> None:
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


def taken(stack: Stack) -> str | None:
    """Send a large span; its trace id, or None where it is refused so that it is sent again."""
    trace_id, body = large(LARGE["attribute"])
    try:
        post(f"{stack.endpoint()}/v1/traces", body)
    except urllib.error.HTTPError as error:
        return None if error.code == 503 else str(error)
    return trace_id


def test_a_queue_is_bounded_by_what_it_takes_on_disk(
    binaries: dict[str, str], tmp_path: Path
) -> None:
    """What finds it full is refused, so that its sender keeps it; what was taken arrives."""
    stack = ScaledStack(binaries, tmp_path)
    stack.agent.environment["OTELCOL_QUEUE_BYTES"] = "1000000"
    with stack:
        (gateway,) = stack.gateways
        gateway.kill()
        held = list(iter(lambda: taken(stack), None))
        assert 10 < len(held) < 100
        gateway.start()
        arrive(stack, held)
        arrive(stack, [send_span(stack)])


def test_a_gateway_whose_certificate_is_none_of_ours_gets_nothing(own_stack: ScaledStack) -> None:
    """What is meant for it waits for the right one."""
    (gateway,) = own_stack.gateways
    gateway.kill()
    right = {key: gateway.environment[key] for key in ("GATEWAY_CERT", "GATEWAY_KEY")}
    foreign = gateway.log.parent / "foreign"
    foreign.mkdir()
    make_certificate(foreign)
    names = {"GATEWAY_CERT": "tls.crt", "GATEWAY_KEY": "tls.key"}
    gateway.environment |= {key: str(foreign / name) for key, name in names.items()}
    gateway.start()
    sent = [send_span(own_stack) for _ in range(SPANS)]
    log = own_stack.agent.log
    eventually("it is not trusted", lambda: "certificate signed by unknown" in log.read_text())
    gateway.kill()
    gateway.environment |= right
    gateway.start()
    arrive(own_stack, sent)


def test_what_waits_for_the_gateway_is_in_the_agents_metrics(own_stack: ScaledStack) -> None:
    """Alerts on the queue see it."""
    own_stack.gateways[0].kill()
    for _ in range(SPANS):
        send_span(own_stack)
    size = 'otelcol_exporter_queue_size{exporter="load_balancing"}'
    eventually("the queue is seen to fill", lambda: own_stack.value(size) > 0)
