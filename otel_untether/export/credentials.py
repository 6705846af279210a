"""What OTEL_EXPORTER_OTLP_* holds that nobody may read: the values of headers, and passwords.

OpenTelemetry, gRPC and Python's HTTP quote a header that they cannot use, and a URL. So headers are
read here, and those that cannot be sent left aside before anybody else sees them; and whatever is
said afterwards is said without what is a secret (`text.hide`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The specification's baggage-octets and, of values that are not URL-encoded, spaces; as
# `opentelemetry.util.re` has them.
_NAME: Final = re.compile(r"[!#-'*+.0-9A-Z^-z|~-]+")
_VALUE: Final = re.compile(r"[ !#-+\--:<-\[\]-~]*")
_GRPC_NAME: Final = re.compile(r"[0-9a-z_.-]+(?<!-bin)")
# Longer than a name, and with figures: `https://host/9f86d081884c7d65/v1/traces`.
_TOKEN: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[\w.~%-]{16,}")
_USERINFO: Final = re.compile(r"(?:[^/@]*//)?([^/@]*@|.*@)")
_URLS: Final = re.compile(
    r"OTEL_EXPORTER_OTLP_(\w+_)?ENDPOINT|(HTTPS?|ALL|GRPC)_PROXY", re.IGNORECASE
)
_HEADERS: Final = re.compile(r"OTEL_EXPORTER_OTLP_(\w+_)?HEADERS")
# A tenant's "1" is no secret, and hidden it would make times unreadable.
_SHORTEST: Final = 4


class Header(NamedTuple):
    """One of the headers in a variable; `problem` says without its value why it cannot be sent."""

    text: str
    name: str
    value: str
    problem: str | None


def read_headers(text: str, *, grpc: bool) -> list[Header]:
    """Read the headers of a variable as OpenTelemetry does."""
    pieces = (piece.strip(" \t") for piece in text.split(","))
    return [_read(number, piece, grpc=grpc) for number, piece in enumerate(pieces, 1) if piece]


def _read(number: int, piece: str, *, grpc: bool) -> Header:
    name, equals, value = (part.strip(" \t") for part in piece.partition("="))
    name = name.lower()
    if not equals or not _NAME.fullmatch(name):
        return Header(piece, "", "", f"its header {number} is not of the form name=value")
    if not _VALUE.fullmatch(value):
        return Header(piece, name, "", f"the value of header {name!r} is to be URL-encoded")
    if " " not in value:
        name, value = unquote(name).strip().lower(), unquote(value).strip()
    if not _can_be_sent(name, value, grpc=grpc):
        return Header(piece, name, "", f"header {name!r} cannot be sent as it is")
    return Header(piece, name, value, None)


def _can_be_sent(name: str, value: str, *, grpc: bool) -> bool:
    if grpc:
        return bool(_GRPC_NAME.fullmatch(name)) and value.isascii() and value.isprintable()
    # Python's HTTP encodes in Latin-1, whose C1 controls no header may hold either.
    return all(character.isprintable() and ord(character) < 256 for character in value) and bool(
        _NAME.fullmatch(name) and "%" not in name
    )


def secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield what of these variables is not to be repeated, in each way it may be written."""
    for name, text in environ.items():
        if _HEADERS.fullmatch(name):
            values = _values(text)
        elif _URLS.fullmatch(name):
            values = _parts(text)
        else:
            continue
        for value in values:
            yield from _written(value)


def _values(text: str) -> Iterator[str]:
    for piece in text.split(","):
        value = (piece.partition("=")[2] or piece).strip()
        # "Bearer", "Basic": what comes after it is the secret.
        for word in (value, unquote(value), *value.split(), *unquote(value).split()):
            if len(word) >= _SHORTEST and word not in ("Basic", "Bearer"):
                yield word


def _parts(url: str) -> Iterator[str]:
    """Yield what of a URL may be a secret: who asks, what is in its query, a token in its path."""
    words = [found.partition("=")[2] for found in url.partition("?")[2].split("&")]
    words += filter(_TOKEN.fullmatch, url.partition("?")[0].split("/")[3:])
    if found := _USERINFO.match(url):
        yield found[1]
        words.append(found[1][:-1].partition(":")[2])
    for word in (*words, *map(unquote, words)):
        if len(word) >= _SHORTEST:
            yield word


def _written(value: str) -> Iterator[str]:
    """Yield a text as it is, as a URL has it, and as Python shows it and its bytes."""
    yield value
    yield quote(value, safe="!$&'()*+,;=:@", errors="replace")
    for shown in (repr(value), repr(value.encode("utf-8", "surrogateescape"))):
        yield shown.removeprefix("b")[1:-1]
    yield repr(value.encode("latin-1", "replace"))[2:-1]
