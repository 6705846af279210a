"""Listening to what an OTLP exporter of the SDK is answered.

The SDK takes every status below 400 for success, reads no content, and tells nobody why an
export failed. So we listen at the lowest place that its versions have in common: the pool or the
session of HTTP, the stub of gRPC.
"""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from otel_untether.export.answers import (
    MOST_READ,
    Answer,
    grpc_answer,
    grpc_failure,
    http_answer,
    http_failure,
)
from otel_untether.export.sdk import get
from otel_untether.export.text import describe, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from otel_untether.export.environment import Signal

# For an answer, in seconds, where the exporter says nothing of its own patience.
_ANSWER_TIME: Final = 10.0
# Of causes of causes.
_DEEPEST: Final = 10


def hear_answers(exporter: Any, signal: Signal, told: Callable[[Answer], object]) -> bool:
    """Have `told` of every answer that an OTLP exporter gets, in the thread that exports.

    Redirects are not followed from here on. Return whether we found the way to its answers; an
    exporter that is built otherwise works as before, and has to be believed.
    """
    endpoint = get(exporter, "_endpoint") or ""
    try:
        place = (urlsplit(endpoint).netloc or endpoint).rpartition("@")[2]
    except ValueError:  # no URL: what is sent there will not arrive, and that is told
        place = "an endpoint that is no URL"
    hearing = _Hearing(signal, place, told)
    pool = get(exporter, "_client._transport._pool")
    session = get(exporter, "_client._transport._session") or get(exporter, "_session")
    if pool is not None:
        pool.request = hearing.of_pool(pool.request)
    elif session is not None:
        session.send = hearing.of_session(session.send)
    elif hasattr(exporter, "_stub"):
        # It makes itself a new client when it reconnects.
        stub = exporter._stub  # noqa: SLF001
        exporter._stub = lambda channel: hearing.of_client(stub(channel))  # noqa: SLF001
        exporter._client = hearing.of_client(exporter._client)  # noqa: SLF001
    else:
        return False
    return True


class _Hearing:
    """Listens in on an exporter's conversation, at the lowest place that all versions have."""

    def __init__(self, signal: Signal, place: str, told: Callable[[Answer], object]) -> None:
        self._signal = signal
        self._place = place
        self._told = told

    def of_pool(self, request: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `urllib3.PoolManager.request`, which the exporters use since 1.45."""

        def requested(*args: Any, **kwargs: Any) -> Any:
            until = _deadline(getattr(kwargs.get("timeout"), "total", None))
            kwargs |= {"redirect": False, "preload_content": False}
            response = self._asked(request, args, kwargs)
            body = _read_bounded(response, until)
            self._judge(response.status, response.headers, body)
            return response

        return requested

    def of_session(self, send: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `requests.Session.send`, which the exporters used until then."""

        def sent(*args: Any, **kwargs: Any) -> Any:
            until = _deadline(kwargs.get("timeout"))
            kwargs |= {"allow_redirects": False, "stream": True}
            response = self._asked(send, args, kwargs)
            response._content = _read_bounded(response.raw, until)  # noqa: SLF001
            response._content_consumed = True  # noqa: SLF001
            self._judge(response.status_code, response.headers, response.content)
            return response

        return sent

    def of_client(self, client: Any) -> Any:
        """Wrap a gRPC stub, whose one method is Export."""
        return SimpleNamespace(Export=self._of_export(client.Export))

    def _of_export(self, export: Callable[..., Any]) -> Callable[..., Any]:
        def exported(*args: Any, **kwargs: Any) -> Any:
            try:
                response = export(*args, **kwargs)
            except Exception as error:
                code, details = getattr(error, "code", None), getattr(error, "details", None)
                name = code().name if code else type(error).__name__
                self._told(grpc_failure(self._place, name, details() if details else ""))
                raise
            self._told(grpc_answer(self._signal, self._place, response))
            return response

        return exported

    def _asked(self, ask: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return ask(*args, **kwargs)
        except Exception as error:
            root = _root(error)
            self._told(http_failure(self._place, root, _said(root)))
            raise

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
        if body is None:
            said = f"{self._place} answered {status}, and did not finish"
            self._told(Answer("foreign" if status < 400 else "busy", reason=said))
        else:
            self._told(http_answer(self._signal, self._place, status, headers, body))


def _deadline(timeout: Any) -> float:
    seconds = timeout if isinstance(timeout, (int, float)) else _ANSWER_TIME
    return time.monotonic() + seconds


def _read_bounded(response: Any, until: float) -> bytes | None:
    """Read a response of urllib3 up to MOST_READ bytes; None where it takes longer than `until`.

    Its own timeouts are those of one read each: a byte a second is never too slow for them.
    """
    body, whole = b"", False
    # One read(2) each, where urllib3 has that; a byte at a time where it has not.
    read = getattr(response, "read1", None) or (lambda _: response.read(1))
    try:
        while len(body) < MOST_READ and time.monotonic() <= until:
            chunk = read(MOST_READ)
            if not chunk:
                whole = True
                break
            body += chunk
    except Exception:  # noqa: BLE001  a peer that breaks off has answered nothing
        return None
    finally:
        # An answer that was not read to its end leaves a connection that cannot be used again.
        with contextlib.suppress(Exception):
            (response.release_conn if whole else response.close)()
    return body if whole or len(body) >= MOST_READ else None


def _root(error: BaseException) -> BaseException:
    """Return what an exception is really about: "Connection refused" of a pool's MaxRetryError."""
    for _ in range(_DEEPEST):
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    return error


def _said(error: BaseException) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return plain(said or describe(error))
