"""Sessions through an agent's collector, Kafka, two gateways and Jaeger into OpenSearch."""

from __future__ import annotations

import os
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from scripts.stack.backends import Backend, eventually, get, text_at
from scripts.stack.measure import post
from tests.stack.agents import COMMAND, Runner, Session

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.stack.scaled import FleetStack

SESSIONS = 100 if os.environ.get("SOAK") else 20
A_SESSION = 19  # spans of the scripted agent, and a stall where a busy machine holds it up


def spans_of(fleet: FleetStack, session: Session) -> list[dict[str, Any]]:
    return fleet.spans_of(session.service)


def whole(fleet: FleetStack, session: Session) -> bool:
    """Whether all of its spans are there, each once."""
    spans = spans_of(fleet, session)
    ids = [span["spanId"] for span in spans]
    assert len(ids) == len(set(ids)), "a span is shown twice"
    return len(ids) == A_SESSION + session.warnings


def resend(fleet: FleetStack, state: Path) -> bool:
    """Send what the agent's collector had not taken when it was killed."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": fleet.endpoint(),
        "OTEL_UNTETHER_STATE_DIR": str(state),
    }
    command = [COMMAND, "resend"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(f"resend, {result.returncode}: {result.stdout}{result.stderr}")
    return result.returncode == 0


def send(fleet: FleetStack, spans: int, size: int, age: float = 0) -> str:
    """Send one trace of `spans` spans with `size` bytes that nothing compresses; its id.

    :param age: how long ago it was, in seconds.
    """
    request = ExportTraceServiceRequest()
    part = request.resource_spans.add()
    part.resource.attributes.add(key="service.name").value.string_value = "scale"
    scope = part.scope_spans.add()
    trace_id, now = os.urandom(16), time.time_ns() - int(age * 1e9)
    for _ in range(spans):
        span = scope.spans.add(name="work", trace_id=trace_id, span_id=os.urandom(8))
        span.start_time_unix_nano, span.end_time_unix_nano = now - 10**9, now
        noise = random.Random(0).randbytes(size // 2).hex()
        span.attributes.add(key="noise").value.string_value = noise
    post(f"{fleet.endpoint()}/v1/traces", request.SerializeToString())
    return trace_id.hex()


def shown(fleet: FleetStack, trace_id: str, spans: int) -> None:
    """Wait until a trace is in Jaeger with all of its spans."""
    eventually(f"{spans} spans are in Jaeger", lambda: len(fleet.trace(trace_id)) == spans)


def again(backend: Backend) -> None:
    """Kill it, and start it again."""
    backend.kill()
    backend.start()


def test_no_span_is_lost_though_everybody_on_the_way_is_killed(
    fleet: FleetStack, tmp_path: Path
) -> None:
    """Both gateways, which also moves their partitions; the broker twice; the agent's collector."""
    runner = Runner(fleet, tmp_path)
    first, second = fleet.gateways
    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(runner.run) for _ in range(SESSIONS)]
        for number, backend in enumerate((first, fleet.kafka, second, fleet.kafka, fleet.agent), 1):
            due = number * SESSIONS // 6
            eventually("it is time", lambda: sum(job.done() for job in jobs) >= due)  # noqa: B023
            again(backend)
        sessions = [job.result() for job in jobs]
    assert [session.process.returncode for session in sessions] == [0] * SESSIONS
    eventually("nothing is left with the sessions", lambda: resend(fleet, tmp_path))
    for session in sessions:
        eventually("all spans are in Jaeger", lambda: whole(fleet, session))  # noqa: B023


def test_a_gateway_takes_over_from_one_that_stops(fleet: FleetStack) -> None:
    first, second = fleet.gateways
    first.stop()
    shown(fleet, send(fleet, 5, 100), 5)
    first.start()
    second.stop()
    shown(fleet, send(fleet, 5, 100), 5)
    second.start()


def test_what_nobody_can_read_stops_no_partition(fleet: FleetStack) -> None:
    """Kafka's own producer puts garbage into every partition."""
    fleet.produce("otlp_spans", [f"garbage {number}" for number in range(40)])
    for _ in range(8):
        shown(fleet, send(fleet, 1, 100), 1)


def test_a_trace_larger_than_kafkas_usual_record_passes(fleet: FleetStack) -> None:
    shown(fleet, send(fleet, 40, 30_000), 40)


def test_jaegers_absence_stops_no_partition(fleet: FleetStack) -> None:
    fleet.jaeger.kill()
    sent = [send(fleet, 2, 100) for _ in range(8)]
    fleet.jaeger.start()
    for trace_id in sent:
        shown(fleet, trace_id, 2)


def test_opensearchs_absence_loses_nothing(fleet: FleetStack) -> None:
    """While Jaeger stays: what it has acknowledged and not stored is in its memory only."""
    fleet.opensearch.kill()
    sent = [send(fleet, 2, 100) for _ in range(8)]
    fleet.opensearch.start()
    for trace_id in sent:
        shown(fleet, trace_id, 2)


def refused(fleet: FleetStack) -> float:
    """Return how many records OpenSearch has refused, by Jaeger's count."""
    page = text_at(f"http://127.0.0.1:{fleet.ports['jaeger_metrics']}/metrics")
    name = "jaeger_storage_bulk_index_errors_total{"
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


def test_opensearch_whose_disk_is_full_loses_nothing_while_jaeger_stays(fleet: FleetStack) -> None:
    """Jaeger has acknowledged it, keeps it in memory, and counts what is refused."""
    shown(fleet, send(fleet, 1, 100), 1)
    before = refused(fleet)
    fleet.flood(full=True)
    sent = [send(fleet, 2, 100) for _ in range(4)]
    eventually("it is refused", lambda: refused(fleet) > before)
    fleet.flood(full=False)
    for trace_id in sent:
        shown(fleet, trace_id, 2)


def test_what_jaeger_acknowledged_and_lost_is_read_from_kafka_again(fleet: FleetStack) -> None:
    """And what it has already is shown once all the same."""
    shown(fleet, earlier := send(fleet, 2, 100), 2)
    since = time.time() - 60
    before = refused(fleet)
    fleet.flood(full=True)
    sent = [send(fleet, 2, 100) for _ in range(4)]
    eventually("it is refused", lambda: refused(fleet) > before)
    fleet.jaeger.kill()
    fleet.flood(full=False)
    fleet.jaeger.start()
    for gateway in fleet.gateways:
        gateway.stop()
    fleet.rewind(since)
    for gateway in fleet.gateways:
        gateway.start()
    for trace_id in (earlier, *sent):
        shown(fleet, trace_id, 2)


def test_gateways_and_agent_start_though_kafka_is_away(fleet: FleetStack) -> None:
    """Kafka first, then they: none of them needs it to begin."""
    fleet.kafka.kill()
    sent = [send(fleet, 2, 100) for _ in range(4)]
    for backend in (*fleet.gateways, fleet.agent):
        again(backend)
    sent += [send(fleet, 2, 100) for _ in range(4)]
    fleet.kafka.start()
    for trace_id in sent:
        shown(fleet, trace_id, 2)


@pytest.mark.parametrize("days", [0, 10])
def test_a_trace_is_found_by_its_id_for_two_weeks(fleet: FleetStack, days: int) -> None:
    shown(fleet, send(fleet, 1, 100, age=days * 86400), 1)


def test_there_is_an_index_a_day_under_the_name_that_the_documentation_gives(
    fleet: FleetStack,
) -> None:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    shown(fleet, send(fleet, 1, 100), 1)
    assert f"jaeger-span-{day}" in get(f"{fleet.opensearch_url}/_alias")


def test_how_far_behind_the_gateways_are_is_a_metric(fleet: FleetStack) -> None:
    """Of whichever gateway has the partition."""
    shown(fleet, send(fleet, 1, 100), 1)
    ports = [fleet.ports[f"gateway_metrics_{number}"] for number in range(2)]
    eventually(
        "a gateway says how far behind it is",
        lambda: any(
            "otelcol_kafka_receiver_offset_lag" in text_at(f"http://127.0.0.1:{port}/metrics")
            for port in ports
        ),
    )
