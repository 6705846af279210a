"""Which exporters the environment asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_untether.export.environment import SIGNALS, Plan, endpoint, plan, protocol

INSTALLED = {signal: {"otlp", "console", "untether_file"} for signal in SIGNALS}
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


def planned(environ: dict[str, str], *, files: bool = True) -> Plan:
    """Plan with the usual exporters installed."""
    return plan(environ, INSTALLED, files=files)


def exporters(found: Plan) -> tuple[str, ...]:
    """Return what traces, logs and metrics go to."""
    return tuple(found.variables[f"OTEL_{signal.upper()}_EXPORTER"] for signal in SIGNALS)


def test_with_nothing_set_only_metrics_need_an_exporter() -> None:
    """Traces and logs are in the run's files in any case."""
    assert exporters(planned({})) == ("none", "none", "untether_file")
    assert exporters(planned({}, files=False)) == ("none", "none", "none")


def test_an_endpoint_is_for_all_signals() -> None:
    """Nothing else has to be set."""
    found = planned({ENDPOINT: "http://localhost:4318"})
    assert exporters(found) == ("otlp", "otlp", "otlp")
    assert found.otlp == set(SIGNALS)
    assert found.problems == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"OTEL_LOGS_EXPORTER": "otlp"}, "http://localhost:4318"),
        ({"OTEL_LOGS_EXPORTER": "console, otlp", PROTOCOL: "grpc"}, "http://localhost:4317"),
        ({"OTEL_LOGS_EXPORTER": "otlp_proto_grpc"}, "http://localhost:4317"),
        ({"OTEL_LOGS_EXPORTER": "otlp", ENDPOINT: "http://h:1"}, "http://h:1"),
        ({"OTEL_LOGS_EXPORTER": "none"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None),
    ],
)
def test_an_otlp_exporter_that_is_asked_for_has_its_default_endpoint(
    environ: dict[str, str], expected: str | None
) -> None:
    """The SDK sends there, so `resend` and `doctor` have to as well."""
    assert endpoint(environ, "logs") == expected


def test_an_empty_variable_is_unset() -> None:
    """As OpenTelemetry has it."""
    empty = {ENDPOINT: " ", "OTEL_TRACES_EXPORTER": "", PROTOCOL: ""}
    assert exporters(planned(empty)) == exporters(planned({}))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:4318", "http/protobuf"),
        ("http://localhost:4317", "grpc"),
        ("localhost:4317", "grpc"),
        ("https://collector.example", "http/protobuf"),
        ("http://[::1]:4317/", "grpc"),
        ("http://localhost:port", "http/protobuf"),
        ("http://[", "http/protobuf"),
    ],
)
def test_an_endpoint_suggests_its_protocol(url: str, expected: str) -> None:
    """4317 is gRPC's port; everything else is the specification's default."""
    assert protocol({ENDPOINT: url}, "traces") == expected


def test_a_protocol_that_is_set_is_the_protocol() -> None:
    """A signal's own before the common one, either before the port."""
    environ = {
        ENDPOINT: "http://localhost:4317",
        PROTOCOL: "http/protobuf",
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc",
    }
    assert [protocol(environ, signal) for signal in SIGNALS] == [
        "http/protobuf",
        "grpc",
        "http/protobuf",
    ]


def test_an_unknown_exporter_is_named_and_its_neighbours_stay() -> None:
    """With the variable, and what there is."""
    found = planned({"OTEL_TRACES_EXPORTER": "zipkin, console"})
    assert exporters(found)[0] == "console"
    (problem,) = found.problems
    assert "OTEL_TRACES_EXPORTER" in problem
    assert "'zipkin'" in problem
    assert "console, otlp" in problem


def test_a_bad_protocol_keeps_the_signal_for_later() -> None:
    """It is meant for a collector, so that `resend` finds it."""
    found = planned({ENDPOINT: "http://h:1", PROTOCOL: "smoke"})
    assert exporters(found) == ("none", "none", "untether_file")
    assert found.otlp == set(SIGNALS)
    assert all("smoke" in problem for problem in found.problems)


@given(st.dictionaries(st.sampled_from([ENDPOINT, PROTOCOL, "OTEL_TRACES_EXPORTER"]), st.text()))
def test_any_values_give_a_plan_the_sdk_can_carry_out(environ: dict[str, str]) -> None:
    """Only installed exporters and known protocols are left."""
    found = planned(environ)
    for value in exporters(found):
        assert {*value.split(",")} <= {"none", "otlp", "console", "untether_file"}
    for key, value in found.variables.items():
        assert not key.endswith("PROTOCOL") or value in ("grpc", "http/protobuf")
