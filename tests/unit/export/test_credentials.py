"""Headers are read as OpenTelemetry reads them, and their values are shown nowhere."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from otel_untether.export import text
from otel_untether.export.credentials import read_headers, secrets
from otel_untether.export.sdk_settings import usable

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}


@pytest.fixture(autouse=True)
def nothing_hidden() -> None:
    """What earlier tests had hidden is none of these."""
    text._hidden.clear()


@given(st.text(st.sampled_from('ab=,% \t-"\\;\x01\xe9\u2100Z12')) | st.text())
def test_what_stays_is_what_opentelemetry_reads_without_a_word(given_headers: str) -> None:
    logger = logging.getLogger("opentelemetry.util.re")
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    setattr(handler, "emit", said.append)  # noqa: B010  what mypy calls an assignment to a method
    logger.addHandler(handler)
    try:
        fine = [it for it in read_headers(given_headers, grpc=False) if not it.problem]
        read = parse_env_headers(",".join(it.text for it in fine), liberal=True)
    finally:
        logger.removeHandler(handler)
    assert said == []
    assert read == {it.name: it.value for it in fine}


@pytest.mark.parametrize("variable", [HEADERS, "OTEL_EXPORTER_OTLP_LOGS_HEADERS"])
@pytest.mark.parametrize(
    ("given_headers", "named"),
    [
        ("authorization=Bearer SECR\xe9T", "header 'authorization' is to be URL-encoded"),
        ('authorization={"t": "SECRET"}', "header 'authorization' is to be URL-encoded"),
        ("authorization=SECRET%0A", None),
        ("authorization=SEC%0ARET", "header 'authorization' cannot be sent"),
        ("authorization=SEC%C3%A9RET%E2%84%80", "header 'authorization' cannot be sent"),
        ("Authorization: Bearer SECRET", "its header 1 is not of the form name=value"),
        ("x=y,SECRET", "its header 2 is not of the form name=value"),
        ("authorization=Bearer SECRET\n", "header 'authorization' is to be URL-encoded"),
    ],
)
def test_a_header_that_cannot_be_sent_is_told_without_its_value(
    variable: str, given_headers: str, named: str | None
) -> None:
    problems: list[str] = []
    fine = usable({variable: f"a=b,{given_headers}"}, problems)
    assert not any("SEC" in problem for problem in problems)
    if named is None:
        assert problems == []
        return
    (problem,) = problems
    assert problem.startswith(f"{variable}: ")
    assert named.replace("header 2", "header 3").replace("header 1", "header 2") in problem
    assert "a=b" in fine["OTEL_EXPORTER_OTLP_LOGS_HEADERS"].split(",")
    assert "SECR" not in fine["OTEL_EXPORTER_OTLP_LOGS_HEADERS"]


@pytest.mark.parametrize("name", ["token-bin", "a!", "to%2Fken"])
def test_over_grpc_fewer_names_can_be_sent(name: str) -> None:
    """It would quote all metadata beside the one that it cannot use."""
    problems: list[str] = []
    usable({HEADERS: f"Authorization=Bearer%20SECRET,{name}=SECRET", **GRPC}, problems)
    (problem,) = problems
    assert "cannot be sent" in problem
    assert "SECRET" not in problem


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (HEADERS, "authorization=Bearer%20SECR%C3%A9T"),
        (HEADERS, "authorization=Bearer SECR\xe9T"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:SECR\xe9T@[::1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:9/v1?key=SECR%C3%A9T"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "user:SECR%C3%A9T@host:4317"),
        ("HTTPS_PROXY", "http://u:SECR\xe9T@proxy:3128"),
        ("http_proxy", "u:SECR\xe9T@proxy:3128"),
    ],
)
@pytest.mark.parametrize(
    "said",
    ["{}", "Invalid header value {!r}", "it was {0!a}"],
)
def test_whatever_quotes_it_is_shown_without_it(variable: str, value: str, said: str) -> None:
    text.hide(secrets({variable: value}))
    for quoted in (value, "SECR\xe9T", "Bearer SECR\xe9T", "SECR%C3%A9T"):
        assert "SECR" not in text.plain(said.format(quoted))
        assert "SECR" not in text.describe(ValueError(said.format(quoted)))
    for bare in (b"Bearer SECR\xe9T", "Bearer SECR\xe9T".encode()):
        assert "SECR" not in text.plain(bare)


def test_a_token_in_a_path_is_no_name() -> None:
    """Urllib3 quotes the path of what it could not reach; some collectors have a key in it."""
    url = "https://otel.example:4318/9f86d081884c7d65a7/eu-west-1/opentelemetry-collector/v1/traces"
    assert set(secrets({"OTEL_EXPORTER_OTLP_ENDPOINT": url})) == {"9f86d081884c7d65a7"}
