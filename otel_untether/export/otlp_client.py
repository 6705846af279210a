"""Sends stored OTLP requests, over what `OTEL_EXPORTER_OTLP_*` names.

The SDK's exporters take live spans, not requests, so this is the same conversation without
them: one request, one answer, no retries (what fails stays on disk), no redirects: whoever is
redirected to would get the headers, which may hold a token.
"""

from __future__ import annotations

import base64
import gzip
import os
import ssl
import threading
import time
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener
from urllib.request import Request as HttpRequest

from otel_untether.export.answers import (
    MOST_READ,
    RESPONSES,
    Answer,
    Fault,
    grpc_answer,
    grpc_failure,
    http_answer,
    http_failure,
)
from otel_untether.export.credentials import read_headers, secrets
from otel_untether.export.environment import GRPC, HTTP, HTTP_JSON, Signal, endpoint, protocol
from otel_untether.export.otlp_protobuf import to_line
from otel_untether.export.text import hide, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.export.otlp_protobuf import Request

_DEFAULT_TIMEOUT: Final = 10.0


class SendError(Exception):
    """A request was not taken. `fault` says why; see `answers`."""

    def __init__(self, message: str, fault: Fault = "busy") -> None:
        super().__init__(message)
        self.fault: Fault = fault

    @property
    def refused(self) -> bool:
        """Whether sending the same again is no use."""
        return self.fault == "data"


class EndpointError(SendError):
    """A variable says where or how to send, and cannot be used."""


class Sender:
    """Sends requests within `seconds` in all, and asks nobody again who did not take one.

    A place that does not answer is asked no more for any signal, one that has no use for a
    signal (or not now) no more for that one: what is left is left, without another time-out each.
    """

    def __init__(self, environ: Mapping[str, str], seconds: float) -> None:
        self._environ = environ
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        hide(secrets(environ))
        self._given_up: dict[str, SendError] = {}

    def __call__(self, signal: Signal, request: Request) -> Answer:
        """Send one request; see `send`."""
        place = endpoint(self._environ, signal) or ""
        before = self._given_up.get(place) or self._given_up.get(f"{signal} {place}")
        if before is not None:
            raise before
        left = self._until - time.monotonic()
        if left <= 0:
            raise SendError(f"there was no time for more than {self._seconds:g} s of sending")
        try:
            return send(signal, request, self._environ, within=left)
        except SendError as error:
            if not error.refused:
                alone = "" if error.fault == "unreachable" else f"{signal} "
                self._given_up[f"{alone}{place}"] = error
            raise


def send(
    signal: Signal,
    request: Request,
    environ: Mapping[str, str] = os.environ,
    *,
    within: float | None = None,
) -> Answer:
    """Send one request; returning means that a collector took it.

    The answer says what of it the collector threw away. `within` bounds the whole of it in
    seconds, beside OTEL_EXPORTER_OTLP_TIMEOUT. Raises SendError.
    """
    url = endpoint(environ, signal)
    if url is None:
        raise EndpointError(f"there is no endpoint for {signal}: set OTEL_EXPORTER_OTLP_ENDPOINT")
    timeout = min(_timeout(environ, signal), within or _timeout(environ, signal))
    match protocol(environ, signal):
        case "grpc":
            answer = _send_grpc(signal, request, url, environ, timeout)
        case "http/protobuf":
            data, kind = request.SerializeToString(), "application/x-protobuf"
            answer = _send_http(signal, data, kind, environ, timeout)
        case "http/json":
            answer = _send_http(signal, to_line(request), "application/json", environ, timeout)
        case other:
            raise EndpointError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL: {other!r} is not a protocol; "
                f"expected {GRPC}, {HTTP} or {HTTP_JSON}"
            )
    if answer.fault is not None:
        raise SendError(answer.reason, answer.fault)
    return answer


class _NoRedirect(HTTPRedirectHandler):
    """Makes of a redirect the error that it is here."""

    def redirect_request(self, *_: Any) -> None:
        """Redirect nobody."""


def _send_http(
    signal: Signal, data: bytes, kind: str, environ: Mapping[str, str], timeout: float
) -> Answer:
    url, credentials = _split_credentials(http_url(environ, signal))
    headers = {"Content-Type": kind, "User-Agent": "otel-untether", **credentials}
    headers |= _headers(environ, signal)
    if _setting(environ, signal, "COMPRESSION") == "gzip":
        data, headers["Content-Encoding"] = gzip.compress(data), "gzip"
    request = HttpRequest(url, data, headers, method="POST")  # noqa: S310  checked by http_url
    https = _split(url).scheme == "https"
    secure = [HTTPSHandler(context=_tls(environ, signal))] if https else []
    opener = build_opener(_NoRedirect, *secure)

    def conversation() -> Answer:
        try:
            response = opener.open(request, timeout=timeout)
        except HTTPError as error:
            response = error
        with response:
            body = response.read(MOST_READ)
        return http_answer(signal, _place(url), response.status, response.headers, body)

    try:
        return _within(timeout, conversation)
    # HTTPException is what http.client makes of a peer that does not speak HTTP.
    except (OSError, HTTPException, ValueError) as error:
        return http_failure(_place(url), error, _cause(error))


def _cause(error: Exception) -> str:
    """Say what is behind an error; of one that quotes a URL, which may hold a token, its name."""
    cause = getattr(error, "reason", None) or error
    quotes = isinstance(cause, InvalidURL) or type(cause) is ValueError
    return type(cause).__name__ if quotes else plain(cause)


def _within(seconds: float, work: Callable[[], Answer]) -> Answer:
    """Do what takes at most so long; raise TimeoutError where it takes longer.

    A socket's time-out is for one read, and an answer may come a byte at a time: what takes
    too long is left behind in its thread.
    """
    outcome: list[Answer | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001  raised below, where somebody waits for it
            outcome.append(error)

    thread = threading.Thread(target=run, name="otel-untether-send", daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def http_url(environ: Mapping[str, str], signal: Signal) -> str:
    """Return where a signal is posted: its own endpoint as it is, else below the common one."""
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "").strip()
    url = own or f"{endpoint(environ, signal) or ''}".rstrip("/") + f"/v1/{signal}"
    if not url.lower().startswith(("http://", "https://")):  # RFC 3986: in any case
        raise EndpointError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL like http://localhost:4318"
        )
    return url


def _split(url: str) -> SplitResult:
    """Take a URL apart; what is none is a mistake in the settings, and no answer of anybody's."""
    try:
        return urlsplit(url)
    except ValueError:  # which quotes it, and it may hold a password
        raise EndpointError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: expected a URL like http://localhost:4318"
        ) from None


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Turn user and password of a URL into a header, which urllib does not do."""
    parts = _split(url)
    userinfo, found, place = parts.netloc.rpartition("@")
    if not found:
        return url, {}
    encoded = base64.b64encode(unquote(userinfo).encode()).decode()
    return parts._replace(netloc=place).geturl(), {"Authorization": f"Basic {encoded}"}


def _place(url: str) -> str:
    """Return host and port: a URL may hold credentials."""
    parts = _split(url)
    return parts.netloc.rpartition("@")[2]


def _setting(environ: Mapping[str, str], signal: Signal, name: str) -> str:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}", "").strip()
    return own or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()


def _headers(environ: Mapping[str, str], signal: Signal) -> dict[str, str]:
    """Return the headers that can be sent; `sdk_settings` tells of the others."""
    grpc = protocol(environ, signal) == GRPC
    headers = read_headers(_setting(environ, signal, "HEADERS"), grpc=grpc)
    return {header.name: header.value for header in headers if not header.problem}


def _timeout(environ: Mapping[str, str], signal: Signal) -> float:
    """Return seconds, which is what the SDK for Python takes the variable to be in."""
    value = _setting(environ, signal, "TIMEOUT")
    try:
        return float(value) if value else _DEFAULT_TIMEOUT
    except ValueError:
        raise EndpointError(
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
        names = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
        files = ", ".join(filter(None, (_setting(environ, signal, name) for name in names)))
        raise EndpointError(
            f"OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY: {files}: {error}"
        ) from error
    return context


def _send_grpc(
    signal: Signal, request: Request, url: str, environ: Mapping[str, str], timeout: float
) -> Answer:
    # Only here: it takes 40 ms and 15 MB.
    import grpc  # noqa: PLC0415

    metadata = list(_headers(environ, signal).items())
    compressed = _setting(environ, signal, "COMPRESSION") == "gzip"
    place = _place(url) or url.rpartition("@")[2]
    with _channel(signal, url, environ) as channel:
        call = channel.unary_unary(
            f"/{request.DESCRIPTOR.full_name.rpartition('.')[0]}.{_SERVICES[signal]}/Export",
            request_serializer=type(request).SerializeToString,
            response_deserializer=RESPONSES[signal].FromString,
        )
        try:
            response = call(
                request,
                timeout=timeout,
                metadata=metadata,
                compression=grpc.Compression.Gzip if compressed else None,
            )
        except grpc.RpcError as error:
            return grpc_failure(place, error.code().name, error.details())
        return grpc_answer(signal, place, response)


_SERVICES: Final[Mapping[Signal, str]] = {
    "traces": "TraceService",
    "logs": "LogsService",
    "metrics": "MetricsService",
}


def _channel(signal: Signal, url: str, environ: Mapping[str, str]) -> Any:
    import grpc  # noqa: PLC0415

    parts = _split(url)
    target = (parts.netloc or url).rpartition("@")[2]
    insecure = _setting(environ, signal, "INSECURE").lower() == "true" or parts.scheme == "http"
    if insecure and parts.scheme != "https":
        return grpc.insecure_channel(target)

    def read(name: str) -> bytes | None:
        path = _setting(environ, signal, name)
        try:
            return Path(path).read_bytes() if path else None
        except OSError as error:
            raise EndpointError(f"OTEL_EXPORTER_OTLP_{name}: {error}") from error

    credentials = grpc.ssl_channel_credentials(
        read("CERTIFICATE"), read("CLIENT_KEY"), read("CLIENT_CERTIFICATE")
    )
    return grpc.secure_channel(target, credentials)
