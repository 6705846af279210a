"""Sends stored OTLP requests, over what `OTEL_EXPORTER_OTLP_*` names.

The SDK's exporters take live spans, not requests, so this is the same conversation without
them: one request, one answer, no retries (what fails stays on disk).
"""

from __future__ import annotations

import base64
import gzip
import os
import ssl
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from opentelemetry.util.re import parse_env_headers

from otel_untether.export.environment import GRPC, HTTP, HTTP_JSON, Signal, endpoint, protocol
from otel_untether.export.otlp_json import to_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_untether.export.otlp_json import Request

_DEFAULT_TIMEOUT: Final = 10.0
# https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes and #failures
_RETRYABLE_HTTP: Final = (408, 429, 502, 503, 504)
_REFUSED_GRPC: Final = ("INVALID_ARGUMENT", "UNIMPLEMENTED", "OUT_OF_RANGE")


class SendError(Exception):
    """A request was not taken. `refused` says that sending the same again is no use."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class ConfigError(SendError):
    """A variable says where or how to send, and cannot be used."""


def send(signal: Signal, request: Request, environ: Mapping[str, str] = os.environ) -> None:
    """Send one request; returning means that a collector took it. Raises SendError."""
    url = endpoint(environ, signal)
    if url is None:
        raise ConfigError(f"there is no endpoint for {signal}: set OTEL_EXPORTER_OTLP_ENDPOINT")
    match protocol(environ, signal):
        case "grpc":
            _send_grpc(signal, request, url, environ)
        case "http/protobuf":
            data, kind = request.SerializeToString(), "application/x-protobuf"
            _send_http(signal, data, kind, environ)
        case "http/json":
            _send_http(signal, to_line(request), "application/json", environ)
        case other:
            raise ConfigError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL: {other!r} is not a protocol; "
                f"expected {GRPC}, {HTTP} or {HTTP_JSON}"
            )


def _send_http(signal: Signal, data: bytes, kind: str, environ: Mapping[str, str]) -> None:
    url, credentials = _split_credentials(http_url(environ, signal))
    headers = {"Content-Type": kind, "User-Agent": "otel-untether", **credentials}
    headers |= _headers(environ, signal)
    if _setting(environ, signal, "COMPRESSION") == "gzip":
        data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
    request = HttpRequest(url, data, headers, method="POST")  # noqa: S310  checked by http_url
    context = _tls(environ, signal) if url.startswith("https:") else None
    try:
        with urlopen(request, timeout=_timeout(environ, signal), context=context):  # noqa: S310
            return
    except HTTPError as error:
        refused = error.code < 500 and error.code not in _RETRYABLE_HTTP
        error.close()
        raise SendError(
            f"{_place(url)} answered {error.code} to {signal}", refused=refused
        ) from None
    # HTTPException is what http.client makes of a peer that does not speak HTTP.
    except (OSError, HTTPException, ValueError) as error:
        raise SendError(f"{_place(url)}: {error}") from error


def http_url(environ: Mapping[str, str], signal: Signal) -> str:
    """Return where a signal is posted: its own endpoint as it is, else below the common one."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    url = own or f"{endpoint(environ, signal) or ''}".rstrip("/") + f"/v1/{signal}"
    if not url.startswith(("http://", "https://")):
        raise ConfigError("OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL like http://localhost:4318")
    return url


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Turn user and password of a URL into a header, which urllib does not do."""
    parts = urlsplit(url)
    userinfo, found, place = parts.netloc.rpartition("@")
    if not found:
        return url, {}
    encoded = base64.b64encode(unquote(userinfo).encode()).decode()
    return parts._replace(netloc=place).geturl(), {"Authorization": f"Basic {encoded}"}


def _place(url: str) -> str:
    """Return host and port: a URL may hold credentials."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2]


def _setting(environ: Mapping[str, str], signal: Signal, name: str) -> str:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
    return own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _headers(environ: Mapping[str, str], signal: Signal) -> dict[str, str]:
    return dict(parse_env_headers(_setting(environ, signal, "HEADERS"), liberal=True))


def _timeout(environ: Mapping[str, str], signal: Signal) -> float:
    """Return seconds, which is what the SDK for Python takes the variable to be in."""
    value = _setting(environ, signal, "TIMEOUT")
    try:
        return float(value) if value else _DEFAULT_TIMEOUT
    except ValueError:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_TIMEOUT: {value!r} is not a number of seconds"
        ) from None


def _tls(environ: Mapping[str, str], signal: Signal) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=_setting(environ, signal, "CERTIFICATE") or None
        )
        if certificate := _setting(environ, signal, "CLIENT_CERTIFICATE"):
            context.load_cert_chain(certificate, _setting(environ, signal, "CLIENT_KEY") or None)
    except OSError as error:
        raise ConfigError(f"OTEL_EXPORTER_OTLP_CERTIFICATE and its kin: {error}") from error
    return context


def _send_grpc(signal: Signal, request: Request, url: str, environ: Mapping[str, str]) -> None:
    # Only here: it takes 40 ms and 15 MB.
    import grpc  # noqa: PLC0415

    metadata = [(key.lower(), value) for key, value in _headers(environ, signal).items()]
    compressed = _setting(environ, signal, "COMPRESSION") == "gzip"
    with _channel(signal, url, environ) as channel:
        call = channel.unary_unary(
            f"/{request.DESCRIPTOR.full_name.rpartition('.')[0]}.{_SERVICES[signal]}/Export",
            request_serializer=type(request).SerializeToString,
        )
        try:
            call(
                request,
                timeout=_timeout(environ, signal),
                metadata=metadata,
                compression=grpc.Compression.Gzip if compressed else None,
            )
        except grpc.RpcError as error:
            raise _grpc_error(error, _place(url) or url) from None


_SERVICES: Final[Mapping[Signal, str]] = {
    "traces": "TraceService",
    "logs": "LogsService",
    "metrics": "MetricsService",
}


def _grpc_error(error: Any, place: str) -> SendError:
    code = error.code().name
    return SendError(f"{place}: {code} {error.details()}", refused=code in _REFUSED_GRPC)


def _channel(signal: Signal, url: str, environ: Mapping[str, str]) -> Any:
    import grpc  # noqa: PLC0415

    parts = urlsplit(url)
    target = parts.netloc or url
    insecure = _setting(environ, signal, "INSECURE").lower() == "true" or parts.scheme == "http"
    if insecure and parts.scheme != "https":
        return grpc.insecure_channel(target)

    def read(name: str) -> bytes | None:
        path = _setting(environ, signal, name)
        try:
            return Path(path).read_bytes() if path else None
        except OSError as error:
            raise ConfigError(f"OTEL_EXPORTER_OTLP_{name}: {error}") from error

    credentials = grpc.ssl_channel_credentials(
        read("CERTIFICATE"), read("CLIENT_KEY"), read("CLIENT_CERTIFICATE")
    )
    return grpc.secure_channel(target, credentials)
