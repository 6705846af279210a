"""Fold an event into a session's state, and end a session: what changed, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_untether.session import events as ev
from otel_untether.session.activity import Change, Closed, Opened, cut_off
from otel_untether.session.fold import tasks, tools, turns, waits
from otel_untether.session.fold.progress import moved
from otel_untether.session.state import Recent, SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from otel_untether.session.conversation import Lane

    # Each handler takes one event type; the table below is what makes the pairing right.
    Handler: TypeAlias = Callable[[SessionState, Any, int], list[Change]]

_HANDLERS: Final[Mapping[type[ev.Event], Handler]] = {
    **turns.HANDLERS,
    **tools.HANDLERS,
    **tasks.HANDLERS,
    **waits.HANDLERS,
}


def apply(state: SessionState, event: ev.Event) -> list[Change]:
    """Fold one event into `state` and return what changed, in order."""
    state.events += 1
    state.recent.append(Recent(event.at, type(event).__name__, _tool_of(state, event)))
    changes = _HANDLERS[type(event)](state, event, _when(state, event))
    moved(state, event)
    _count_usage(state, changes)
    return changes


def finish(state: SessionState, at: int, reason: str, *, clean: bool) -> list[Change]:
    """End all that is open, for `reason`; an answer still owed is an error unless `clean`.

    The root is left open: how it ended is for its owner to say (`activity.close`). `at` is in
    ns since the epoch, `reason` a word of `semconv` or of an outcome.
    """
    changes: list[Change] = []
    for lane in (*state.lanes.values(), *state.past_lanes.values()):
        changes += lane.settle()
        owed = None if clean or not _owes(state, lane) else lane.unanswered(state.model)
        if owed is not None:
            changes.append(Opened(owed))
    for child in tuple(state.root.children):
        changes += cut_off(child, at, reason, reason)
    changes += _recalled_in_part(state, reason)
    _count_usage(state, changes)
    for table in (state.open, state.background, state.tasks, state.wait_activities):
        table.clear()
    return changes


def _recalled_in_part(state: SessionState, reason: str) -> list[Change]:
    """End what files told of without saying how it ended; it ends with what it lies under."""
    changes: list[Change] = []
    left = [a for table in (state.open, state.background, state.tasks) for a in table.values()]
    while over := [a for a in left if a.end is None and a.parent and a.parent.end is not None]:
        for activity in over:
            above = activity.parent
            end = above.end if above is not None else None
            changes += cut_off(activity, (end or activity.start) - 1, reason, reason)
    return changes


def _count_usage(state: SessionState, changes: Iterable[Change]) -> None:
    """Add up the answers that are over, whatever ended them: the next one, a tool, the end."""
    for change in changes:
        if type(change) is Closed and change.activity.kind == "chat" and change.activity.usage:
            state.message_usage += change.activity.usage


def _owes(state: SessionState, lane: Lane) -> bool:
    """Whether an answer that has not come was asked for, as far as the engine shows that."""
    if lane.owner.end is not None or not state.understood:
        return False
    return lane is state.main or lane.spoken or not state.traits.hides_subagents


def _when(state: SessionState, event: ev.Event) -> int:
    """When it happened: the CLI's word, held between the session's start and the arrival."""
    happened = event.at if event.happened is None else event.happened
    at = max(min(happened, event.at), state.started)
    return min(at, _latest(state, event)) if state.recalling else at


def _latest(state: SessionState, event: ev.Event) -> int:
    """Return the end of what an event lies under, just before which it must have happened."""
    call = state.calls.get(getattr(event, "tool_id", None) or "")
    above = getattr(event, "parent", None) or getattr(event, "made_by", None)
    owner = call or tasks.lane_of(state, above).owner
    return event.at if owner.end is None else owner.end - 1


def _tool_of(state: SessionState, event: ev.Event) -> str | None:
    if type(event) is ev.ToolStarted:
        return event.name
    key = getattr(event, "tool_id", None) or getattr(event, "id", None)
    call = state.calls.get(key) if key is not None else None
    return call.name if call is not None else None
