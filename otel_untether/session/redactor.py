r"""How secrets are found in text, names and JSON; `redaction` is the front of it.

What is JSON is decoded first and walked: in its raw form a newline is ``\n`` and a quote
``\"``, and no pattern would find where a word begins. Then each string is searched, and a
member whose *name* is a secret's is taken out whole.

Time is linear in the text, whatever it says: the agent's host must not wait for a pattern.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from otel_untether.session import secret_commands as commands
from otel_untether.session import secret_patterns as table
from otel_untether.session import secret_places as places
from otel_untether.session.named_secrets import REDACTED, hide_named, names_secret
from otel_untether.session.patterns import lazily
from otel_untether.session.private_keys import hide_private_keys
from otel_untether.session.secret_columns import hide_columns
from otel_untether.session.secret_encodings import hide_encoded
from otel_untether.session.secret_languages import hide_told
from otel_untether.session.secret_members import (
    are_pairs,
    hidden_words,
    secret_members,
    secret_values,
)
from otel_untether.session.secret_tokens import hide_tokens
from otel_untether.session.secret_values import says_nothing
from otel_untether.session.url_secrets import hide_url_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEEPEST: Final = 100
_NEAR: Final = 400
_SHORTEST: Final = 10  # a name, what parts it from its value, and that
_OPTION_SIGNS: Final = (" -", "/", "put", "set")
_MOST: Final = 100
_COMMANDS: Final = frozenset({"command", "cmd", "script", "bash_command", "shell"})
# Colours stand in the middle of what `grep` has found, and hide where a word begins.
_COLOUR: Final = lazily(r"(?:\x1b|\\(?:u00|x)1b|\\033|\\e)\[[0-9;]{0,16}[A-Za-z]", re.IGNORECASE)
_ESCAPED: Final = lazily(
    r"(?:\\[abefnrtv]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|%[0-9a-f]{2})\Z", re.IGNORECASE
)
_SECRET_MANIFEST: Final = lazily(r"(?m)^[ \t-]{0,12}kind:[ ]{1,4}Secret\b")
_MANIFEST_DATA: Final = lazily(
    r"(?m)(^[ ]{0,12}(?:data|stringData):[ ]*\n)((?:[ ]{1,16}[\w.-]{1,256}:[^\n]*+\n?)+)"
)
_DATA_LINE: Final = lazily(r"(?m)(^[ ]{1,16}[\w.-]{1,256}:[ ]{0,4})\S[^\n]*")
# Always a match, so that a run of one alphabet is read once; a token only with its second part.
_WEB_TOKEN: Final = lazily(
    r"eyJ[A-Za-z0-9_-]*+((?:\.[A-Za-z0-9_-]{8,}+){1,4}(?:\.[A-Za-z0-9_-]++)?)?"
)
_BASE64: Final = lazily(r"[A-Za-z0-9+/]{64}")


def redact(text: str, *, command: bool = False) -> str:
    """Return `text` with ``[redacted]`` wherever it shows a secret.

    `command` says that it is a command line, where a blank ends a value without quotes.
    """
    return hide_encoded(_redact_plain(text, command=command), _redact_plain)


def _redact_plain(text: str, *, command: bool = False) -> str:
    if "[" in text:
        text = _COLOUR.sub("", text)
    text = hide_private_keys(text)
    if text[:1] in ("{", "[") or "Secret" in text:
        text = hide_by_structure(text)
    text = _hide_shapes(text)
    text = _hide_formats(text)
    if "://" in text:
        text = hide_url_secrets(text)
    text = _hide_told(text)
    text = hide_told(text)
    text = hide_tokens(text)
    text = hide_columns(text)
    if " " in text and any(sign in text for sign in _OPTION_SIGNS):
        text = _hide_options(text)
    return hide_named(text, command=command)


def _redact_command(line: str) -> str:
    return redact(line, command=True)


def redact_json(raw: bytes, limit: int | None = None) -> str:
    """Return a JSON document as text without its secrets; what is no JSON is taken as text.

    `limit` is how many characters of each string are looked at, and no more come back. A
    document without secrets comes back as it was written.
    """
    import json  # noqa: PLC0415  2 ms, and most sessions have no document that holds secrets

    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return redact(bytes(raw[:limit]).decode("utf-8", "replace"))
    walk = _Walk(limit)
    clean = walk.value(value, 0)
    if clean == value:
        return bytes(raw).decode("utf-8", "replace")
    text = json.dumps(clean, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def hide_by_structure(text: str) -> str:
    """Replace what is secret by where it stands in a document that `text` shows.

    JSON in a string keeps the form somebody gave it: its secrets are looked up in the decoded
    document and replaced where they are written.
    """
    if text[:1] in ("{", "["):
        import json  # noqa: PLC0415  as above

        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        for old, new in itertools.islice(_changes(value, 0), _MOST):
            for ascii_only in (False, True):
                written = json.dumps(old, ensure_ascii=ascii_only)
                text = text.replace(written, json.dumps(new, ensure_ascii=ascii_only))
        return text
    if _SECRET_MANIFEST.search(text):
        text = _MANIFEST_DATA.sub(_hide_data, text)
    return text


def _hide_data(block: re.Match[str]) -> str:
    return block[1] + _DATA_LINE.sub(rf"\1{REDACTED}", block[2])


def _changes(value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Yield the strings of a document that show a secret, by themselves or by their place."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if (clean := redact(value)) != value:
            yield value, clean
    elif isinstance(value, list):
        yield from _changed_items(value, depth)
    elif isinstance(value, dict):
        hidden = secret_members(value)
        for name, member in value.items():
            named = names_secret(name)
            within = secret_values(member) if named and isinstance(member, dict) else ()
            yield from ((s, REDACTED) for key in within for s in _strings(member[key], depth + 1))
            # A name of no Latin letters may be escaped in the text, where no pattern sees it.
            whole = isinstance(member, list) or (isinstance(member, str) and not name.isascii())
            if name in hidden or (whole and named):
                yield from ((secret, REDACTED) for secret in _strings(member, depth + 1))
            else:
                yield from _changes(member, depth + 1)


def _changed_items(items: list[Any], depth: int) -> Iterator[tuple[str, str]]:
    if are_pairs(items):
        named = (member for name, member in items if names_secret(name))
        yield from ((secret, REDACTED) for member in named for secret in _strings(member, depth))
    words = hidden_words(items, _redact_command)
    yield from ((old, new) for old, new in zip(items, words, strict=True) if old != new)
    for item in items:
        yield from _changes(item, depth + 1)


def _strings(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield from (value,) if value else ()
    elif depth <= _DEEPEST and isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item, depth + 1)


class _Walk:
    """One pass over a JSON value; `left` is how many characters are still looked at."""

    def __init__(self, limit: int | None) -> None:
        self.left = limit

    def value(self, value: Any, depth: int, name: str = "") -> Any:
        if isinstance(value, str):
            return self.string(value, name)
        if depth > _DEEPEST:
            return REDACTED
        if isinstance(value, dict):
            return self.object(value, depth, named=names_secret(name))
        if isinstance(value, list):
            return self.array(value, depth, name)
        return REDACTED if names_secret(name) and _is_number(value, name) else value

    def string(self, text: str, name: str) -> str:
        if self.left is not None:
            text = text[: max(self.left, 0)]
            self.left -= len(text)
        if names_secret(name) and not says_nothing(text, counted="token" in name.lower()):
            return REDACTED
        return redact(text, command=name.lower() in _COMMANDS and "\n" not in text)

    def object(self, members: dict[str, Any], depth: int, *, named: bool) -> dict[str, Any]:
        hidden = secret_members(members) | (secret_values(members) if named else frozenset())
        return {
            redact(name): self.hide(member, depth + 1)
            if name in hidden
            else self.value(member, depth + 1, name)
            for name, member in members.items()
        }

    def array(self, items: list[Any], depth: int, name: str) -> list[Any]:
        if are_pairs(items):
            return [
                [
                    redact(name),
                    self.hide(member, depth)
                    if names_secret(name)
                    else self.value(member, depth + 1, name),
                ]
                for name, member in items
            ]
        clean: list[Any] = []
        option = False  # the last item was `--password`
        for item in items:
            clean.append(
                self.hide(item, depth + 1)
                if option and isinstance(item, str) and not item.startswith("-")
                else self.value(item, depth + 1, name)
            )
            option = isinstance(item, str) and item.startswith("-") and names_secret(item)
        return hidden_words(clean, _redact_command)

    def hide(self, value: Any, depth: int) -> Any:
        """Hide every string of `value`, which is a secret as a whole."""
        if isinstance(value, dict) and depth <= _DEEPEST:
            return {name: self.hide(member, depth + 1) for name, member in value.items()}
        if isinstance(value, list) and depth <= _DEEPEST:
            return [self.hide(item, depth + 1) for item in value]
        return value if value is None or isinstance(value, bool) else REDACTED


def _is_number(value: Any, name: str) -> bool:
    return type(value) in (int, float) and "token" not in name.lower()


@functools.cache
def _formats() -> tuple[tuple[str, re.Pattern[str], bool], ...]:
    return tuple(
        (
            form.prefix,
            # What follows it without a blank is of the same token, in whatever alphabet.
            lazily(rf"{re.escape(form.prefix)}[{form.alphabet}]{{{form.least},}}+[\w+=-]*+"),
            form.distinct,
        )
        for form in table.FORMATS
    )


@functools.cache
def _shapes() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (shape.hint, lazily(shape.expression)) for shape in table.SHAPES if shape.hint != "eyJ"
    )


@functools.cache
def _told() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((told.hint, lazily(told.expression)) for told in table.COMMANDS)


@functools.cache
def _places() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((place.hint, lazily(place.expression)) for place in places.PLACES)


@functools.cache
def _ways() -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    return tuple((way.hints, lazily(way.expression)) for way in commands.SPOKEN)


def _hide_web_tokens(text: str) -> str:
    return _WEB_TOKEN.sub(lambda found: REDACTED if found[1] else found[0], text)


def _hide_shapes(text: str) -> str:
    if "eyJ" in text:
        text = _hide_web_tokens(text)
    for hint, pattern in _shapes():
        if hint in text:
            text = pattern.sub(REDACTED, text)
    return text


def _hide_told(text: str) -> str:
    lower = text.lower()
    for hint, pattern in _told():
        if hint in lower:
            text = pattern.sub(_hide_in_place, text)
    if len(text) < _SHORTEST:
        return text
    for hint, pattern in _places():
        if hint in lower:
            text = pattern.sub(_hide_in_place, text)
    for hints, pattern in _ways():
        for hint in hints:
            if hint in lower:
                text = pattern.sub(_hide_in_place, text)
                break
    return text


def _hide_in_place(found: re.Match[str]) -> str:
    value = found.string[found.end(1) : found.end()]
    return found[0] if says_nothing(value, environment=True) else found[1] + REDACTED


@functools.cache
def _options() -> tuple[tuple[tuple[str, ...], re.Pattern[str], re.Pattern[str]], ...]:
    return tuple(
        (
            tuple(option.program.split("|")),
            lazily(rf"\b(?:{option.program})\b"),
            lazily(option.expression),
        )
        for option in (*table.OPTIONS, *places.PROGRAMS, *commands.PROGRAMS)
    )


def _hide_options(text: str) -> str:
    """Replace what stands behind an option of a program that is named shortly before it."""
    for names, program, option in _options():
        if not any(name in text for name in names):
            continue
        ends = [found.end() for found in program.finditer(text)]
        if ends:
            text = option.sub(functools.partial(_hide_option, ends), text)
    return text


def _hide_option(ends: list[int], found: re.Match[str]) -> str:
    nearest = bisect.bisect_right(ends, found.start())
    if not nearest or found.start() - ends[nearest - 1] > _NEAR:
        return found[0]
    between = found.string[ends[nearest - 1] : found.start()].replace("\\\n", "")
    near = not any(end in between for end in ("\n", "|", ";"))
    return found[1] + REDACTED if near else found[0]


def _hide_formats(text: str) -> str:
    found = sorted(_found(text))
    if not found:
        return text
    parts: list[str] = []
    at = 0
    for start, end in found:
        if end > at:
            parts += (text[at:start], REDACTED) if start >= at else ()
            at = end
    return "".join((*parts, text[at:]))


def _found(text: str) -> Iterable[tuple[int, int]]:
    """Yield where keys of a known format are; a run of one alphabet is looked at once."""
    for prefix, pattern, distinct in _formats():
        at = text.find(prefix)
        while at >= 0:
            match = pattern.match(text, at)
            if match is not None and (distinct or _word_begins(text, at)):
                yield match.span()
                at = text.find(prefix, match.end())
            else:
                at = text.find(prefix, at + 1)


def _word_begins(text: str, at: int) -> bool:
    if at == 0 or not text[at - 1].isalnum():
        return text[at - 1 : at] not in ("+", "/") or not _BASE64.fullmatch(text, at - 64, at)
    return _ESCAPED.search(text, max(0, at - 6), at) is not None
