"""A session looks at the agent's files again and again while a call waits for its place there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from otel_untether.session import events as ev
from otel_untether.session.merging import Merger
from otel_untether.session.state import SessionState
from otel_untether.watching.session import WatchedSession

SECOND = 10**9
CALL = ev.ToolStarted(at=SECOND, id="c", name="execute", made_by="7f3a")


class Patient:
    """A follower whose look took so much of the processor that the next is minutes away."""

    def __init__(self) -> None:
        self.merger = Merger()
        self.looks: list[int] = []
        self.told: list[ev.Event] = []
        self._due = 0

    def is_due(self, now: int) -> bool:
        return now >= self._due

    def hurry(self) -> None:
        self._due = 0

    def read(self, now: int, *, last: bool) -> Sequence[ev.Event]:
        del last
        self.looks.append(now // SECOND)
        self._due = now + 300 * SECOND
        return self.told

    def news(self, events: Sequence[ev.Event], *, last: bool) -> Iterator[ev.Event]:
        del last
        yield from events
        self.told = []


def watched(follower: Patient) -> WatchedSession:
    """Return a session that `follower` follows, in which two subagents are at work."""
    unused = cast("Any", None)
    state = SessionState("run", 0, followed=True)
    decoder = cast("Any", type("Decoder", (), {"engine": None}))
    session = WatchedSession(unused, state, decoder, unused, (), lambda _pid: None)
    session._follower = cast("Any", follower)
    session.event(ev.TurnStarted(at=0))
    for call in ("a", "b"):
        session.event(ev.ToolStarted(at=0, id=call, name="task"))
    return session


def test_a_call_is_placed_though_the_first_look_was_a_dear_one() -> None:
    follower = Patient()
    session = watched(follower)
    session.event(CALL)
    session.tick(2 * SECOND)
    assert "c" not in session.state.open
    follower.told = [ev.TaskStarted(at=0, id="7f3a", kind="agent", tool_id="b")]
    session.tick(4 * SECOND)
    above = session.state.open["c"].parent
    assert above is not None
    assert above.parent is session.state.open["b"]


def test_dear_looks_are_rare_again_once_nothing_waits() -> None:
    follower = Patient()
    session = watched(follower)
    session.event(CALL)
    for second in range(2, 60):
        session.tick(second * SECOND)
    assert follower.looks == [2, 3, 4, 5]
