"""What moves a session on: the second clock, kept for each lane and each open call.

Any byte is a sign of life. Progress is less: a heartbeat that comes every 30 s whether or not
the tool hangs, a keep-alive, one more notice of a retry or of a compaction move nothing, and
what one subagent says moves no other.

An example. Two subagents work; one of them dies, the other goes on talking, and every half
minute there is a heartbeat for both calls. `last_sign` is never older than 30 s; the dead
one's `progress` stays where it was, and is what its threshold counts from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_untether.session import events as ev
from otel_untether.session.fold.tasks import lane_of

if TYPE_CHECKING:
    from otel_untether.session.conversation import Lane
    from otel_untether.session.state import SessionState

_STANDING: Final = frozenset({ev.Heartbeat, ev.Retry, ev.RateLimited, ev.MessageUsage})
_OF_A_LANE: Final = frozenset({ev.ModelMessage, ev.ModelAsked, ev.ToolStarted, ev.ToolFinished})
_OF_A_TASK: Final = frozenset({ev.TaskStarted, ev.TaskProgress, ev.TaskFinished, ev.ToolUpdated})
_NOT_HERE: Final = _STANDING | _OF_A_TASK


def moved(state: SessionState, event: ev.Event) -> None:
    """Move on whom `event` moves, and nobody else.

    The line it came in had moved the main agent on, for want of anything better known.
    """
    if state.line_moved is not None:
        state.main.progress, state.line_moved = state.line_moved, None
    kind = type(event)
    if kind in _NOT_HERE or _compacts_still(event):
        return
    lane = _lane(state, event) if kind in _OF_A_LANE else state.main
    if lane is not None:
        lane.progress = lane.owner.progress = max(lane.progress, event.at)


def _compacts_still(event: ev.Event) -> bool:
    return type(event) is ev.Compaction and event.phase != "ended"


def _lane(state: SessionState, event: Any) -> Lane | None:
    """Return whose event it is; None for a subagent's that cannot be placed."""
    lane = lane_of(state, event.parent)
    return None if lane is state.main and event.parent is not None else lane
