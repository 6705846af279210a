"""A hundred thousand lines an engine, each a real one with something wrong in it.

No line raises, whatever happened to it and to those before it; what is remembered stays within
bounds, and the last line costs no more than the first. `make fuzz` tries a million.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from otel_untether.engines import registry
from otel_untether.session.events import Event
from otel_untether.session.fold.apply import apply, finish
from otel_untether.session.state import MOST_OPEN, SessionState
from tests.unit.engines.recordings import lines, streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.engines.engine import Engine

pytestmark = [pytest.mark.lives, pytest.mark.timeout(3000)]

MUTATIONS = int(os.environ.get("MUTATIONS", "100000"))
ENGINES = [engine for engine in registry.engines() if engine.understood]
# What is long is no more telling, and costs more.
LONGEST = 700
TOKENS = (
    b"null", b"-1", b"1e999", b'"', b"{", b"}", b"[[[[", b"\x00", b"\xff", b"\\ud83d", b'""',
    b"true", b"99999999999999999999", b'{"a":1}', b"[]", b"\xe2\x80\xa8", b"NaN",
)  # fmt: skip


def mutated(known: list[bytes], chance: random.Random, count: int) -> Iterator[bytes]:
    """Yield real lines of which a part is missing, replaced, repeated or another line's."""
    pick, below = chance.choice, chance.randrange
    for _ in range(count):
        line = pick(known)
        size = len(line)
        at = below(size)
        how = below(5)
        if how == 0:
            yield line[:at]
        elif how == 1:
            yield line[:at] + pick(TOKENS) + line[at + 1 :]
        elif how == 2:
            yield line[:at] + line[min(size, at + below(12)) :]
        elif how == 3:
            other = pick(known)
            yield line[:at] + other[below(len(other)) :]
        else:  # whole, and out of its place
            yield line


class Lived(NamedTuple):
    """What became of a session: how large its tables are, what was odd, CPU seconds a quarter."""

    sizes: dict[str, int]
    oddities: dict[str, int]
    lines: int
    spent: list[float]


def fed(engine: Engine, state: SessionState, made: Iterator[bytes], begun: int) -> float:
    """Feed a session; return the seconds of CPU time that it took.

    Every line is decoded; what every fourth says is folded, too.
    """
    read: Callable[[bytes, int], tuple[Event, ...]] = engine.reading().output
    spent = time.process_time()
    for number, line in enumerate(made):
        at = begun + number
        state.line(at)
        events = read(line, at)
        for event in events if number % 4 == 0 else ():
            assert isinstance(event, Event)
            apply(state, event)
    return time.process_time() - spent


def live(name: str) -> Lived:
    """Let a session of mutated lines live, from its first to its end."""
    engine = registry.get(name)
    known = [line for path in streams(name) for line in lines(path)]
    short = sorted({line for line in known if 1 < len(line) < LONGEST})
    assert len(short) >= 5
    chance = random.Random(name)
    state = SessionState("run", started=0, engine=name, traits=engine.traits)
    quarter = MUTATIONS // 4
    spent = [
        fed(engine, state, mutated(short, chance, quarter), 1 + part * quarter) for part in range(4)
    ]
    tables = {name: getattr(state, name) for name in state.__struct_fields__}
    sizes = {name: len(t) for name, t in tables.items() if isinstance(t, dict | list | set)}
    finish(state, MUTATIONS + 1, "abandoned", clean=False)
    return Lived(sizes, dict(state.oddities), state.lines, spent)


@pytest.fixture(scope="module")
def lives(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Lived]]]:
    """The sessions of the engines that are asked for, two at a time."""
    items = [item for item in request.session.items if item.path == request.path]
    asked = [engine.name for engine in ENGINES if any(f"[{engine.name}]" in i.name for i in items)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield {name: pool.submit(live, name) for name in asked}


@pytest.mark.parametrize("name", [engine.name for engine in ENGINES])
def test_no_line_raises_and_nothing_grows(lives: dict[str, Future[Lived]], name: str) -> None:
    lived = lives[name].result()
    assert max(lived.sizes.values()) <= MOST_OPEN
    assert len(lived.oddities) < 32
    assert lived.lines == MUTATIONS // 4 * 4
    # A table that is searched, or grows, shows in the last quarter; a busy machine in each.
    assert lived.spent[-1] < 8 * lived.spent[0] + 1
