r"""Names and ids from outside are data: cut, cleaned and bounded before they become telemetry.

What an engine calls a tool, a model, a subagent, an MCP server, a hook or an error was written
by a model or a server. It may be ten megabytes long, steer a terminal, or be a secret: models
do invent tools whose name is a command line. Every event passes `clean` where it leaves its
engine, so that nobody further up has to think of it.

>>> from otel_untether.session.events import ToolStarted
>>> clean(ToolStarted(at=0, id="1", name="Ba\x1b[2Jsh")).name
'Bash'
"""

from __future__ import annotations

import operator
import re
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.session.events import Event, McpServer
from otel_untether.session.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.engines.engine import Decode

LONGEST: Final = 128
"""Characters of a name; what is longer ends in an ellipsis."""

MOST: Final = 256
"""Names in one list of tools or servers."""

MOST_SEEN: Final = 4096
"""Names that are remembered as fit."""

_IDS: Final = frozenset({"id", "tool_id", "parent", "task_id", "session_id", "parent_task"})
# What the engines make ids of; no key of a known format looks like this, or is as short.
# Possessive, as there is nothing to find by going back.
_PLAIN: Final = re.compile(
    r"[A-Za-z0-9_]{1,12}+|(?:toolu|srvtoolu|msg|call|item|resp|req|prt|ses|fc)_[A-Za-z0-9]{1,48}+"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
# Names as most have them. No secret is found in such, and to find that out takes the compilation
# of twenty expressions, which a short session that calls nothing otherwise can do without.
ORDINARY: Final = re.compile(r"(?!.*(?:eyJ|xox))[A-Za-z0-9_.-]{1,15}+|(?:[A-Z][a-z]{1,11}+){1,5}+")
_READ: Final = 4 * LONGEST  # a secret across the cut is seen whole

# The same few names come with every line: a set tells at once that they have been looked at,
# which to do for each anew took a quarter of the time of decoding. When full it starts again.
_NOTHING: Final = (None, ())
_seen: Final[set[object]] = set(_NOTHING)
_are_fit: Final = _seen.issuperset


def clean(event: Event) -> Event:
    """Return `event` with every name and id in it fit to leave; mostly the event itself."""
    texts = _texts_of[type(event)](event)
    return event if _are_fit(texts) or _are_plain(texts) else _made_fit(event)


def cleaned(decode: Decode) -> Decode:
    """Return a decoder whose events have names and ids that are fit to leave.

    :param decode: the engine's own.
    """

    def decode_and_clean(line: bytes, at: int, /) -> tuple[Event, ...]:
        events = tuple(decode(line, at))  # a plug-in may have given a list
        for event in events:
            texts = _texts_of[type(event)](event)
            if not _are_fit(texts) and not _are_plain(texts):
                return tuple(map(clean, events))
        return events

    return decode_and_clean


def seen() -> int:
    """Return how many names are remembered as fit."""
    return len(_seen)


def _are_plain(texts: tuple[object, ...]) -> bool:
    """Tell whether what is new among the texts is such as needs no look, as most ids are."""
    for text in texts:
        if text not in _seen:
            if type(text) is not str or _PLAIN.fullmatch(text) is None:
                return False
            _remember(text)
    return True


def _made_fit(event: Event) -> Event:
    """Look at each text of an event in which one is new, and remember those that are fit."""
    changed = {}
    for field, made in _texts(type(event)):
        value = getattr(event, field)
        if value is None:
            continue
        fit = made(value)
        if fit != value:
            changed[field] = fit
        elif type(value) is str:
            _remember(value)
    return msgspec.structs.replace(event, **changed) if changed else event


def _remember(fit: str) -> None:
    """Keep a text that may leave as it is; it is no longer than a name may be."""
    if len(_seen) >= MOST_SEEN:
        _seen.clear()
        _seen.update(_NOTHING)
    _seen.add(fit)


def name(value: str) -> str:
    """Return a name of one line and at most 128 characters that holds no secret."""
    return _name(value) if len(value) <= _READ else _fit(value)


def identity(value: str) -> str:
    """Return an id made fit as names are; two that differed still differ."""
    fit = name(value)
    return fit if fit == value else f"{fit[: LONGEST - 9]}#{zlib.crc32(value.encode()):08x}"


@lru_cache(maxsize=4096)
def _name(value: str) -> str:
    return _fit(value)


def _fit(value: str) -> str:
    if ORDINARY.fullmatch(value) or _PLAIN.fullmatch(value):
        return value
    text = redact(value[:_READ])
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _names(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(name, values[:MOST]))


def _servers(servers: tuple[McpServer, ...]) -> tuple[McpServer, ...]:
    return tuple(
        McpServer(name=name(server.name), status=server.status and name(server.status))
        for server in servers[:MOST]
    )


class _TextsOf(dict[type[Event], "Callable[[Event], tuple[object, ...]]"]):
    """What gives the texts of an event of each kind, all in one step."""

    def __missing__(self, kind: type[Event]) -> Callable[[Event], tuple[object, ...]]:
        fields = [field for field, _ in _texts(kind)]
        # Of one field it would give no tuple, and of none it gives nothing.
        several = fields if len(fields) > 1 else fields * 2
        self[kind] = operator.attrgetter(*several) if fields else lambda _event: ()
        return self[kind]


_texts_of: Final = _TextsOf()


@cache
def _texts(kind: type[Event]) -> tuple[tuple[str, Callable[..., object]], ...]:
    """Return the fields of an event that hold text from outside, and how each is made fit."""
    fields: list[tuple[str, Callable[..., object]]] = []
    for field in msgspec.structs.fields(kind):
        kinds = str(field.type)
        if field.name == "mcp_servers":
            fields.append((field.name, _servers))
        elif field.name == "tools":
            fields.append((field.name, _names))
        elif "str" in kinds:
            fields.append((field.name, identity if field.name in _IDS else name))
    return tuple(fields)
