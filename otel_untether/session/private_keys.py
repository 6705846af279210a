"""Private keys of several lines: PEM, OpenSSH, PGP, PuTTY, whole or torn.

A tool prints them with line numbers, in JSON, indented, or only their first lines; what says
"BEGIN PRIVATE KEY" and shows no key, as source code does, is left alone.
"""

from __future__ import annotations

from typing import Final

from otel_untether.session.patterns import lazily

_REDACTED: Final = "[redacted]"
_LONGEST: Final = 32_768
_BEGIN: Final = lazily(r"-----BEGIN[ A-Z0-9_-]{0,64}PRIVATE KEY(?: BLOCK)?-----")
_END: Final = lazily(r"-----END[ A-Z0-9_-]{0,64}PRIVATE KEY(?: BLOCK)?-----")
# What may stand before a line of a key: a number, a quote, a diff's sign, an escaped newline.
_MARGIN: Final = r"(?:\\[nrt]|[\s\"'+,>|→\\-]|[0-9]{1,6}[\t:→|-])"
_HEADER: Final = r"(?:Proc-Type|DEK-Info|Comment|Version):[^\r\n\\]{0,80}"
_LINE: Final = rf"{_MARGIN}{{1,80}}+(?:{_HEADER}|[A-Za-z0-9+/=]{{8,20000}}+)"
_BODY: Final = lazily(rf"(?:{_LINE}){{1,2000}}+")
_KEY_LINE: Final = lazily(r"(?:[0-9]{1,6}[\t:→| ]{1,3})?[+>| ]{0,4}[A-Za-z0-9+/=]{16,128}")
_PUTTY: Final = lazily(r"(Private-(?:Lines: [0-9]{1,4}|MAC: ))((?:\s{0,4}[A-Za-z0-9+/=]{4,128})+)")


def hide_private_keys(text: str) -> str:
    """Replace every private key in `text`."""
    if "PRIVATE KEY" in text:
        text = _hide_pem(text)
    if "Private-" in text:
        text = _PUTTY.sub(rf"\1 {_REDACTED}", text)
    return text


def _hide_pem(text: str) -> str:
    parts: list[str] = []
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        parts.append(_headless(text[at : begin.start()]))
        body = _BODY.match(text, begin.end())
        if body is None:
            parts.append(begin[0])
            at = begin.end()
        else:
            parts.append(_REDACTED)
            end = _END.search(text, body.end(), begin.end() + _LONGEST)
            at = end.end() if end is not None else body.end()
    parts.append(_headless(text[at:]))
    return "".join(parts)


def _headless(text: str) -> str:
    """Replace a key whose first lines were cut off, as `tail` does."""
    end = _END.search(text)
    if end is None:
        return text
    torn = _torn_start(text, end.start())
    return text if torn == end.start() else text[:torn] + _REDACTED + text[end.start() :]


def _torn_start(text: str, end: int) -> int:
    """Go back over whole lines of Base64 that stand before `end`."""
    start = end
    low = max(0, end - _LONGEST)
    while (line := text.rfind("\n", low, max(low, start - 1))) >= 0 or start > low:
        begin = line + 1 if line >= 0 else low
        if not _KEY_LINE.fullmatch(text[begin:start].strip()):
            return start
        start = begin
        if line < 0:
            return start
    return start
