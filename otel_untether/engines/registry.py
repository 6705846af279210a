"""The engines there are, and which one a name, a command line, a first line speaks of.

An engine is imported when it is asked for by name; its decoder not before its first line.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from otel_untether.engines import NAMES, UNKNOWN, plugins
from otel_untether.engines import argv as _argv
from otel_untether.engines.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.engines.engine import FirstLine

_MARK: Final = b"\xef\xbb\xbf"  # of the order of bytes, which some systems put before all text
_ALIASES: Final = {"generic": UNKNOWN}
# The protocols that can be read, and where the engine is that speaks each.
_PROTOCOLS: Final = {"acp": "acp.engine:ENGINE", "app-server": "codex.app_server:SERVED"}
_ABSENT: Final = Engine(UNKNOWN)
_known: Final = {UNKNOWN: _ABSENT}


def get(name: str) -> Engine:
    """Return the engine called `name`; `ValueError` lists those there are.

    ``generic`` is another word for ``unknown``.
    """
    name = _ALIASES.get(name, name)
    if name in NAMES:
        return _built_in(name)
    try:
        return plugins.engines()[name]
    except KeyError:
        known = ", ".join(names())
        raise ValueError(f"unknown engine {name!r}: expected one of {known}") from None


def speaking(engine: Engine, protocol: str | None) -> Engine:
    """Return `engine` as it is while it serves `protocol`; itself, where nobody can read that."""
    known = _PROTOCOLS.get(protocol or "")
    if known is None:
        return engine
    module, _, name = known.partition(":")
    spoken: Engine = getattr(import_module(f"{__package__}.{module}"), name)
    return engine.speaking(spoken)


def names() -> tuple[str, ...]:
    """Return the names of all engines, those of plug-ins included."""
    return (*NAMES[:-1], *plugins.engines(), UNKNOWN)


def engines() -> Iterator[Engine]:
    """Yield every engine, those of plug-ins last; the unknown one is none of them."""
    for name in NAMES[:-1]:
        yield _built_in(name)
    yield from plugins.engines().values()


def detect_argv(argv: Sequence[str]) -> Engine | None:
    """Return the engine that `argv` certainly starts."""
    if _argv.program(argv) is None:
        return None
    return next((engine for engine in engines() if engine.argv_match(argv)), None)


def detect_line(line: bytes) -> Engine | None:
    """Return the engine that certainly wrote `line`, one of the first of its stdout."""
    found = _first_line(line)
    if found is None:
        return None
    return next((engine for engine in engines() if engine.first_line(found)), None)


def detect_transcript(head: Sequence[bytes]) -> Engine | None:
    """Return the engine that wrote a file about its session, given the file's first lines."""
    for engine in engines():
        reader = engine.transcripts_reader
        if reader is not None and reader.is_transcript(head):
            return engine
    return None


def _built_in(name: str) -> Engine:
    if name not in _known:
        _known[name] = import_module(f"{__package__}.{name}.engine").ENGINE
    return _known[name]


def _first_line(line: bytes) -> FirstLine | None:
    if not line.removeprefix(_MARK).lstrip().startswith(b"{"):
        return None
    import msgspec  # noqa: PLC0415  8 ms, and not needed to read a command line

    from otel_untether.engines.parsing.salvage import BROKEN, loads  # noqa: PLC0415  as above

    try:
        found = msgspec.json.decode(line)
    except BROKEN:
        try:
            found = loads(line)
        except ValueError:
            return None
    return found if isinstance(found, dict) else None
