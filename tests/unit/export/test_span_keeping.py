"""When ended spans are kept: each at once, or a few of a replay together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import set_span_in_context

from otel_untether.export.keeping import SpanKeeper, SpanKeeping
from otel_untether.export.ledger import Ledger
from otel_untether.export.sdk_processors import span_processor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class Noting(SpanKeeper):
    """Notes the names of what it is given at once, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__(None, None, Ledger(kept=False))
        self.batches: list[list[str]] = []
        self.closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> bool:
        self.batches.append([span.name for span in spans])
        return super().export(spans)

    def shutdown(self) -> None:
        self.closed = True


def ended(keeping: SpanKeeping, count: int, **options: object) -> TracerProvider:
    """Return a provider whose first spans, named by their numbers, have ended below an open one."""
    provider = TracerProvider(shutdown_on_exit=False, **options)  # type: ignore[arg-type]
    provider.add_span_processor(span_processor(keeping))
    tracer = provider.get_tracer("test")
    open_one = set_span_in_context(tracer.start_span("root"))
    for number in range(count):
        tracer.start_span(str(number), open_one).end()
    return provider


def test_a_live_span_is_kept_the_moment_it_ends() -> None:
    keeper = Noting()
    ended(SpanKeeping(keeper), 3)
    assert keeper.batches == [["0"], ["1"], ["2"]]


def test_a_replays_spans_are_kept_some_together() -> None:
    keeper = Noting()
    ended(SpanKeeping(keeper, replay=True, most=2), 5)
    assert keeper.batches == [["0", "1"], ["2", "3"]]


def test_live_spans_that_end_together_are_kept_together_and_the_next_ones_at_once() -> None:
    keeper = Noting()
    keeping = SpanKeeping(keeper)
    with keeping.together():
        provider = ended(keeping, 2)
        assert keeper.batches == []
    assert keeper.batches == [["0", "1"]]
    provider.get_tracer("test").start_span("later").end()
    assert keeper.batches == [["0", "1"], ["later"]]


def test_what_ends_together_is_kept_though_it_ends_with_an_error() -> None:
    keeper = Noting()
    keeping = SpanKeeping(keeper)

    def fail() -> None:
        with keeping.together():
            ended(keeping, 1)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert keeper.batches == [["0"]]


def test_a_flush_keeps_what_has_ended_so_far() -> None:
    keeper = Noting()
    provider = ended(SpanKeeping(keeper, replay=True, most=2), 3)
    assert provider.force_flush()
    assert provider.force_flush()
    assert keeper.batches == [["0", "1"], ["2"]]


def test_a_roots_end_keeps_all_of_its_trace() -> None:
    keeper = Noting()
    ended(SpanKeeping(keeper, replay=True, most=9), 2).get_tracer("test").start_span("root").end()
    assert keeper.batches == [["0", "1", "root"]]


def test_the_end_keeps_the_rest_and_closes_the_file() -> None:
    keeper = Noting()
    ended(SpanKeeping(keeper, replay=True, most=9), 2).shutdown()
    assert keeper.batches == [["0", "1"]]
    assert keeper.closed


def test_what_is_not_sampled_is_not_kept() -> None:
    keeper = Noting()
    ended(SpanKeeping(keeper), 2, sampler=ALWAYS_OFF).shutdown()
    assert keeper.batches == []


def test_what_goes_wrong_in_keeping_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Noting):
        def export(self, spans: Sequence[ReadableSpan]) -> bool:
            raise ValueError(f"{len(spans)} too many")

    ended(SpanKeeping(Failing()), 1)
    assert "spans were not kept" in caplog.text
