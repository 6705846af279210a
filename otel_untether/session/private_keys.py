"""Private keys of several lines: PEM, OpenSSH, PGP, PuTTY, whole or torn.

A tool prints them with line numbers, in JSON, indented, or only their first lines; what says
"BEGIN PRIVATE KEY" and shows no key, as source code does, is left alone.
"""

from __future__ import annotations

from typing import Final

from otel_untether.session.patterns import lazily

_REDACTED: Final = "[redacted]"
_LONGEST: Final = 32_768
_TWO_LINES: Final = 128
_NAMED: Final = (
    r"(?:[ A-Z0-9_-]{0,64}PRIVATE KEY(?: BLOCK)?-----| OpenVPN Static key V[0-9]-----"
    r"| SSH2 ENCRYPTED PRIVATE KEY ----)"
)
_BEGIN: Final = lazily(r"-{4,5} ?BEGIN" + _NAMED)
_END: Final = lazily(r"-{4,5} ?END" + _NAMED)
_SIGNS: Final = ("PRIVATE KEY", "Static key V")
_RUN: Final = lazily(r"[A-Za-z0-9+/=]{32}")
# Lines of Base64 as keys are wrapped; digests are not so many in so few letters.
_WRAPPED: Final = lazily(
    r"(?m)(?:^[ \t]{0,16}(?=[A-Za-z0-9+/]{0,63}[A-Z])(?=[A-Za-z0-9+/]{0,63}[a-z])"
    r"(?=[A-Za-z0-9+/]{0,63}[G-Zg-z+/])[A-Za-z0-9+/]{64}(?:[A-Za-z0-9+/]{6})?\r?\n){2,500}"
    r"(?:[ \t]{0,16}[A-Za-z0-9+/]{4,70}={0,2}(?![^\s]))?"
)
# What may stand before a line of a key: a number, a quote, a diff's sign, an escaped newline.
_MARGIN: Final = r"(?:\\[nrt]|[\s\"'+,>|→\\-]|[0-9]{1,6}[\t:→|-])"
_HEADER: Final = r"(?:Proc-Type|DEK-Info|Comment|Version):[^\r\n\\]{0,80}"
_LINE: Final = rf"{_MARGIN}{{1,80}}+(?:{_HEADER}|[A-Za-z0-9+/=]{{8,20000}}+)"
_BODY: Final = lazily(rf"(?:{_LINE}){{1,2000}}+")
_KEY_LINE: Final = lazily(r"(?:[0-9]{1,6}[\t:→| ]{1,3})?[+>| ]{0,4}[A-Za-z0-9+/=]{16,128}")
_PUTTY: Final = lazily(r"(Private-(?:Lines: [0-9]{1,4}|MAC: ))((?:\s{0,4}[A-Za-z0-9+/=]{4,128})+)")


def hide_private_keys(text: str) -> str:
    """Replace every private key in `text`."""
    if any(sign in text for sign in _SIGNS):
        text = _hide_pem(text)
    if len(text) > _TWO_LINES and "-----BEGIN" not in text:
        text = _WRAPPED.sub(_REDACTED + "\n", text)
    if "Private-" in text:
        text = _PUTTY.sub(rf"\1 {_REDACTED}", text)
    return text


def _hide_pem(text: str) -> str:
    parts: list[str] = []
    at = 0
    begins = [*_BEGIN.finditer(text)]
    next_ones = [*(begin.start() for begin in begins), len(text)][1:]
    for begin, next_one in zip(begins, next_ones, strict=True):
        if begin.start() < at:
            continue
        parts.append(_headless(text[at : begin.start()]))
        body = _BODY.match(text, begin.end())
        start = body.end() if body else begin.end()
        end = _END.search(text, start, min(next_one, begin.end() + _LONGEST))
        # Something else may stand before each line, as a log's or a search's own words do.
        if body is None and (end is None or not _RUN.search(text, start, end.start())):
            parts.append(begin[0])
            at = begin.end()
        else:
            parts.append(_REDACTED)
            at = end.end() if end is not None else start
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
