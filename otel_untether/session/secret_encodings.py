r"""Secrets in text that is encoded once more: for a URL, for a page, with ``\u0022``.

>>> from otel_untether.session.redaction import redact
>>> hide_encoded("next=%2Flogin%3Fpassword%3Dhunter2", redact)
'next=/login?password=[redacted]'
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Callable

    Redact = Callable[[str], str]
    Decode = Callable[[str], str]

_PERCENT: Final = lazily(
    r"(?<![^\s\"'<>`])[^\s\"'<>`%]{0,2048}+%(?:25){0,2}(?:3[AD]|22|20|0A|2[06F]|40|7B)[^\s\"'<>`]{1,16384}",
    re.IGNORECASE,
)
_OCTETS: Final = lazily(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITIES: Final = ("&quot;", "&#34;", "&#x22;", "&#39;", "&apos;")
_ESCAPES: Final = ("\\u", "\\x22")
# No control characters, and no halves of surrogate pairs.
_ESCAPE: Final = lazily(
    r"\\(?:x(?=2[27])|u(?=00[2-7][0-9a-f]|0[1-9a-f]|[1-9a-cef][0-9a-f]))([0-9a-f]{4}|2[27])"
)
_LAYERS: Final = 3  # of one and the same coding


def hide_encoded(text: str, redact: Redact) -> str:
    """Replace what decodes to something with a secret in it by that, without the secret.

    :param redact: what takes a secret out of plain text; it must not come back here, or a text
        that was encoded a thousand times would be decoded as often.
    """
    if "%" in text:
        text = _PERCENT.sub(partial(_hide_percent, redact), text)
    if any(sign in text for sign in _ENTITIES):
        import html  # noqa: PLC0415  2 ms of names for characters

        text = _decoded(text, html.unescape, redact)
    if any(sign in text for sign in _ESCAPES):
        text = _decoded(text, _unescape, redact)
    return text


def _decoded(text: str, decode: Decode, redact: Redact) -> str:
    plain = text
    for _ in range(_LAYERS):
        once_more = decode(plain)
        if once_more == plain:
            break
        plain = once_more
    if plain == text:
        return text
    clean = redact(plain)
    return text if clean == plain else clean


def _hide_percent(redact: Redact, found: re.Match[str]) -> str:
    return _decoded(found[0], _unquote, redact)


def _unquote(text: str) -> str:
    return _OCTETS.sub(_plain, text)


def _plain(octets: re.Match[str]) -> str:
    return bytes.fromhex(octets[0].replace("%", "")).decode("utf-8", "replace")


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text)
