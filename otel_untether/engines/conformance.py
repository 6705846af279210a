"""What every engine must hold, for the tests of a package that offers one.

Give it the lines that the CLI printed; it says what is wrong with how they are read::

    from otel_untether.engines.conformance import problems

    def test_the_engine_holds_its_contract():
        lines = Path("tests/recordings/demo.jsonl").read_bytes().splitlines()
        assert list(problems(ENGINE, lines)) == []
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from otel_untether.engines import registry
from otel_untether.session.activity import Opened
from otel_untether.session.events import Event, StrayLine
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.state import SessionState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_untether.engines.engine import Engine

__all__ = ["problems"]

_AT: Final = 1_800_000_000 * 10**9
_STEP: Final = 10**6
_SHOWN: Final = 80
# What a byte is put in place of, to see what a line does that is not as it should be.
_DAMAGE: Final = (b"", b"\x00", b'"', b"{", b"null", b"-1", b"1e999", b"\xff", b"\\ud83d", b"[[[[")


def problems(engine: Engine, lines: Sequence[bytes]) -> Iterator[str]:
    """Yield what is wrong with an engine, nothing where it is sound.

    :param engine: the engine to look at.
    :param lines: a session as the CLI printed it, a line each, in order and without newlines.
    """
    yield from _naming(engine)
    yield from _recognition(engine, lines)
    yield from _decoding(engine, lines)
    yield from _damage(engine, lines)
    yield from _session(engine, lines)


def _naming(engine: Engine) -> Iterator[str]:
    if engine.name != engine.name.lower() or not engine.name.isidentifier():
        yield f"name {engine.name!r}: expected lower-case letters, digits, underscores"
    for other in registry.engines():
        shared = (engine.commands | engine.packages) & (other.commands | other.packages)
        if other.name != engine.name and shared:
            yield f"{', '.join(sorted(shared))}: also started by the engine {other.name}"


def _recognition(engine: Engine, lines: Sequence[bytes]) -> Iterator[str]:
    found = {owner.name for owner in map(registry.detect_line, lines) if owner is not None}
    for name in sorted(found - {engine.name}):
        yield f"a line is taken for one of the engine {name}"


def _decoding(engine: Engine, lines: Sequence[bytes]) -> Iterator[str]:
    for line in lines:
        for event in engine.decode(line, _AT):
            if isinstance(event, StrayLine):
                yield f"not understood ({event.reason}): {_short(line)}"
            elif event.at != _AT:
                yield f"{type(event).__name__}.at is not when the line arrived: {_short(line)}"
        if engine.decode(line, _AT) != engine.decode(line, _AT):
            yield f"decoded twice it is not the same: {_short(line)}"


def _damage(engine: Engine, lines: Sequence[bytes]) -> Iterator[str]:
    """Nothing a CLI prints may raise, be it torn, of another kind, or not text at all."""
    for line in {b"", b"{}", b"[]", b"null", b"\xff\xfe", *lines}:
        for damaged in _damaged(line):
            try:
                events = engine.decode(damaged, _AT)
            except Exception as error:  # noqa: BLE001  that is what is looked for
                yield f"{type(error).__name__} for {_short(damaged)}: {error}"
                break
            if not all(isinstance(event, Event) for event in events):
                yield f"something else than events for {_short(damaged)}"
                break
            msgspec.json.encode(events)


def _damaged(line: bytes) -> Iterator[bytes]:
    yield line
    for number, damage in enumerate(_DAMAGE):
        for part in range(1, 8):
            at = (len(line) * part) // 8 + number
            yield line[:at] + damage + line[at + 1 :]
            yield line[:at]


def _session(engine: Engine, lines: Sequence[bytes]) -> Iterator[str]:
    """All lines together make one session, in which what ends began before."""
    state = SessionState("run", _AT, engine=engine.name, traits=engine.traits)
    opened = []
    read = engine.reading().output
    for number, line in enumerate(lines):
        for event in read(line, _AT + number * _STEP):
            opened += [change for change in apply(state, event) if isinstance(change, Opened)]
    for what, number in state.oddities.items():
        yield f"{number} times {what}"
    if not state.understood:
        yield "nothing of the session is understood"
    if state.session_id is None:
        yield "no line says which session this is"
    finish(state, _AT + len(lines) * _STEP, "abandoned", clean=True)
    for change in opened:
        if change.activity.end is None:
            yield f"{change.activity.kind} {change.activity.name} has no end"


def _short(line: bytes) -> str:
    return repr(line[:_SHOWN])
