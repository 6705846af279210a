"""What a transcript leaves to be concluded: tasks that began unannounced, turns that ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from otel_untether.events import (
    Event,
    ModelMessage,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

from ._claude_tools import SUBAGENT_TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def with_tasks(events: Iterable[Event], announced: set[str]) -> Iterator[Event]:
    """Yield `events`, and a `TaskStarted` before each receipt for work not in `announced`."""
    names: dict[str, str] = {}
    for event in events:
        if isinstance(event, ToolStarted):
            names[event.id] = event.name
        if isinstance(event, ToolFinished) and event.detached and event.task_id not in announced:
            agent = names.get(event.id) in SUBAGENT_TOOLS
            yield TaskStarted(
                at=event.at,
                happened=event.happened,
                id=event.task_id or event.id,
                kind="agent" if agent else "shell",
                tool_id=event.id,
                background=True,
            )
        yield event


@dataclass
class _Turn:
    """What is known of the turn so far; `settled` when the main agent owes nothing more."""

    open: bool = False
    settled: bool = False
    error: str | None = None
    last: int = 0
    usage: dict[str, Usage] = field(default_factory=dict)  # by message id: lines repeat it

    def note(self, event: Event, session: dict[str, Usage]) -> None:
        if isinstance(event, ModelMessage) and event.usage and event.id:
            session[event.id] = event.usage
        if not isinstance(event, ModelMessage | ToolStarted | ToolFinished) or event.parent:
            return
        self.last = event.at
        self.settled = isinstance(event, ModelMessage)
        if isinstance(event, ModelMessage):
            self.error = event.error
            if event.usage and event.id:
                self.usage[event.id] = event.usage

    def finished(self, session: dict[str, Usage], cost: float | None = None) -> TurnFinished:
        return TurnFinished(
            at=self.last,
            happened=self.last,
            error=self.error,
            usage=sum(self.usage.values(), Usage()) if self.usage else None,
            session_usage=sum(session.values(), Usage()) if session else None,
            session_cost_usd=cost,
        )


def with_turns(events: Iterable[Event], cost: float | None) -> list[Event]:
    """Return `events` in order of time, with a `TurnFinished` at the end of each turn.

    A turn ends where the next prompt comes or the answer is final.
    `cost` is the session's, in US dollars, and goes with the last turn. A session whose last
    word is a tool's was cut off: its turn stays open.
    """
    turn, session, all_events = _Turn(), dict[str, Usage](), list[Event]()
    for event in events:
        if isinstance(event, TurnStarted):
            if turn.open and turn.last:
                all_events.append(turn.finished(session))
            turn = _Turn(open=True)
        elif isinstance(event, TurnFinished):
            turn.open = False
        turn.note(event, session)
        all_events.append(event)
    if turn.open and turn.settled:
        all_events.append(turn.finished(session, cost))
    return sorted(all_events, key=lambda event: event.at)
