"""What a transcript leaves to be concluded: tasks that began unannounced, turns that ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from otel_untether.engines.claude.tools import SUBAGENT_TOOLS
from otel_untether.session.events import (
    Event,
    ModelMessage,
    TaskFinished,
    TaskStarted,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def ended_once(events: Iterable[Event]) -> list[Event]:
    """Return `events` with the last end of each task only.

    A subagent that waits for its own background work is told of as ended, and again after it.
    """
    kept: list[Event] = []
    last: dict[str, TaskFinished] = {}
    for event in reversed(list(events)):
        if isinstance(event, TaskFinished):
            if event.id in last:
                continue
            last[event.id] = event
        kept.append(event)
    return kept[::-1]


def with_tasks(events: Iterable[Event], announced: set[str]) -> Iterator[Event]:
    """Yield `events`, and the beginnings and ends of tasks that they leave unsaid.

    A receipt begins a task that is not among those `announced`; the result of a call ends the
    subagent that the call waited for.
    """
    names: dict[str, str] = {}
    agents: dict[str, str] = {}  # call → the subagent it started, while that works
    for event in events:
        if isinstance(event, ToolStarted):
            names[event.id] = event.name
        elif isinstance(event, TaskStarted) and event.tool_id:
            agents[event.tool_id] = event.id
        elif isinstance(event, TaskFinished) and event.tool_id:
            agents.pop(event.tool_id, None)
        elif isinstance(event, ToolFinished):
            if event.detached and event.task_id not in announced:
                yield _begun(event, names.get(event.id))
            elif not event.detached and event.id in agents:
                yield _ended(event, agents.pop(event.id))
        yield event


def _begun(receipt: ToolFinished, name: str | None) -> TaskStarted:
    return TaskStarted(
        at=receipt.at,
        happened=receipt.happened,
        id=receipt.task_id or receipt.id,
        kind="agent" if name in SUBAGENT_TOOLS else "shell",
        tool_id=receipt.id,
        background=True,
    )


def _ended(result: ToolFinished, agent: str) -> TaskFinished:
    return TaskFinished(
        at=result.at,
        happened=result.happened,
        id=agent,
        tool_id=result.id,
        error=result.error,
    )


class _Turn(Struct):
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
