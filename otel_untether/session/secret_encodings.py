r"""Secrets in text that is encoded once more: for a URL, for a page, with ``\u0022``.

>>> from otel_untether.session.redaction import redact
>>> hide_encoded("next=%2Flogin%3Fpassword%3Dhunter2", redact)
'next=/login?password=[redacted]'
"""

from __future__ import annotations

import html
import re
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_untether.session.patterns import lazily

if TYPE_CHECKING:
    from collections.abc import Callable

    Redact = Callable[[str], str]

_PERCENT: Final = lazily(
    r"(?<![^\s\"'<>`])[^\s\"'<>`%]{0,2048}+%(?:3[AD]|22|20|0A|2[06F]|40|7B)[^\s\"'<>`]{1,16384}",
    re.IGNORECASE,
)
_OCTETS: Final = lazily(r"(?:%[0-9A-Fa-f]{2})+")
_ENTITIES: Final = ("&quot;", "&#34;", "&#x22;", "&#39;", "&apos;")
_ESCAPES: Final = ("\\u0022", "\\u0027", "\\x22")
_ESCAPE: Final = lazily(r"\\(?:u00|x)(2[27])")


def hide_encoded(text: str, redact: Redact) -> str:
    """Replace what decodes to something with a secret in it by that, without the secret.

    :param redact: what takes a secret out of plain text.
    """
    if "%" in text:
        text = _PERCENT.sub(partial(_hide_percent, redact), text)
    if any(sign in text for sign in _ENTITIES):
        text = _unless_changed(text, html.unescape(text), redact)
    if any(sign in text for sign in _ESCAPES):
        text = _unless_changed(text, _ESCAPE.sub(lambda e: chr(int(e[1], 16)), text), redact)
    return text


def _unless_changed(text: str, plain: str, redact: Redact) -> str:
    clean = redact(plain)
    return text if clean == plain else clean


def _hide_percent(redact: Redact, found: re.Match[str]) -> str:
    return _unless_changed(found[0], _OCTETS.sub(_plain, found[0]), redact)


def _plain(octets: re.Match[str]) -> str:
    return bytes.fromhex(octets[0].replace("%", "")).decode("utf-8", "replace")
