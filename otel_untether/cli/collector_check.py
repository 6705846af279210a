"""Whether a collector takes what we would send: an empty export of each signal is posted."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from otel_untether.cli.checks import Check
from otel_untether.export.environment import SIGNALS, Signal, endpoint
from otel_untether.export.otlp_client import EndpointError, Sender, SendError
from otel_untether.export.otlp_protobuf import parse
from otel_untether.export.sdk_settings import usable
from otel_untether.export.text import discreet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_untether.export.answers import Fault

_WITHIN: Final = 5.0  # seconds, for all signals
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_EXPECTED: Final = "expected http://host:4318"
_ADVICE: Final[Mapping[Fault, str]] = {
    "unreachable": "start the collector; runs are kept until `otel-untether resend` sends them",
    "denied": "look at OTEL_EXPORTER_OTLP_HEADERS (a token?), at the endpoint's path (over HTTP "
    "OTEL_EXPORTER_OTLP_ENDPOINT is without /v1/traces), and at which signals it receives",
    "foreign": "whoever answers there is no OTLP receiver; OTLP over HTTP is at port 4318 mostly",
    "protocol": "OTLP over HTTP is at port 4318 mostly, over gRPC "
    "(OTEL_EXPORTER_OTLP_PROTOCOL=grpc) at 4317",
    "busy": "it takes nothing now; runs are kept, and `otel-untether resend` sends them later",
    "data": "it refuses even an empty request: look at OTEL_EXPORTER_OTLP_PROTOCOL",
}


def endpoints(environ: Mapping[str, str]) -> Iterator[Check]:
    """Yield what became of an empty export of each signal, those that failed alike together."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        yield Check("endpoint", "warning", "OTEL_SDK_DISABLED is true", "unset it to export")
    if environ.get(_CONFIG_FILE):
        yield _config_file(environ[_CONFIG_FILE])
        return
    asked = [signal for signal in SIGNALS if _is_exported(environ, signal)]
    if not asked:
        yield Check("endpoint", "ok", "none set: runs are kept in files for `otel-untether report`")
        return
    problems: list[str] = []
    environ = usable(environ, problems)
    yield from (Check("endpoint", "problem", problem, "correct it") for problem in problems)
    send, found = Sender(environ, _WITHIN), dict[Check, list[Signal]]()
    for signal in asked:
        found.setdefault(_posted(signal, environ, send), []).append(signal)
    for check, signals in found.items():
        yield check._replace(text=f"{check.text} ({', '.join(signals)})")


def _is_exported(environ: Mapping[str, str], signal: Signal) -> bool:
    wanted = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip() or "otlp"
    return endpoint(environ, signal) is not None and "otlp" in wanted


def _posted(signal: Signal, environ: Mapping[str, str], send: Sender) -> Check:
    variable = _variable(environ, signal)
    wrong = _wrong(endpoint(environ, signal) or "")
    if wrong:
        return Check("endpoint", "problem", f"{variable}{wrong}", _EXPECTED)
    try:
        send(signal, parse(signal, b"{}"))
    except EndpointError as error:
        said = str(error)
        return Check("endpoint", "problem", said, _EXPECTED if "ENDPOINT" in said else "correct it")
    except SendError as error:
        return Check("endpoint", "problem", f"{error}, by {variable}", _ADVICE[error.fault])
    place = urlsplit(endpoint(environ, signal) or "").netloc.rpartition("@")[2]
    return Check("endpoint", "ok", f"{place} took an empty export, by {variable}")


def _wrong(url: str) -> str | None:
    """Say what is wrong with a URL, None where nothing is."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError as error:
        return f": {discreet(str(error))}"
    if parts.scheme not in ("http", "https"):
        return " begins with no http:// or https://: nothing can be sent there"
    return None if parts.hostname else " names no host"


def _variable(environ: Mapping[str, str], signal: Signal) -> str:
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    return own if environ.get(own, "").strip() else "OTEL_EXPORTER_OTLP_ENDPOINT"


def _config_file(name: str) -> Check:
    """Say whether OpenTelemetry's own file can be used; it then says alone where things go."""
    if not os.access(name, os.R_OK):
        advice = f"correct the path, or unset {_CONFIG_FILE}"
        return Check("endpoint", "problem", f"{_CONFIG_FILE}: {name} cannot be read", advice)
    if find_spec("opentelemetry.configuration") is None:
        text = f"{_CONFIG_FILE} is set, and what reads it is not installed: it is left aside"
        return Check("endpoint", "problem", text, "pip install opentelemetry-configuration")
    text = f"{name} ({_CONFIG_FILE}) says where telemetry goes; OTEL_EXPORTER_* do not count"
    return Check("endpoint", "ok", text)
