"""Which exporters the environment asks for.

The variables are OpenTelemetry's
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/); an empty one counts as unset.
What they leave open is settled here: with an endpoint and nothing else, all signals go to it,
over http/protobuf as the specification has it, or over gRPC where the port is gRPC's, 4317.
Without one, metrics go to the run's folder (traces and logs are there in any case).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

Signal: TypeAlias = Literal["traces", "logs", "metrics"]

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "logs", "metrics")
FILE: Final = "untether_file"
GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
HTTP_JSON: Final = "http/json"
_OTLP: Final = ("otlp", "otlp_proto_http", "otlp_proto_grpc")


# Why a signal is not sent: its exporter is `none`, or nothing says where to.
HeldBack: TypeAlias = Literal["unwanted", "nowhere"]


class Plan(Struct):
    """What to tell the SDK.

    `variables` go over the environment, `otlp` are the signals meant for a collector,
    `problems` says what had to be left out.
    """

    variables: dict[str, str] = field(default_factory=dict)
    otlp: set[Signal] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def plan(
    environ: Mapping[str, str], available: Mapping[Signal, Collection[str]], *, files: bool
) -> Plan:
    """Settle the exporters of each signal.

    `available` holds the names of the installed ones. `files` says whether there is a folder
    for the run's own files.
    """
    result = Plan()
    for signal in SIGNALS:
        names = _asked_for(environ, signal, files=files)
        known = [name for name in names if _is_known(name, signal, available[signal], result)]
        if any(name in _OTLP for name in names):
            result.otlp.add(signal)
        if "otlp" in known and not _set_protocol(environ, signal, result):
            known.remove("otlp")
            # Of the others there is a copy in any case.
            known += [FILE] if files and signal == "metrics" and FILE not in known else []
        result.variables[f"OTEL_{signal.upper()}_EXPORTER"] = ",".join(known) or "none"
    return result


def _asked_for(environ: Mapping[str, str], signal: Signal, *, files: bool) -> list[str]:
    asked = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    if asked:
        # Spans and log records are in the run's files whatever is asked for.
        done = ("", "none") if signal == "metrics" or not files else ("", "none", FILE)
        names = [name.strip() for name in asked.split(",")]
        return [name for name in names if name.lower() not in done]
    if endpoint(environ, signal):
        return ["otlp"]
    return [FILE] if files and signal == "metrics" else []


def _is_known(name: str, signal: Signal, available: Collection[str], result: Plan) -> bool:
    if name in available:
        return True
    result.problems.append(
        f"OTEL_{signal.upper()}_EXPORTER: there is no {signal} exporter named {name!r}; "
        f"expected one of {', '.join(sorted(available))}, none"
    )
    return False


def _set_protocol(environ: Mapping[str, str], signal: Signal, result: Plan) -> bool:
    found = protocol(environ, signal)
    if found == HTTP_JSON:
        result.problems.append(
            f"{_protocol_variable(environ, signal)}: the OpenTelemetry SDK for Python cannot "
            f"send {HTTP_JSON}; {signal} are sent as {HTTP} to the same place"
        )
        found = HTTP
    if found not in (GRPC, HTTP):
        result.problems.append(
            f"{_protocol_variable(environ, signal)}: {found!r} is not a protocol; expected "
            f"{GRPC} or {HTTP}; {signal} are kept for `otel-untether resend`"
        )
        return False
    result.variables[f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"] = found
    return True


def endpoint(environ: Mapping[str, str], signal: Signal) -> str | None:
    """Return the endpoint for a signal, its own or the common one, None where none is set.

    An OTLP exporter that is asked for by name has one all the same, OpenTelemetry's default.
    """
    return (
        environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        or _default_endpoint(environ, signal)
    )


def _default_endpoint(environ: Mapping[str, str], signal: Signal) -> str | None:
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").split(",")
    named = {name.strip() for name in exporters}
    if named.isdisjoint(_OTLP):
        return None
    asked = environ.get(_protocol_variable(environ, signal), "").strip()
    grpc = asked == GRPC or "otlp_proto_grpc" in named
    return f"http://localhost:{4317 if grpc else 4318}"


def held_back(environ: Mapping[str, str]) -> dict[Signal, HeldBack]:
    """Return which signals have no collector to go to, and why."""
    found: dict[Signal, HeldBack] = {}
    for signal in SIGNALS:
        exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").lower().split(",")
        named = {name.strip() for name in exporters} - {""}
        if named == {"none"}:
            found[signal] = "unwanted"
        elif endpoint(environ, signal) is None:
            found[signal] = "nowhere"
    return found


def protocol(environ: Mapping[str, str], signal: Signal) -> str:
    """Return the protocol set for a signal, else the one its endpoint suggests."""
    variable = _protocol_variable(environ, signal)
    if asked := environ.get(variable, "").strip():
        return asked
    return GRPC if _port(endpoint(environ, signal)) == 4317 else HTTP


def _protocol_variable(environ: Mapping[str, str], signal: Signal) -> str:
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL"
    return own if environ.get(own, "").strip() else "OTEL_EXPORTER_OTLP_PROTOCOL"


def _port(url: str | None) -> int | None:
    if not url:
        return None
    try:
        return urlsplit(url if "://" in url else f"//{url}").port
    except ValueError:
        return None
