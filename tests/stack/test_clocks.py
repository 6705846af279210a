"""Machines whose clocks are wrong: they are told of, and nobody takes them for dead."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from otel_untether import semconv
from scripts.stack.backends import Hurried, eventually
from scripts.stack.measure import attribute, post
from tests.stack.receiver import Receiver, receiving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEHIND, AHEAD = -400.0, 1200.0  # seconds; Prometheus believes what is ten minutes ahead


def active(instance: str, skew: float) -> bytes:
    """Return a watcher's word that it watches one session, by its own clock."""
    request = ExportMetricsServiceRequest()
    part = request.resource_metrics.add()
    attribute(part.resource.attributes.add(), "service.name", "otel-untether")
    attribute(part.resource.attributes.add(), "service.instance.id", instance)
    told = semconv.SESSIONS_ACTIVE
    metric = part.scope_metrics.add().metrics.add(name=told.name, unit=told.unit)
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    point = metric.sum.data_points.add(as_int=1)
    point.time_unix_nano = time.time_ns() + int(skew * 1e9)
    return request.SerializeToString()


@contextmanager
def saying(stack: Hurried, instance: str, skew: float) -> Iterator[None]:
    """Have a watcher say every second what it watches, until the block ends."""
    over = threading.Event()

    def say() -> None:
        while not over.wait(1):
            post(f"{stack.endpoint()}/v1/metrics", active(instance, skew))

    with ThreadPoolExecutor(1) as pool:
        said = pool.submit(say)
        try:
            yield
        finally:
            over.set()
            said.result()


@pytest.fixture
def told(binaries: dict[str, str], tmp_path: Path) -> Iterator[tuple[Hurried, Receiver]]:
    with receiving() as receiver, Hurried(binaries, tmp_path, receiver.url) as stack:
        yield stack, receiver


def test_a_clock_that_is_behind_is_told_of_and_its_watcher_is_not_dead(
    told: tuple[Hurried, Receiver],
) -> None:
    """Once it says nothing more, it is: with its last word, in whatever past."""
    stack, receiver = told
    with saying(stack, "behind", BEHIND), saying(stack, "in time", 0):
        eventually("it is told", lambda: receiver.told("UntetherClockBehind"))
        assert "UntetherWatcherDead" not in receiver.names()
    dead = eventually("both are dead", lambda: receiver.told("UntetherWatcherDead"))
    assert dead
    (alert,) = receiver.told("UntetherClockBehind")[0]["alerts"]
    assert alert["labels"]["instance"] == "behind"


def test_what_is_too_far_ahead_to_be_believed_is_told_of(told: tuple[Hurried, Receiver]) -> None:
    stack, receiver = told
    with saying(stack, "ahead", AHEAD):
        eventually("it is told", lambda: receiver.told("UntetherPointsDropped"))
