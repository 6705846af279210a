"""What the SDK would raise for is left aside beforehand, and told by its name and value."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk import environment_variables

from otel_untether.export.sdk_settings import usable

LIMITS = [name for name in vars(environment_variables) if name.endswith("_LIMIT")]
POSITIVE = [
    f"OTEL_{processor}_{what}"
    for processor in ("BSP", "BLRP")
    for what in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE")
] + ["OTEL_METRIC_EXPORT_INTERVAL", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT"]


@pytest.mark.parametrize("name", LIMITS + POSITIVE)
@pytest.mark.parametrize("value", ["many", "-1", "nan", "1e400", "9" * 30])
def test_a_number_that_is_none_is_told_and_left_aside(name: str, value: str) -> None:
    problems: list[str] = []
    assert usable({name: value, "OTEL_SERVICE_NAME": "x"}, problems) == {"OTEL_SERVICE_NAME": "x"}
    (problem,) = problems
    assert problem.startswith(f"{name}: {value!r} is not usable, and left aside: expected ")


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", ["", " ", "0", " 5 "])
def test_a_limit_that_the_sdk_takes_stays(name: str, value: str) -> None:
    problems: list[str] = []
    assert usable({name: value}, problems) == {name: value}
    assert problems == []


@pytest.mark.parametrize("name", POSITIVE)
def test_nothing_is_no_number_where_there_must_be_some(name: str) -> None:
    problems: list[str] = []
    assert usable({name: "0"}, problems) == {}
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("queue", "batch", "sent", "told"),
    [("100", None, "100", 0), ("100", "200", "100", 1), (None, "4096", "2048", 1)],
)
def test_a_batch_is_no_larger_than_its_queue(
    queue: str | None, batch: str | None, sent: str, told: int
) -> None:
    """The SDK raises for a queue of 100, whose batches are 512 unless said otherwise."""
    problems: list[str] = []
    size = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
    given = {"OTEL_BSP_MAX_QUEUE_SIZE": queue, size: batch}
    fine = usable({name: value for name, value in given.items() if value}, problems)
    assert (fine[size], len(problems)) == (sent, told)


COMPRESSION = "OTEL_EXPORTER_OTLP_COMPRESSION"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.mark.parametrize(
    ("protocol", "value", "left", "told"),
    [
        ("grpc", "", None, ""),
        ("grpc", "none", None, ""),
        ("grpc", "GZIP ", "gzip", ""),
        ("grpc", "deflate", None, "expected one of gzip, none"),
        ("http/protobuf", "deflate", "deflate", ""),
        ("http/protobuf", "zip", None, "expected one of gzip, deflate, none"),
    ],
)
def test_each_protocol_has_its_own_compressions(
    protocol: str, value: str, left: str | None, told: str
) -> None:
    """The exporter over gRPC raises for "none", and for an empty one, and then nothing is sent."""
    problems: list[str] = []
    fine = usable({PROTOCOL: protocol, COMPRESSION: value}, problems)
    own = {fine.get(f"OTEL_EXPORTER_OTLP_{it}_COMPRESSION") for it in ("TRACES", "LOGS", "METRICS")}
    assert (own, COMPRESSION in fine) == ({left}, False)
    assert (len(problems), told in "".join(problems)) == (bool(told), True)


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_number_is_unset(value: str) -> None:
    """As OpenTelemetry has it; its exporter over gRPC raises for it."""
    problems: list[str] = []
    assert usable(dict.fromkeys(POSITIVE, value), problems) == {}
    assert problems == []


@pytest.mark.parametrize(
    ("sampler", "share", "fine", "told"),
    [
        ("ALWAYS_OFF", "", {"OTEL_TRACES_SAMPLER": "always_off"}, []),
        ("nonesuch", "", {}, ["OTEL_TRACES_SAMPLER"]),
        ("traceidratio", "2", {"OTEL_TRACES_SAMPLER": "traceidratio"}, ["OTEL_TRACES_SAMPLER_ARG"]),
    ],
)
def test_a_sampler_is_one_that_there_is(
    sampler: str, share: str, fine: dict[str, str], told: list[str]
) -> None:
    """The SDK says a word in its log, and samples everything."""
    problems: list[str] = []
    given = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": share}
    left = usable({name: value for name, value in given.items() if value}, problems)
    assert (left, [problem.partition(":")[0] for problem in problems]) == (fine, told)


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "OTEL_PYTHON_ID_GENERATOR",
    ],
)
def test_a_word_that_is_none_of_those_expected_is_told(name: str) -> None:
    problems: list[str] = []
    assert usable({name: "nonesuch"}, problems) == {}
    assert problems[0].startswith(f"{name}: 'nonesuch' is not usable, and left aside: expected one")


@given(st.dictionaries(st.sampled_from(LIMITS + POSITIVE), st.text()))
def test_no_value_is_too_odd(environ: dict[str, str]) -> None:
    problems: list[str] = []
    fine = usable(environ, problems)
    assert usable(fine, []) == fine


def test_a_program_without_the_sdk_is_none_the_worse_for_us() -> None:
    """It raises for this one as it is imported; the program's environment stays what it was."""
    program = (
        "import os; import otel_untether.instrumentors.guest; "
        "print(os.environ['OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("many\n", "")
